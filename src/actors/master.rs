//! The root: it gives every fact to the core, has every action carried out, and keeps the one timer. It never waits for
//! a member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use ractor::{ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use tokio::sync::{oneshot, watch};

use super::blueprint::Blueprint;
use super::core::SharedCore;
use super::desk::{Desk, DeskActor, DeskArguments};
use super::journal;
use super::messages::{MasterMsg, ShelfMsg, SlotMsg};
use super::notice::SharedBoard;
use super::observe::{Beat, Observe};
use super::operations::Operations;
use super::perform::perform;
use super::routes::Routes;
use super::shelf::{ShelfActor, ShelfArguments};
use super::slot::{SlotActor, SlotArguments};
use super::timer;
use crate::identity::{MemberId, Role, Slot};
use crate::process::ProcessBackend;
use crate::supervision::{Action, Dice, Event, Moment, Outcome, Reason, Verdict};
use crate::transport::{Growth, window};

pub(crate) struct Master;

/// What the master is born with.
pub(crate) struct MasterArguments {
    /// What decides, and has not been told anything.
    pub(crate) core: Arc<SharedCore>,
    pub(crate) blueprint: Arc<Blueprint>,
    pub(crate) backend: Arc<dyn ProcessBackend>,
    pub(crate) seed: u64,
    /// Where everybody may look up who is who.
    pub(crate) board: Arc<SharedBoard>,
    /// Those who are told of every step.
    pub(crate) observers: Vec<Arc<dyn Observe>>,
    /// Where the program in which it runs takes part, if it does.
    pub(crate) desk: Desk,
    /// Where the end is told.
    pub(crate) finished: oneshot::Sender<Outcome>,
}

pub(crate) struct MasterState {
    foundry: Foundry,
    operations: Operations,
    core: Arc<SharedCore>,
    routes: Arc<Routes>,
    board: Arc<SharedBoard>,
    timer: watch::Sender<Option<Instant>>,
    /// Those who watch will be told.
    publishing: bool,
    observers: Vec<Arc<dyn Observe>>,
    finished: Option<oneshot::Sender<Outcome>>,
}

/// What it takes to make the actor of a slot.
struct Foundry {
    blueprint: Arc<Blueprint>,
    backend: Arc<dyn ProcessBackend>,
    seed: u64,
}

impl Foundry {
    fn slot(&self, slot: Slot, master: &ActorRef<MasterMsg>) -> SlotArguments {
        let seed = self.seed ^ (u64::from(slot.role().rank()) << 32) ^ (u64::from(slot.index()) << 40);
        SlotArguments {
            slot,
            blueprint: self.blueprint.clone(),
            backend: self.backend.clone(),
            master: master.clone(),
            dice: Dice::seeded(seed),
        }
    }
}

#[ractor::actor(message = MasterMsg, state = MasterState, arguments = MasterArguments)]
impl Master {
    async fn pre_start(
        &self,
        myself: ActorRef<MasterMsg>,
        arguments: MasterArguments,
    ) -> Result<MasterState, ActorProcessingErr> {
        let MasterArguments { core, blueprint, backend, seed, board, observers, desk, finished } = arguments;
        let foundry = Foundry { blueprint, backend, seed };
        let mut slots = BTreeMap::new();
        for slot in core.plan().roles().iter().flat_map(|role| role.slots()) {
            let arguments = foundry.slot(slot, &myself);
            let (actor, _) = SlotActor::spawn_linked(None, SlotActor, arguments, myself.get_cell()).await?;
            slots.insert(slot, actor);
        }
        let arguments = DeskArguments {
            desk,
            directory: foundry.blueprint.directory.clone(),
            limits: foundry.blueprint.limits,
            dice: Dice::seeded(seed ^ u64::from(Role::MASTER.rank()) << 32),
        };
        let (desk, _) = DeskActor::spawn_linked(None, DeskActor, arguments, myself.get_cell()).await?;
        let blueprint = &foundry.blueprint;
        let arguments = ShelfArguments { rules: blueprint.shelf.clone(), window: window(blueprint.limits) };
        let (shelf, _) = ShelfActor::spawn_linked(None, ShelfActor, arguments, myself.get_cell()).await?;
        let routes = Arc::new(Routes::new(slots).with_own(desk, shelf));
        routes.tell_all(|_| SlotMsg::Routes(routes.clone()));
        routes.tell_shelf(ShelfMsg::Routes(routes.clone()));
        routes.tell(Slot::master(), SlotMsg::Routes(routes.clone()));
        let timer = watch::Sender::new(None);
        tokio::spawn(timer::ring(timer.subscribe(), myself.clone()));
        let finished = Some(finished);
        let mut state = MasterState {
            foundry,
            operations: Operations::default(),
            core,
            routes,
            board,
            timer,
            publishing: false,
            observers,
            finished,
        };
        state.handle(Event::Boot, &myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<MasterMsg>,
        message: MasterMsg,
        state: &mut MasterState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MasterMsg::Stop(urgency, why) => {
                journal::stop(urgency, why);
                state.handle(Event::Stop(urgency), &myself);
            }
            MasterMsg::DeadlinePassed => state.handle(Event::DeadlinePassed, &myself),
            MasterMsg::Fact(event, permit) => {
                state.note(&event);
                state.handle(event, &myself);
                drop(permit);
            }
            MasterMsg::Operate(operation, asker) => {
                let id = state.operations.open(asker);
                let event = Event::Operate(id, operation);
                state.note(&event);
                state.handle(event, &myself);
            }
            MasterMsg::Turn(asker) => drop(asker.send(())),
            MasterMsg::Started(id, pid, books) => {
                journal::started(id, pid);
                state.board.lock().started(id, pid, state.now(), books);
                state.observers.iter().for_each(|observer| observer.started(state.now(), id, pid));
                state.publish(&myself);
            }
            MasterMsg::Beat(id, beat) => state.beat(id, beat, &myself),
            MasterMsg::Watch(id) => {
                let mut board = state.board.lock();
                board.watch(id);
                board.tell(id, state.now(), &state.routes);
            }
            MasterMsg::Publish => {
                state.publishing = false;
                state.board.lock().tell_all(state.now(), &state.routes);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<MasterMsg>,
        event: SupervisionEvent,
        state: &mut MasterState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, error) => {
                state.fail(&format!("an actor of the master failed: {error}"), &myself)
            }
            SupervisionEvent::ActorTerminated(..) => state.fail("an actor of the master stopped", &myself),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl MasterState {
    /// What happened is written down before what follows from it.
    fn note(&mut self, event: &Event) {
        let mut board = self.board.lock();
        match event {
            Event::Ready(id) => journal::ready(*id, board.pid(*id)),
            Event::Exception(id, exception) => {
                journal::exception(*id, board.pid(*id), exception);
                board.exception(*id);
            }
            Event::Operate(id, operation) => journal::operation(*id, operation),
            Event::LinkLost(id, error) => journal::link_lost(*id, board.pid(*id), error),
            // Told with what follows.
            Event::Unresponsive(..) | Event::Exited(..) | Event::Boot | Event::Stop(_) | Event::DeadlinePassed => {}
        }
    }

    fn handle(&mut self, event: Event, myself: &ActorRef<MasterMsg>) {
        let now = self.now();
        let mut touched: BTreeSet<Slot> = member(&event).map(MemberId::slot).into_iter().collect();
        let (actions, told) = self.core.lock().step(&event, now);
        self.open_all(&told, myself);
        for action in actions {
            touched.extend(super::perform::slot(&action));
            let finished = perform(action, &self.routes, &mut self.board.lock());
            if let Some(outcome) = finished {
                self.finish(outcome, myself);
            }
        }
        let core = self.core.lock();
        let due = core.supervisor.deadline().and_then(|due| timer::instant(self.board.started(), due));
        timer::arm(&self.timer, due, matches!(event, Event::DeadlinePassed));
        for slot in touched {
            self.board.lock().update(slot, &core.supervisor);
        }
        // Whoever hears of it finds it on the board.
        self.observers.iter().for_each(|observer| observer.step(now, &event, &told, &core.supervisor));
        drop(core);
        for action in told {
            if let Action::Conclude(id, conclusion) = action {
                self.operations.conclude(id, conclusion);
            }
        }
        self.publish(myself);
    }

    /// A member has become unresponsive, or is heard again. Nothing follows that would have to be decided.
    fn beat(&mut self, id: MemberId, beat: Beat, myself: &ActorRef<MasterMsg>) {
        let core = self.core.lock();
        let mut board = self.board.lock();
        let is_news = board.beat(id, beat, &core.supervisor);
        let pid = board.pid(id);
        drop((board, core));
        // Before anybody is told: whoever hears of it, finds that random messages go to others.
        self.publish(myself);
        if is_news {
            journal::beat(id, pid, beat);
            let now = self.now();
            self.observers.iter().for_each(|observer| observer.beat(now, id, beat));
        }
    }

    /// Tells those who pick at random, at once, and those who watch, if anything has changed. What changes together is
    /// told together: of a start of many each would otherwise be told of each.
    fn publish(&mut self, myself: &ActorRef<MasterMsg>) {
        let mut board = self.board.lock();
        if board.take_changed() {
            self.routes.move_all(board.take_moved());
            if !std::mem::replace(&mut self.publishing, true) {
                let _ = myself.cast(MasterMsg::Publish);
            }
        }
    }

    /// Makes a place for each slot by which a role has grown, before anybody is started there: then every process hears of
    /// all of them at once, before it can hear from one of them. To tell all of each would make a scale of many quadratic.
    fn open_all(&mut self, actions: &[Action], myself: &ActorRef<MasterMsg>) {
        let slots = actions.iter().filter_map(|action| match action {
            Action::Open(slot) => Some(*slot),
            _ => None,
        });
        let mut grown: BTreeMap<u8, u16> = BTreeMap::new();
        for slot in slots {
            let (rank, count) = (slot.role().rank(), slot.index() + 1);
            self.foundry.blueprint.directory.grow(Growth { rank, count });
            self.board.lock().open(slot);
            if !self.routes.reopen(slot) {
                self.open(slot, myself);
                grown.insert(rank, count);
            }
        }
        for (rank, count) in grown {
            self.routes.tell_all(|_| SlotMsg::Growth(Growth { rank, count }));
        }
    }

    /// A slot that there has not been: it has an actor from now on.
    fn open(&mut self, slot: Slot, myself: &ActorRef<MasterMsg>) {
        // Without waiting for its first step: what is told to it meanwhile is heard after that.
        let arguments = self.foundry.slot(slot, myself);
        match ActorRuntime::<SlotActor>::spawn_linked_instant(None, SlotActor, arguments, myself.get_cell()) {
            Ok((actor, _)) => {
                let _ = actor.cast(SlotMsg::Routes(self.routes.clone()));
                self.routes.add(slot, actor);
            }
            Err(error) => self.fail(&format!("the actor of {slot} could not be started: {error}"), myself),
        }
    }

    fn now(&self) -> Moment {
        self.board.now()
    }

    fn finish(&mut self, outcome: Outcome, myself: &ActorRef<MasterMsg>) {
        journal::finished(&outcome);
        if let Some(finished) = self.finished.take() {
            let _ = finished.send(outcome);
        }
        myself.stop(None);
    }

    /// A fault of ours. Whoever waits for the end ends every process with us.
    fn fail(&mut self, fault: &str, myself: &ActorRef<MasterMsg>) {
        let reason = Reason::new(format!("internal error: {fault}"));
        self.finish(Outcome { verdict: Verdict::GaveUp(reason), leftovers: Vec::new() }, myself);
    }
}

fn member(event: &Event) -> Option<MemberId> {
    match event {
        Event::Ready(id)
        | Event::Exception(id, _)
        | Event::Unresponsive(id, _)
        | Event::LinkLost(id, _)
        | Event::Exited(id, _) => Some(*id),
        Event::Boot | Event::Operate(..) | Event::Stop(_) | Event::DeadlinePassed => None,
    }
}
