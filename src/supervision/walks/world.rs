//! The world of a walk, and what it never forgives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::tables::millis;
use super::super::*;
use super::kinds::Kind;
use crate::identity::{MemberId, Role, Slot};

/// Processes as the operating system would have them, driven by what the core asks for and by dice; and what operators
/// have been told.
#[derive(Default)]
pub(super) struct World {
    pub(super) living: BTreeMap<MemberId, Life>,
    pub(super) spawned: BTreeMap<Slot, u32>,
    pub(super) exits: usize,
    pub(super) records: BTreeMap<MemberId, usize>,
    pub(super) announced: usize,
    /// When somebody of the role was last of use: ready for a second.
    pub(super) of_use: BTreeMap<Role, Moment>,
    pub(super) gave_up: bool,
    pub(super) stopping: bool,
    /// The same after the present step: what is done in it may be the beginning of the stop.
    pub(super) begins_to_stop: bool,
    pub(super) finished: bool,
    /// Slots that there are.
    pub(super) open: BTreeSet<Slot>,
    /// Slots that an operator has stopped.
    pub(super) stopped: BTreeSet<Slot>,
    /// Operations that have not been concluded, and since when.
    pub(super) pending: BTreeMap<OperationId, (Operation, Moment)>,
    pub(super) operations: u64,
    /// How many were concluded as what.
    pub(super) concluded: [usize; 3],
    /// How often somebody went along with somebody.
    pub(super) went_along: usize,
}

#[derive(Default)]
pub(super) struct Life {
    pub(super) ready: bool,
    pub(super) admitted: Option<Moment>,
    pub(super) asked: bool,
    pub(super) killed: bool,
}

impl World {
    pub(super) fn obey(&mut self, actions: Actions, kind: Kind, now: Moment, seed: u64) {
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
                        | Decision::AlreadyDecided
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
    pub(super) fn look(&mut self, now: Moment) {
        for (id, life) in self.living.iter().filter(|(_, life)| !life.asked && !life.killed) {
            if life.admitted.is_some_and(|since| now - since >= millis(1_000))
                && let Some(last) = self.of_use.get_mut(&id.role())
            {
                *last = now;
            }
        }
    }

    /// An operator asks for something about somebody.
    pub(super) fn wish(&mut self, dice: &mut Dice, now: Moment) -> Event {
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
pub(super) const OPERATION_BOUND: Duration = Duration::from_secs(400);

/// Whether a strategy was asked, and its answer was not to count it.
pub(super) fn is_answer(action: &Action) -> bool {
    match action {
        Action::Record(record) => match &record.decision {
            Decision::Strategy(Directive::Ignore) => false,
            Decision::Strategy(_) | Decision::StartFailed => true,
            // One who is alive and whom a strategy would not have replaced.
            Decision::Operated(_) => record.cause.exit().is_none(),
            Decision::AlreadyReplaced
            | Decision::AlreadyDecided
            | Decision::Regrouped(_)
            | Decision::Stopping
            | Decision::GiveUp => false,
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
