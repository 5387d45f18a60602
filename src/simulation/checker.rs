//! What must hold in every step, whatever happens: checked by a witness that keeps its own books, from what the core is
//! told and from what it wants done, and never looks into it.
//!
//! Not all that must hold can be seen here. I3 (descendants) and I4 (descriptors) are about an operating system, and there
//! is none: real processes show them. I5 is a strategy's own promise, and a strategy may be the user's. I6, I8 and I11 are
//! seen by the code that sends and receives, I13 by whoever knows that the last fault is over: stories of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::world::World;
use crate::actors::{Beat, Observe};
use crate::identity::{Incarnation, MemberId, Role, Slot};
use crate::supervision::{Action, Cause, Decision, Directive, Event, Moment, OperationId, Plan, Supervisor, Verdict};

/// The witness.
#[derive(Debug)]
pub(super) struct Witness {
    world: Arc<World>,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// The roles in start order, with their number of slots and the time that a stop of theirs may take.
    roles: Vec<(Role, u16, Duration)>,
    alive: BTreeMap<MemberId, Life>,
    latest: BTreeMap<Slot, Incarnation>,
    /// How many exits were heard of whom, and how many causes recorded.
    exits: BTreeMap<MemberId, (u32, u32)>,
    /// Whom this step was about. All others are as they were: a look at everybody in every step would make a long life, or
    /// a large cluster, a slow one.
    touched: BTreeSet<MemberId>,
    announced: bool,
    told_ready: BTreeSet<MemberId>,
    stopping_since: Option<Moment>,
    /// Asked for, and not ended.
    operations: BTreeSet<OperationId>,
    gave_up: bool,
    finished: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    ready: bool,
    /// It drains, and its successor serves.
    draining: bool,
    asked: bool,
    killed: bool,
}

impl Life {
    fn serves(self) -> bool {
        !self.draining && !self.asked && !self.killed
    }
}

/// A killed process that does not go is given up after 5 s, and a timer may be a little late.
const SLACK: Duration = Duration::from_secs(7);

impl Witness {
    pub(super) fn new(world: Arc<World>, plan: &Plan) -> Witness {
        let roles = plan.roles().iter().map(|role| (role.role, role.count, role.stop_timeout)).collect();
        Witness { world, books: Mutex::new(Books { roles, ..Books::default() }) }
    }
}

impl Observe for Witness {
    fn step(&self, now: Moment, event: &Event, actions: &[Action], _: &Supervisor) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrong = Vec::new();
        books.hear(now, event);
        for action in actions {
            books.see(now, action, &mut wrong);
        }
        books.look(now, &mut wrong);
        drop(books);
        wrong.into_iter().for_each(|what| self.world.violated(what));
    }

    fn started(&self, _: Moment, _: MemberId, _: u32) {}

    fn beat(&self, _: Moment, _: MemberId, _: Beat) {}
}

impl Books {
    fn hear(&mut self, now: Moment, event: &Event) {
        match event {
            Event::Ready(id) => {
                if let Some(life) = self.alive.get_mut(id) {
                    life.ready = true;
                }
            }
            Event::Exited(id, _) => {
                // Of one that is known to be gone it is old news.
                if self.alive.remove(id).is_some() {
                    self.exits.entry(*id).or_default().0 += 1;
                    self.touched.insert(*id);
                }
            }
            Event::Stop(_) => drop(self.stopping_since.get_or_insert(now)),
            Event::Operate(id, _) => drop(self.operations.insert(*id)),
            Event::Boot
            | Event::Exception(..)
            | Event::Unresponsive(..)
            | Event::LinkLost(..)
            | Event::DeadlinePassed => {}
        }
    }

    fn see(&mut self, now: Moment, action: &Action, wrong: &mut Vec<String>) {
        match action {
            Action::Spawn(id) => self.spawned(*id, wrong),
            Action::AnnounceReady => {
                if std::mem::replace(&mut self.announced, true) {
                    wrong.push("I7: ready is announced twice".to_owned());
                }
                for (role, count, _) in &self.roles {
                    let ready = self.alive.iter().filter(|(id, life)| id.role() == *role && life.ready).count();
                    if ready < usize::from(*count) {
                        wrong.push(format!("I7: ready is announced with {ready} of {count} of role {role} ready"));
                    }
                }
                self.told_ready.extend(self.alive.keys());
            }
            Action::ResendReady(id) => {
                if !self.announced || !self.told_ready.insert(*id) {
                    wrong.push(format!("I7: {id} is told of ready twice, or too early"));
                }
            }
            Action::Drain(id, _) => self.touch(*id, "drain", wrong, |life| life.draining = true),
            Action::Terminate(id, _) => {
                if self.stopping_since.is_none() {
                    wrong.push(format!("I10: {id} is told to stop, shuts the port of all, and the others serve on"));
                }
                // In the order of their roles.
                let later = self.alive.last_key_value().is_some_and(|(other, _)| other.role() > id.role());
                if later && self.stopping_since.is_some() {
                    wrong.push(format!("4.13: {id} is told to stop while members of a later role are there"));
                }
                self.touch(*id, "stop", wrong, |life| life.asked = true);
            }
            Action::Kill(id) => {
                if self.alive.get(id).is_some_and(|life| life.killed) {
                    wrong.push(format!("{id} is killed twice"));
                }
                self.touch(*id, "die", wrong, |life| life.killed = true);
            }
            Action::Abandon(id) => {
                if !self.alive.remove(id).is_some_and(|life| life.killed) {
                    wrong.push(format!("{id} is abandoned, and was not killed"));
                }
                self.exits.entry(*id).or_default().0 += 1;
                self.touched.insert(*id);
            }
            Action::Record(record) => {
                match record.cause {
                    Cause::Exception(_) | Cause::Unresponsive(_) | Cause::NobodyReady(_) => {}
                    Cause::Exited(_)
                    | Cause::Left(_)
                    | Cause::Overdue(..)
                    | Cause::Hurried(_)
                    | Cause::Displaced(_)
                    | Cause::BootFailed(_)
                    | Cause::LinkLost(..) => {
                        self.exits.entry(record.member).or_default().1 += 1;
                        self.touched.insert(record.member);
                    }
                }
                match &record.decision {
                    Decision::GiveUp | Decision::Strategy(Directive::Escalate(_)) | Decision::StartFailed => {
                        self.gave_up = true;
                        self.stopping_since.get_or_insert(now);
                    }
                    Decision::Strategy(Directive::Shutdown) => drop(self.stopping_since.get_or_insert(now)),
                    Decision::Strategy(_)
                    | Decision::AlreadyReplaced
                    | Decision::AlreadyDecided
                    | Decision::Regrouped(_)
                    | Decision::Operated(_)
                    | Decision::Stopping => {}
                }
            }
            Action::Finish(outcome) => {
                self.finished = true;
                let visible = match outcome.verdict {
                    Verdict::Stopped | Verdict::Completed(_) => true,
                    Verdict::StartFailed(..) | Verdict::GaveUp(_) => self.gave_up,
                };
                if !visible {
                    wrong.push("I14: the cluster gives up without a record of why".to_owned());
                }
                if !self.alive.is_empty() {
                    wrong.push(format!("I2: {:?} outlive the cluster", self.alive.keys()));
                }
                if !self.operations.is_empty() {
                    wrong.push(format!("4.3: {:?} have not ended", self.operations));
                }
                for (id, (exits, records)) in &self.exits {
                    if exits != records {
                        wrong.push(format!("4.8: {id} has ended {exits} times, with {records} recorded causes"));
                    }
                }
            }
            Action::Open(slot) => self.resize(slot.role(), |count| count + 1),
            Action::Close(slot) => self.resize(slot.role(), |count| count - 1),
            Action::Conclude(id, conclusion) => {
                if !self.operations.remove(id) {
                    wrong.push(format!("4.3: {id} {conclusion}, and was not under way"));
                }
            }
            Action::Admit(_) | Action::Stay(_) | Action::Park(_) | Action::Vacate(_) => {}
        }
    }

    fn resize(&mut self, role: Role, change: impl Fn(u16) -> u16) {
        for (_, count, _) in self.roles.iter_mut().filter(|(sized, ..)| *sized == role) {
            *count = change(*count);
        }
    }

    fn spawned(&mut self, id: MemberId, wrong: &mut Vec<String>) {
        if self.stopping_since.is_some() {
            wrong.push(format!("{id} is started while the cluster stops"));
        }
        if self.latest.insert(id.slot(), id.incarnation()).is_some_and(|latest| latest >= id.incarnation()) {
            wrong.push(format!("{id} is started: a number of its slot is used again"));
        }
        if !self.announced {
            for (role, count, _) in self.roles.iter().filter(|(role, ..)| *role < id.role()) {
                let of_role = self.alive.range(of_slots(Slot::new(*role, 0), Slot::new(*role, u16::MAX)));
                let were: BTreeSet<Slot> = of_role.filter(|(_, life)| life.ready).map(|(id, _)| id.slot()).collect();
                if were.len() < usize::from(*count) {
                    wrong.push(format!("P14: {id} is started before role {role} is ready"));
                }
            }
        }
        self.alive.insert(id, Life::default());
        self.touched.insert(id);
        let serving = self.of_slot(id.slot()).filter(|life| life.serves()).count();
        if serving > 1 {
            wrong.push(format!("I1: {serving} processes serve in {}", id.slot()));
        }
    }

    fn of_slot(&self, slot: Slot) -> impl Iterator<Item = &Life> {
        self.alive.range(of_slots(slot, slot)).map(|(_, life)| life)
    }

    fn touch(&mut self, id: MemberId, deed: &str, wrong: &mut Vec<String>, change: impl FnOnce(&mut Life)) {
        match self.alive.get_mut(&id) {
            Some(life) => change(life),
            None => wrong.push(format!("{id} is to {deed}, and is not there")),
        }
    }

    /// What holds after every step.
    fn look(&mut self, now: Moment, wrong: &mut Vec<String>) {
        for id in std::mem::take(&mut self.touched) {
            if self.exits.get(&id).is_some_and(|(exits, records)| *exits > 1 || records > exits) {
                wrong.push(format!("4.8: the end of {id} is counted more than once"));
            }
            // The surge is one for each slot: who serves and who drains beside it, or two who leave, and nobody serves then.
            let living = self.of_slot(id.slot()).filter(|life| !life.killed).count();
            if living > 2 {
                wrong.push(format!("I1: {living} processes of {} live at once", id.slot()));
            }
        }
        let patience: Duration = self.roles.iter().map(|(_, _, patience)| *patience + SLACK).sum();
        if let Some(since) = self.stopping_since.filter(|since| !self.finished && now - *since > patience) {
            wrong.push(format!("I12: asked to stop {:?} ago, and not finished", now - since));
        }
    }
}

/// Every process that there can be in these slots.
fn of_slots(first: Slot, last: Slot) -> RangeInclusive<MemberId> {
    first.member(Incarnation::new(0))..=last.member(Incarnation::new(u32::MAX))
}
