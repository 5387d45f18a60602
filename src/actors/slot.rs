//! The actor of a slot: it outlives the processes that follow each other there, holds what waits for them, and hears of
//! their ends. It decides nothing and waits for nobody.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::blueprint::Blueprint;
use super::facts;
use super::messages::{MasterMsg, ProcessDown, ProcessMsg, ShelfMsg, SlotMsg};
use super::process::{Nest, ProcessActor, ProcessState};
use super::routes::Routes;
use crate::identity::{MemberId, Slot};
use crate::process::{ProcessBackend, ProcessControl, clock};
use crate::supervision::{Dice, Event, Exit, LinkError};
use crate::transport::{Effect, Order, Reason, SlotQueue, WireError, window};

pub(crate) struct SlotActor;

/// What the actor of a slot is born with.
pub(crate) struct SlotArguments {
    pub(crate) slot: Slot,
    pub(crate) blueprint: Arc<Blueprint>,
    pub(crate) backend: Arc<dyn ProcessBackend>,
    pub(crate) master: ActorRef<MasterMsg>,
    pub(crate) dice: Dice,
}

pub(crate) struct SlotState {
    arguments: SlotArguments,
    routes: Arc<Routes>,
    queue: SlotQueue,
    /// In order, so that what all of them are told goes out in the same order in every run.
    processes: BTreeMap<MemberId, Process>,
    /// Who an actor stands for: supervision events name the actor.
    who: HashMap<ActorId, MemberId>,
    /// Whoever was started last, as long as it has not been replaced.
    seated: Option<MemberId>,
}

/// One process of the slot.
struct Process {
    actor: ActorRef<ProcessMsg>,
    control: Option<Arc<dyn ProcessControl>>,
}

#[ractor::actor(message = SlotMsg, state = SlotState, arguments = SlotArguments)]
impl SlotActor {
    async fn pre_start(&self, _: ActorRef<SlotMsg>, arguments: SlotArguments) -> Result<SlotState, ActorProcessingErr> {
        let queue = SlotQueue::new(arguments.slot, window(arguments.blueprint.limits));
        let routes = Arc::new(Routes::new(Default::default()));
        let (processes, who) = Default::default();
        Ok(SlotState { arguments, routes, queue, processes, who, seated: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<SlotMsg>,
        message: SlotMsg,
        state: &mut SlotState,
    ) -> Result<(), ActorProcessingErr> {
        let mut out = Vec::new();
        match message {
            SlotMsg::Routes(routes) => state.routes = routes,
            SlotMsg::Start(id) => state.start(id, &myself).await,
            SlotMsg::Linked(linked) => {
                if let Some(process) = state.processes.get_mut(&linked.id) {
                    process.control = Some(linked.control);
                    state.queue.open(linked.id, linked.line, linked.books);
                }
            }
            SlotMsg::Admit(id) => state.queue.admit(id, clock::now(), &mut out),
            SlotMsg::Order(id, order) => state.order(id, ProcessMsg::Order(order)),
            SlotMsg::Announce(order) => {
                if let Some(id) = state.seated {
                    state.order(id, ProcessMsg::Order(order));
                }
            }
            SlotMsg::Growth(growth) => {
                for process in state.processes.values() {
                    let _ = process.actor.cast(ProcessMsg::Growth(growth));
                }
            }
            SlotMsg::Replace(id, within) => {
                state.queue.replace(id);
                state.seated.take_if(|seated| *seated == id);
                state.order(id, ProcessMsg::Order(Order::Drain(within)));
            }
            SlotMsg::Kill(id) => state.order(id, ProcessMsg::Kill),
            SlotMsg::Abandon(id) => {
                // Its actor lives on until the process goes after all.
                state.leave(id, &mut out);
            }
            SlotMsg::Park => state.queue.shut(Reason::Parked, &mut out),
            SlotMsg::Vacate => state.queue.shut(Reason::Gone, &mut out),
            SlotMsg::Deliver(run) => state.queue.arrive(run, clock::now(), &mut out),
            SlotMsg::Return(run, refund) => state.queue.take_back(run, refund, clock::now(), &mut out),
            SlotMsg::Credit { to, account, charge } => state.queue.credit(to, account, charge),
            SlotMsg::Ack(id, ack) => {
                if let Err(error) = state.queue.ack(id, &ack, clock::now(), &mut out) {
                    state.violated(id, &error);
                }
            }
            SlotMsg::Shelved(id, run) => state.queue.shelved(id, run, clock::now(), &mut out),
            SlotMsg::Roster(id, frame) => state.queue.roster(id, frame, clock::now(), &mut out),
            SlotMsg::Down(id, end) => state.actor_ended(id, end, &mut out),
            SlotMsg::Unattended(id, record) => state.ended(id, facts::exit(record, None), &mut out),
            // A place of the plan is filled by processes.
            SlotMsg::Occupy(_) => {}
        }
        state.routes.carry_out(out);
        state.routes.set_crowded(state.arguments.slot, state.queue.is_crowded());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SlotMsg>,
        event: SupervisionEvent,
        state: &mut SlotState,
    ) -> Result<(), ActorProcessingErr> {
        let (who, end) = match event {
            SupervisionEvent::ActorTerminated(who, ended, _) => {
                let ended = ended.and_then(|mut ended| ended.take::<ProcessState>().ok());
                (who, ended.and_then(ProcessState::into_exit).ok_or_else(|| "stopped".to_owned()))
            }
            SupervisionEvent::ActorFailed(who, error) => match error.downcast::<ProcessDown>() {
                Ok(down) => (who, Ok(down.exit)),
                Err(error) => (who, Err(error.to_string())),
            },
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        if let Some(id) = state.who.remove(&who.get_id()) {
            // Supervision events overtake messages. What the dead had said is in the mailbox, and is heard first.
            let _ = myself.cast(SlotMsg::Down(id, end));
        }
        Ok(())
    }
}

impl SlotState {
    async fn start(&mut self, id: MemberId, myself: &ActorRef<SlotMsg>) {
        let SlotArguments { blueprint, backend, master, dice, .. } = &self.arguments;
        let nest = Nest {
            id,
            blueprint: blueprint.clone(),
            backend: backend.clone(),
            routes: self.routes.clone(),
            master: master.clone(),
            dice: dice.clone(),
        };
        match ProcessActor::spawn_linked(None, ProcessActor, nest, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.who.insert(actor.get_id(), id);
                self.processes.insert(id, Process { actor, control: None });
                self.seated = Some(id);
            }
            // It raises no supervision event: to the core it is a process that could not be started.
            Err(error) => {
                self.tell(MasterMsg::Fact(Event::Exited(id, Exit::not_started(error.to_string(), None)), None));
            }
        }
    }

    fn order(&self, id: MemberId, message: ProcessMsg) {
        if let Some(process) = self.processes.get(&id) {
            let _ = process.actor.cast(message);
        }
    }

    /// The actor of a process has ended. With its process, unless the fault was ours.
    fn actor_ended(&mut self, id: MemberId, end: Result<Exit, String>, out: &mut Vec<Effect>) {
        match end {
            Ok(exit) => self.ended(id, exit, out),
            Err(fault) => {
                tracing::error!(slot = %id.slot(), incarnation = id.incarnation().get(), cause = fault,
                    "the actor of a process has failed: the process is killed");
                // Its end comes by the normal way, from whoever reads its link.
                match self.processes.get(&id).and_then(|process| process.control.as_ref()) {
                    Some(control) => control.kill(),
                    None => self.ended(id, Exit::not_started(fault, None), out),
                }
            }
        }
    }

    fn ended(&mut self, id: MemberId, exit: Exit, out: &mut Vec<Effect>) {
        if self.processes.remove(&id).is_none() {
            return;
        }
        self.seated.take_if(|seated| *seated == id);
        self.leave(id, out);
        self.tell(MasterMsg::Fact(Event::Exited(id, exit), None));
    }

    /// Nothing more is for it.
    fn leave(&mut self, id: MemberId, out: &mut Vec<Effect>) {
        self.queue.gone(id, out);
        self.routes.tell_shelf(ShelfMsg::Gone(id));
    }

    fn violated(&self, id: MemberId, error: &WireError) {
        let error: LinkError = facts::broken(error);
        self.tell(MasterMsg::Fact(Event::LinkLost(id, error), None));
    }

    fn tell(&self, message: MasterMsg) {
        let _ = self.arguments.master.cast(message);
    }
}
