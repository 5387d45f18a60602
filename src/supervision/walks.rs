//! Walks through the seat table at random, with processes as the operating system would have them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::tables::{millis, panic, plan, role};
use super::*;
use crate::identity::{MemberId, Role, Slot};

/// Who decides in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The built-in strategies, and no operator: when it gives up can be told to the second.
    Usual,
    /// The same, and operators.
    Operated,
    /// Groups, and operators.
    RestForOne,
    OneForAll,
    OneForRole,
    /// OTP's: temporary workers, all significant, and a limit for the whole cluster.
    Mortal,
    /// Any answer, by the dice.
    Whimsical,
}

const KINDS: [Kind; 7] =
    [Kind::Usual, Kind::Operated, Kind::RestForOne, Kind::OneForAll, Kind::OneForRole, Kind::Mortal, Kind::Whimsical];

impl Kind {
    fn plan(self, workers: u16) -> Plan {
        let groups = |agent: std::sync::Arc<dyn Strategy>, worker: std::sync::Arc<dyn Strategy>| {
            let cache = role(Role::new(1, "cache"), 2, worker.clone());
            Plan::new(vec![role(Role::AGENT, 1, agent), cache, role(Role::WORKER, workers, worker)])
        };
        let (agent, worker) = (OneForOne::agent, OneForOne::worker);
        match self {
            Kind::Usual | Kind::Operated => plan(workers),
            Kind::RestForOne => {
                groups(std::sync::Arc::new(RestForOne::new(agent())), std::sync::Arc::new(RestForOne::new(worker())))
            }
            Kind::OneForAll => {
                groups(std::sync::Arc::new(OneForAll::new(agent())), std::sync::Arc::new(OneForAll::new(worker())))
            }
            Kind::OneForRole => {
                groups(std::sync::Arc::new(agent()), std::sync::Arc::new(OneForAll::new(worker()).within_role()))
            }
            Kind::Mortal => {
                let intensity = Intensity::new(5, millis(30_000));
                let mortal = worker().restart(RestartType::Temporary);
                groups(
                    std::sync::Arc::new(Escalating::new(OneForAll::new(agent()), intensity)),
                    std::sync::Arc::new(Significant::all(mortal)),
                )
            }
            Kind::Whimsical => {
                let whim = std::sync::Arc::new(from_fn(whim));
                groups(whim.clone(), whim)
            }
        }
    }
}

/// Any answer. What it remembers is how often it was asked.
fn whim(_: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
    let after = millis([0, 100, 4_000][dice.below(3)]);
    let scope = [Scope::One, Scope::Rest, Scope::Role, Scope::All][dice.below(4)];
    let directive = match dice.below(40) {
        0..=25 => Directive::Restart { scope, after },
        26..=29 => Directive::Replace { drain: after },
        30..=32 => Directive::Park { probe: Some(after) },
        33 | 34 => Directive::Ignore,
        35 => Directive::Park { probe: None },
        36 | 37 => Directive::Remove,
        38 => Directive::Shutdown,
        _ => Directive::Escalate(Reason::new("on a whim")),
    };
    directive.remember(view.memory + 1)
}

/// Processes as the operating system would have them, driven by what the core asks for and by dice; and what operators
/// have been told.
#[derive(Default)]
struct World {
    living: BTreeMap<MemberId, Life>,
    spawned: BTreeMap<Slot, u32>,
    exits: usize,
    records: BTreeMap<MemberId, usize>,
    announced: usize,
    /// When somebody of the role was last of use: ready for a second.
    of_use: BTreeMap<Role, Moment>,
    gave_up: bool,
    stopping: bool,
    /// The same after the present step: what is done in it may be the beginning of the stop.
    begins_to_stop: bool,
    finished: bool,
    /// Slots that there are.
    open: BTreeSet<Slot>,
    /// Slots that an operator has stopped.
    stopped: BTreeSet<Slot>,
    /// Operations that have not been concluded, and since when.
    pending: BTreeMap<OperationId, (Operation, Moment)>,
    operations: u64,
    /// How many were concluded as what.
    concluded: [usize; 3],
    /// How often somebody went along with somebody.
    went_along: usize,
}

#[derive(Default)]
struct Life {
    ready: bool,
    admitted: Option<Moment>,
    asked: bool,
    killed: bool,
}

impl World {
    fn obey(&mut self, actions: Actions, kind: Kind, now: Moment, seed: u64) {
        for action in actions {
            assert!(!self.finished, "seed {seed}: {action:?} after the end");
            match action {
                Action::Spawn(id) => {
                    let nth = self.spawned.entry(id.slot()).or_default();
                    *nth += 1;
                    assert_eq!(*nth, id.incarnation().get(), "seed {seed}: {id} skips or repeats an incarnation");
                    assert!(self.open.contains(&id.slot()), "seed {seed}: {id} has no slot");
                    assert!(!self.stopped.contains(&id.slot()), "seed {seed}: {id} fills a slot that was stopped");
                    assert!(!self.stopping, "seed {seed}: {id} is started while the cluster stops");
                    let serving = self
                        .living
                        .iter()
                        .filter(|(other, life)| other.slot() == id.slot() && !life.asked && !life.killed);
                    assert_eq!(serving.count(), 0, "seed {seed}: {id} would be the second in its slot");
                    if id.role() != Role::AGENT && self.announced == 0 {
                        assert!(
                            self.living.iter().any(|(other, life)| other.role() == Role::AGENT && life.ready),
                            "seed {seed}: {id} is started without an agent"
                        );
                    }
                    self.living.insert(id, Life::default());
                }
                Action::Drain(id, _) | Action::Terminate(id, _) => {
                    // Who is told to stop shuts the port for all who share it.
                    let shuts = matches!(action, Action::Terminate(..));
                    assert!(self.begins_to_stop || !shuts, "seed {seed}: {id} is told to stop, and others serve on");
                    if self.stopping || shuts {
                        let later = self.living.keys().find(|other| other.role() > id.role());
                        assert_eq!(later, None, "seed {seed}: {id} is stopped before those behind it have gone");
                    }
                    if let Some(life) = self.living.get_mut(&id) {
                        life.asked = true;
                    }
                }
                Action::Kill(id) => {
                    let life = self.living.get_mut(&id).unwrap_or_else(|| panic!("seed {seed}: {id} is not there"));
                    assert!(!life.killed, "seed {seed}: {id} is killed twice");
                    life.killed = true;
                }
                Action::Abandon(id) => {
                    self.exits += 1;
                    assert!(self.living.remove(&id).is_some_and(|life| life.killed), "seed {seed}: {id}");
                }
                Action::Open(slot) => assert!(self.open.insert(slot), "seed {seed}: {slot} is opened twice"),
                Action::Close(slot) => {
                    assert!(self.open.remove(&slot), "seed {seed}: {slot} is closed twice");
                    assert!(
                        !self.living.keys().any(|id| id.slot() == slot),
                        "seed {seed}: {slot} is closed on somebody"
                    );
                    self.stopped.remove(&slot);
                }
                Action::Conclude(id, conclusion) => {
                    let pending = self.pending.remove(&id);
                    let (operation, _) = pending.unwrap_or_else(|| panic!("seed {seed}: {id} is concluded twice"));
                    match (operation, &conclusion) {
                        (Operation::Stop(slot), Conclusion::Done) => {
                            assert!(
                                !self.living.keys().any(|id| id.slot() == slot),
                                "seed {seed}: {slot} is not empty"
                            );
                            // Unless somebody wants it back already.
                            if !self.pending.values().any(|(waits, _)| *waits == Operation::Restart(slot)) {
                                self.stopped.insert(slot);
                            }
                        }
                        (Operation::Restart(slot), Conclusion::Done) => {
                            let ready =
                                self.living.iter().any(|(id, life)| id.slot() == slot && life.admitted.is_some());
                            assert!(ready, "seed {seed}: {slot} is not ready");
                        }
                        (Operation::Scale(..) | Operation::Restart(_) | Operation::Stop(_), _) => {}
                    }
                    self.concluded[match conclusion {
                        Conclusion::Done => 0,
                        Conclusion::Superseded => 1,
                        Conclusion::Failed(_) => 2,
                    }] += 1;
                }
                Action::Record(record) => {
                    match &record.decision {
                        Decision::GiveUp | Decision::Strategy(Directive::Escalate(_)) => {
                            self.gave_up = true;
                            if kind == Kind::Usual {
                                let missed = now - self.of_use[&record.member.role()];
                                assert!(missed >= millis(60_000), "seed {seed}: gives up after {missed:?}");
                            }
                        }
                        Decision::Regrouped(_) => self.went_along += 1,
                        Decision::Strategy(_)
                        | Decision::AlreadyReplaced
                        | Decision::Operated(_)
                        | Decision::Stopping
                        | Decision::StartFailed => {}
                    }
                    if record.cause.exit().is_some() {
                        *self.records.entry(record.member).or_default() += 1;
                    }
                }
                Action::AnnounceReady => {
                    self.announced += 1;
                    self.of_use = [Role::AGENT, Role::WORKER].map(|role| (role, now)).into();
                }
                Action::Finish(_) => {
                    assert!(self.living.is_empty(), "seed {seed}: {:?} outlive the cluster", self.living.keys());
                    assert!(self.pending.is_empty(), "seed {seed}: {:?} never end", self.pending);
                    self.finished = true;
                }
                Action::Admit(id) => {
                    let life = self.living.get_mut(&id).unwrap_or_else(|| panic!("seed {seed}: {id} is not there"));
                    life.admitted = Some(now);
                }
                Action::ResendReady(_) | Action::Stay(_) | Action::Park(_) | Action::Vacate(_) => {}
            }
        }
        assert!(self.announced <= 1, "seed {seed}: ready is announced twice");
        for (id, (operation, since)) in &self.pending {
            assert!(now - *since <= OPERATION_BOUND, "seed {seed}: {id}, {operation}, takes {:?}", now - *since);
        }
    }

    /// Who serves at this moment is of use, if it has for a second.
    fn look(&mut self, now: Moment) {
        for (id, life) in self.living.iter().filter(|(_, life)| !life.asked && !life.killed) {
            if life.admitted.is_some_and(|since| now - since >= millis(1_000))
                && let Some(last) = self.of_use.get_mut(&id.role())
            {
                *last = now;
            }
        }
    }

    /// An operator asks for something about somebody.
    fn wish(&mut self, dice: &mut Dice, now: Moment) -> Event {
        self.operations += 1;
        let id = OperationId(self.operations);
        let slots: Vec<Slot> = self.spawned.keys().copied().collect();
        let slot = slots[dice.below(slots.len())];
        let operation = match dice.below(8) {
            0..=3 => Operation::Restart(slot),
            4 | 5 => Operation::Stop(slot),
            6 => Operation::Scale(slot.role(), dice.below(5) as u16),
            _ => Operation::Scale(Role::WORKER, 1 + dice.below(4) as u16),
        };
        if let Operation::Restart(slot) = operation {
            self.stopped.remove(&slot);
        }
        self.pending.insert(id, (operation, now));
        Event::Operate(id, operation)
    }
}

/// Two restarts behind each other, each with a stop, a kill, a boot and leaps of 20 s; and groups that begin again, until
/// the patience with a role is out.
const OPERATION_BOUND: Duration = Duration::from_secs(400);

/// Thousands of lives at random: boots that fail, exceptions, silence, kills, links that go before or after their process,
/// old facts repeated, operators with wishes, and a stop in the end, which must end.
#[test]
fn walks_at_random_keep_every_promise() {
    let base: u64 = std::env::var("HATCHERY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let seeds: u64 = std::env::var("HATCHERY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000);
    let worlds: Vec<World> = (base..base + seeds).map(walk).collect();
    // A walk that never gets going proves little, and one seed alone nothing of this.
    if worlds.len() < 500 {
        return;
    }
    let count = |of: fn(&World) -> usize| worlds.iter().map(of).sum::<usize>();
    let running = count(|world| world.announced);
    let (exits, gave_up) = (count(|world| world.exits), count(|world| usize::from(world.gave_up)));
    let (along, done) = (count(|world| world.went_along), count(|world| world.concluded[0]));
    let (superseded, failed) = (count(|world| world.concluded[1]), count(|world| world.concluded[2]));
    println!("{running} ran, {exits} exits, {gave_up} gave up, {along} went along");
    println!("operations: {done} done, {superseded} superseded, {failed} failed");
    assert!(running * 2 > worlds.len() && exits > worlds.len() * 5, "{running} ran, {exits} exits");
    assert!(gave_up * 100 > worlds.len(), "{gave_up} gave up");
    for (what, often) in [("went along", along), ("done", done), ("superseded", superseded), ("failed", failed)] {
        assert!(often > worlds.len() / 5, "{what}: {often}");
    }
}

/// One life of a cluster, until its end.
fn walk(seed: u64) -> World {
    // A minute without anybody of use, a boot and a second as the last chance; and time goes by in leaps of 20 s.
    let patience = millis(60_000 + 10_000 + 1_000 + 3 * 20_000);
    let mut dice = Dice::seeded(seed);
    let kind = KINDS[dice.below(KINDS.len())];
    let plan = kind.plan(1 + dice.below(3) as u16);
    let (mut world, mut now, mut old) = (World::default(), Moment::START, Vec::new());
    world.open = plan.roles().iter().flat_map(RolePlan::slots).collect();
    let mut supervisor = Supervisor::new(plan.clone(), seed);
    let mut recorder = Recorder::new(&supervisor);
    let steps = 20 + dice.below(200);
    let actions = supervisor.handle(Event::Boot, now);
    recorder.step(now, &Event::Boot, actions.as_slice(), &supervisor);
    world.obey(actions, kind, now, seed);
    let smooth_start = dice.below(4) > 0;
    for step in 0.. {
        if world.finished {
            break;
        }
        assert!(step < steps + 2_000, "seed {seed}: the stop does not end");
        let booting = smooth_start && world.announced == 0 && step < steps;
        // The usual one is mostly without anybody for long; the others are to live, so that more can meet.
        let leap = match kind {
            Kind::Usual => [0, 1, 50, 900, 3_000, 20_000][dice.below(6)],
            Kind::Operated | Kind::RestForOne | Kind::OneForAll | Kind::OneForRole | Kind::Mortal | Kind::Whimsical => {
                [0, 0, 1, 1, 50, 50, 300, 900, 3_000, 20_000][dice.below(10)]
            }
        };
        now = now + millis(if booting { 1 } else { leap });
        world.look(now);
        let event = match supervisor.deadline() {
            Some(due) if due <= now => Event::DeadlinePassed,
            _ if step == steps => Event::Stop(Urgency::Graceful),
            _ if step > steps && dice.below(20) == 0 => Event::Stop(Urgency::Quick),
            _ if booting => {
                let unready = world.living.iter_mut().find(|(_, life)| !life.ready);
                let (id, life) = unready.expect("somebody is still starting");
                life.ready = true;
                Event::Ready(*id)
            }
            _ if kind != Kind::Usual && dice.below(6) == 0 => world.wish(&mut dice, now),
            _ => happening(&mut world, &mut dice, &old),
        };
        if let Event::Exited(id, _) = &event
            && world.living.remove(id).is_some()
        {
            world.exits += 1;
        }
        old.push(event.clone());
        let failures = supervisor.history.iter().count();
        let actions = supervisor.handle(event.clone(), now);
        if std::env::var_os("TRACE").is_some() {
            println!("{now} {kind:?} {event} => {:?}", actions.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
        recorder.step(now, &event, actions.as_slice(), &supervisor);
        if dice.below(400) == 0 {
            // From here on, as if the ring had gone round.
            recorder = Recorder::new(&supervisor);
        }
        let asked = actions.iter().filter(|action| is_answer(action)).count();
        let counted = supervisor.history.iter().count() - failures;
        assert!(counted <= asked, "seed {seed}: {event} counts {counted} failures and asks about {asked}");
        world.begins_to_stop = supervisor.phase.is_stopping();
        world.obey(actions, kind, now, seed);
        world.stopping = world.begins_to_stop;
        if kind == Kind::Usual && step < steps && !world.gave_up {
            for (role, last) in &world.of_use {
                assert!(now - *last <= patience, "seed {seed}: nobody of role {role} is of use, and it goes on");
            }
        }
    }
    let recorded: usize = world.records.values().sum();
    assert!(world.records.values().all(|&times| times == 1), "seed {seed}: {:?}", world.records);
    assert_eq!(recorded, world.exits, "seed {seed}: exits and recorded causes differ");
    assert_eq!(supervisor.deadline(), None, "seed {seed}: something is due after the end");
    if seed.is_multiple_of(10) {
        let written = serde_json::to_string(&recorder.recording()).expect("it can be written");
        let read: Recording = serde_json::from_str(&written).expect("it can be read");
        let steps = read.replay(plan).unwrap_or_else(|divergence| panic!("seed {seed}: {divergence}"));
        assert_eq!(steps.len(), read.steps().len());
    }
    world
}

/// Whether a strategy was asked, and its answer was not to count it.
fn is_answer(action: &Action) -> bool {
    match action {
        Action::Record(record) => match &record.decision {
            Decision::Strategy(Directive::Ignore) => false,
            Decision::Strategy(_) | Decision::StartFailed => true,
            // One who is alive and whom a strategy would not have replaced.
            Decision::Operated(_) => record.cause.exit().is_none(),
            Decision::AlreadyReplaced | Decision::Regrouped(_) | Decision::Stopping | Decision::GiveUp => false,
        },
        Action::Spawn(_)
        | Action::Admit(_)
        | Action::AnnounceReady
        | Action::ResendReady(_)
        | Action::Stay(_)
        | Action::Drain(..)
        | Action::Terminate(..)
        | Action::Kill(_)
        | Action::Abandon(_)
        | Action::Park(_)
        | Action::Vacate(_)
        | Action::Open(_)
        | Action::Close(_)
        | Action::Conclude(..)
        | Action::Finish(_) => false,
    }
}

/// Something that may happen to somebody, or an old fact again.
fn happening(world: &mut World, dice: &mut Dice, old: &[Event]) -> Event {
    let ids: Vec<MemberId> = world.living.keys().copied().collect();
    if ids.is_empty() || (dice.below(8) == 0 && !old.is_empty()) {
        // Only facts about members: to stop twice is a new wish.
        let is_fact = |event: &&Event| {
            matches!(
                event,
                Event::Exited(..)
                    | Event::Exception(..)
                    | Event::Unresponsive(..)
                    | Event::LinkLost(..)
                    | Event::Ready(_)
            )
        };
        let facts: Vec<_> = old.iter().filter(is_fact).collect();
        return facts.get(dice.below(facts.len().max(1))).map_or(Event::DeadlinePassed, |&event| event.clone());
    }
    let id = ids[dice.below(ids.len())];
    let life = world.living.get_mut(&id).expect("it was just listed");
    match dice.below(14) {
        0..=5 => {
            life.ready = true;
            Event::Ready(id)
        }
        6 => {
            let returned = Exception::new(ExceptionKind::Returned, "no licence");
            Event::Exception(id, [panic(), returned][dice.below(2)].clone())
        }
        7 | 8 => {
            // Out of reach, it serves nobody.
            life.admitted = None;
            let broken = LinkError::Protocol("random".into());
            Event::LinkLost(id, [LinkError::Closed, broken][dice.below(2)].clone())
        }
        9 => Event::Exited(id, Exit::code([0, 1, 64, 70][dice.below(4)])),
        10 => {
            life.admitted = None;
            Event::Unresponsive(id, millis(30_000))
        }
        _ if life.asked || life.killed => Event::Exited(id, Exit::code(0)),
        _ => Event::Exited(id, Exit::signal(9)),
    }
}
