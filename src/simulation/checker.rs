//! What must hold in every step, whatever happens: checked by a witness that keeps its own books, from what the core is
//! told and from what it wants done, and never looks into it.
//!
//! Not all that must hold can be seen here:
//!
//! - I3, I4 and I9 (zombies, descriptors, memory) are about an operating system, and there is none: real processes show them.
//! - I5 is a strategy's own promise. It is held where the built-in one decides, and was not taken for a part of another. Its
//!   limit for a whole role is a delay, which chance moves: only tables know how long it has to be.
//! - I6, I8 and I11 are about messages, and I10 about requests: seen by the code that sends and receives, or asks. What is seen
//!   here of I10 is that nobody shuts the port while others serve.
//! - I13 is seen by whoever knows that the last fault is over: stories of the tests.
//! - 4.2 is held member by member: nobody who is ready is told to go, but for a failure of its own, for its group, for an
//!   operation about its slot, or because the cluster stops. So each of these costs one, and no setting says how many
//!   together may.
//! - A group is known by who was alive when it began. Who was waiting to be started then, and those of a role that is
//!   scaled meanwhile, are only in the core's books.

mod budgets;
mod group;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::budgets::Budgets;
use self::group::Group;
use super::world::World;
use crate::actors::{Beat, Observe};
use crate::identity::{Incarnation, MemberId, Role, Slot};
use crate::supervision::{
    Action, Decision, Directive, Event, Moment, OneForOne, Operation, OperationId, Plan, Record, Scope, Supervisor,
    Verdict,
};

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
    /// Slots that are to stay empty for now.
    off: BTreeSet<Slot>,
    /// How many exits were heard of whom, and how many causes recorded.
    exits: BTreeMap<MemberId, (u32, u32)>,
    budgets: Budgets,
    group: Group,
    step: Step,
    announced: bool,
    told_ready: BTreeSet<MemberId>,
    stopping_since: Option<Moment>,
    /// Asked for, and not ended.
    operations: BTreeMap<OperationId, Operation>,
    gave_up: bool,
    finished: bool,
}

/// What is known of one step only.
#[derive(Debug, Default)]
struct Step {
    /// Whom the fact is about.
    about: Option<MemberId>,
    /// Who has said ready.
    ready: Option<MemberId>,
    /// Who has ended, as they were.
    ended: Vec<(MemberId, Life)>,
    /// Slots of which it was told that they are put aside, and which are not yet.
    parks: BTreeSet<Slot>,
    /// Who was started, or has ended. All others are as they were: a look at everybody in every step would make a long
    /// life, or a large cluster, a slow one.
    touched: BTreeSet<MemberId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    /// Since when.
    ready: Option<Moment>,
    /// When its link was, while it served.
    lost: Option<Moment>,
    /// Its failure has been answered.
    judged: bool,
    /// It drains, and its successor serves.
    draining: bool,
    asked: bool,
    killed: bool,
}

impl Life {
    fn serves(self) -> bool {
        !self.draining && !self.asked && !self.killed
    }

    /// How long it has been ready, if its end or its exception is told now.
    fn ready_for(self, now: Moment) -> Option<Duration> {
        self.ready.map(|since| self.lost.unwrap_or(now) - since)
    }
}

/// A killed process that does not go is given up after 5 s, and a timer may be a little late.
const SLACK: Duration = Duration::from_secs(7);

impl Witness {
    /// Of a cluster of this plan; `built_in`: the roles for which the built-in strategy decides.
    pub(super) fn new(world: Arc<World>, plan: &Plan, built_in: &BTreeMap<Role, OneForOne>) -> Witness {
        Witness { world, books: Mutex::new(Books::new(plan, built_in)) }
    }
}

impl Observe for Witness {
    fn step(&self, now: Moment, event: &Event, actions: &[Action], _: &Supervisor) {
        let wrong = self.books.lock().unwrap_or_else(PoisonError::into_inner).step(now, event, actions);
        wrong.into_iter().for_each(|what| self.world.violated(what));
    }

    fn started(&self, _: Moment, _: MemberId, _: u32) {}

    fn beat(&self, _: Moment, _: MemberId, _: Beat) {}
}

impl Books {
    fn new(plan: &Plan, built_in: &BTreeMap<Role, OneForOne>) -> Books {
        let roles = plan.roles().iter().map(|role| (role.role, role.count, role.stop_timeout)).collect();
        Books { roles, budgets: Budgets::new(built_in), ..Books::default() }
    }

    /// What is wrong with a step.
    fn step(&mut self, now: Moment, event: &Event, actions: &[Action]) -> Vec<String> {
        let mut wrong = Vec::new();
        self.hear(now, event);
        for action in actions {
            self.see(now, action, &mut wrong);
        }
        self.look(now, &mut wrong);
        wrong
    }

    fn hear(&mut self, now: Moment, event: &Event) {
        match event {
            Event::Ready(id) => self.step.ready = Some(*id),
            Event::Exception(id, _) | Event::Unresponsive(id, _) => self.step.about = Some(*id),
            Event::LinkLost(id, _) => {
                self.step.about = Some(*id);
                if let Some(life) = self.alive.get_mut(id).filter(|life| life.serves()) {
                    life.lost.get_or_insert(now);
                }
            }
            // Of one that is known to be gone it is old news.
            Event::Exited(id, _) => drop(self.ended(*id)),
            Event::Stop(_) => self.stops(now),
            Event::Operate(id, operation) => {
                self.operations.insert(*id, *operation);
                match operation {
                    Operation::Stop(slot) => self.group.leaves_out(*slot),
                    Operation::Scale(role, _) => self.group.leaves_out_role(*role),
                    Operation::Restart(_) => {}
                }
            }
            Event::Boot | Event::DeadlinePassed => {}
        }
    }

    /// It is there no longer. `None`: nor was it before.
    fn ended(&mut self, id: MemberId) -> Option<Life> {
        let life = self.alive.remove(&id)?;
        self.exits.entry(id).or_default().0 += 1;
        self.group.gone(id);
        self.step.touched.insert(id);
        self.step.ended.push((id, life));
        Some(life)
    }

    fn stops(&mut self, now: Moment) {
        self.stopping_since.get_or_insert(now);
        self.group.end();
    }

    fn see(&mut self, now: Moment, action: &Action, wrong: &mut Vec<String>) {
        match action {
            Action::Spawn(id) => self.spawned(now, *id, wrong),
            Action::AnnounceReady => {
                if std::mem::replace(&mut self.announced, true) {
                    wrong.push("I7: ready is announced twice".to_owned());
                }
                for (role, count, _) in &self.roles {
                    let ready =
                        self.alive.iter().filter(|(id, life)| id.role() == *role && life.ready.is_some()).count();
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
            Action::Admit(id) => {
                let said = self.step.ready == Some(*id);
                match self.alive.get_mut(id).filter(|life| said && life.serves() && life.ready.is_none()) {
                    Some(life) => life.ready = Some(now),
                    None => wrong.push(format!("{id} is admitted, and has not become ready")),
                }
                self.group.ready(id.slot());
            }
            Action::Drain(id, _) => {
                self.goes(*id, wrong);
                self.touch(*id, "drain", wrong, |life| life.draining = true);
            }
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
                self.goes(*id, wrong);
                self.touch(*id, "die", wrong, |life| life.killed = true);
            }
            Action::Abandon(id) => {
                if !self.ended(*id).is_some_and(|life| life.killed) {
                    wrong.push(format!("{id} is abandoned, and was not killed"));
                }
            }
            Action::Record(record) => self.recorded(now, record, wrong),
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
            Action::Park(slot) => {
                if !self.step.parks.remove(slot) {
                    wrong.push(format!("I14: {slot} is parked without a record of why"));
                }
                self.off.insert(*slot);
                self.group.leaves_out(*slot);
            }
            Action::Vacate(slot) => {
                self.off.insert(*slot);
                self.group.leaves_out(*slot);
                self.budgets.vacated(*slot);
            }
            Action::Open(slot) => self.resize(slot.role(), |count| count + 1),
            Action::Close(slot) => {
                self.resize(slot.role(), |count| count - 1);
                self.budgets.closed(*slot);
            }
            Action::Conclude(id, conclusion) => {
                if self.operations.remove(id).is_none() {
                    wrong.push(format!("4.3: {id} {conclusion}, and was not under way"));
                }
            }
            Action::Stay(_) => {}
        }
    }

    fn recorded(&mut self, now: Moment, record: &Record, wrong: &mut Vec<String>) {
        let id = record.member;
        let alive = record.cause.exit().is_none();
        if !alive {
            self.exits.entry(id).or_default().1 += 1;
            self.step.touched.insert(id);
        }
        match &record.decision {
            Decision::GiveUp | Decision::StartFailed => {
                self.gave_up = true;
                self.stops(now);
            }
            Decision::Strategy(answer) => {
                self.answered(now, id, answer, wrong);
                match answer {
                    Directive::Escalate(_) => {
                        self.gave_up = true;
                        self.stops(now);
                    }
                    Directive::Shutdown => self.stops(now),
                    Directive::Restart { scope: scope @ (Scope::Rest | Scope::Role | Scope::All), .. } => {
                        self.group.begin(id, *scope, self.alive.keys(), &self.off);
                    }
                    Directive::Restart { scope: Scope::One, .. }
                    | Directive::Ignore
                    | Directive::Replace { .. }
                    | Directive::Park { .. }
                    | Directive::Remove => {}
                }
                if let Directive::Park { .. } = answer {
                    self.step.parks.insert(id.slot());
                }
            }
            // The strategy had none follow, and somebody wants one.
            Decision::Operated(_) if alive => self.answered(now, id, &Directive::Remove, wrong),
            Decision::AlreadyReplaced
            | Decision::AlreadyDecided
            | Decision::Regrouped(_)
            | Decision::Operated(_)
            | Decision::Stopping => {}
        }
    }

    /// Its strategy has given this answer to its failure. Asked while it lived, it is not asked again when it has gone.
    fn answered(&mut self, now: Moment, id: MemberId, answer: &Directive, wrong: &mut Vec<String>) {
        if *answer == Directive::Ignore {
            return;
        }
        let of_step = self.step.ended.iter_mut().find(|(ended, _)| *ended == id).map(|(_, life)| life);
        let Some(life) = self.alive.get_mut(&id).or(of_step) else { return };
        if !std::mem::replace(&mut life.judged, true) {
            wrong.extend(self.budgets.failed(id.slot(), life.ready_for(now), answer, now));
        }
    }

    /// A member is to leave. One that is ready has a reason for it.
    fn goes(&self, id: MemberId, wrong: &mut Vec<String>) {
        let Some(life) = self.alive.get(&id).filter(|life| life.serves() && life.ready.is_some()) else { return };
        let is_asked_for = self.operations.values().any(|operation| match operation {
            Operation::Stop(slot) | Operation::Restart(slot) => *slot == id.slot(),
            Operation::Scale(role, count) => *role == id.role() && id.slot().index() >= *count,
        });
        let failed = life.lost.is_some() || self.step.about == Some(id);
        if !failed && !is_asked_for && !self.group.has(id) && self.stopping_since.is_none() {
            wrong.push(format!("4.2: {id} is ready, and is to go for no reason"));
        }
    }

    fn resize(&mut self, role: Role, change: impl Fn(u16) -> u16) {
        for (_, count, _) in self.roles.iter_mut().filter(|(sized, ..)| *sized == role) {
            *count = change(*count);
        }
    }

    fn spawned(&mut self, now: Moment, id: MemberId, wrong: &mut Vec<String>) {
        if self.stopping_since.is_some() {
            wrong.push(format!("{id} is started while the cluster stops"));
        }
        if self.latest.insert(id.slot(), id.incarnation()).is_some_and(|latest| latest >= id.incarnation()) {
            wrong.push(format!("{id} is started: a number of its slot is used again"));
        }
        let is_asked_for = self.operations.values().any(|operation| *operation == Operation::Restart(id.slot()));
        wrong.extend(self.budgets.started(id.slot(), is_asked_for, now));
        wrong.extend(self.group.started(id));
        self.off.remove(&id.slot());
        if !self.announced {
            for (role, count, _) in self.roles.iter().filter(|(role, ..)| *role < id.role()) {
                let of_role = self.alive.range(of_slots(Slot::new(*role, 0), Slot::new(*role, u16::MAX)));
                let were: BTreeSet<Slot> =
                    of_role.filter(|(_, life)| life.ready.is_some()).map(|(id, _)| id.slot()).collect();
                if were.len() < usize::from(*count) {
                    wrong.push(format!("P14: {id} is started before role {role} is ready"));
                }
            }
        }
        self.alive.insert(id, Life::default());
        self.step.touched.insert(id);
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
        let Step { touched, parks, .. } = std::mem::take(&mut self.step);
        for slot in parks {
            wrong.push(format!("I14: {slot} is said to be parked, and is not"));
        }
        for id in touched {
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
