//! Sits beside a supervisor and takes down what it is told and answers: the last thousands of steps, and of each slot the
//! last few decisions.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::action::{Action, Record};
use super::children::{Child, ChildState};
use super::event::Event;
use super::moment::Moment;
use super::operation::{Operation, OperationId};
use super::recording::{Recording, Step};
use super::supervisor::Supervisor;
use crate::identity::Slot;

/// Takes down the steps of one supervisor.
///
/// What it keeps is bounded: of the steps the last 4,096 to 8,192, and fewer where they are long, so that they take 4 MiB
/// at most; two copies of the supervisor; of each slot the last 16 decisions.
#[derive(Clone, Debug)]
pub struct Recorder {
    earlier: Option<Stretch>,
    current: Stretch,
    slots: BTreeMap<Slot, VecDeque<(Moment, Because)>>,
}

/// Steps in a row, and the state that they begin with. The ring is made of two: to move its beginning by a single step
/// would mean to take that step again, each time.
#[derive(Clone, Debug)]
struct Stretch {
    start: Supervisor,
    steps: Vec<Step>,
    weight: usize,
}

/// One of the things that brought a slot where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Something happened, and something followed.
    Decided(Record),
    /// An operator asked for it.
    Asked(OperationId, Operation),
}

/// Why a slot stands where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Where it stands.
    pub child: Child,
    /// What happened and what was decided, the oldest first: the last 16 of them.
    pub chain: Vec<(Moment, Because)>,
}

impl Stretch {
    /// Steps and bytes at which another one is begun.
    const STEPS: usize = 4096;
    const WEIGHT: usize = 2 << 20;

    fn new(start: Supervisor) -> Stretch {
        Stretch { start, steps: Vec::new(), weight: 0 }
    }
}

impl Recorder {
    /// Decisions that are remembered of a slot.
    const CHAIN: usize = 16;

    /// Takes down what `supervisor` is told from now on.
    pub fn new(supervisor: &Supervisor) -> Recorder {
        Recorder { earlier: None, current: Stretch::new(supervisor.clone()), slots: BTreeMap::new() }
    }

    /// The supervisor was told `event` at `now`, answered with `actions`, and is `after` now.
    pub fn step(&mut self, now: Moment, event: &Event, actions: &[Action], after: &Supervisor) {
        self.remember(now, event, actions);
        let step = Step { at: now, event: event.clone(), actions: actions.to_vec() };
        self.current.weight += step.weight();
        self.current.steps.push(step);
        if self.current.steps.len() >= Stretch::STEPS || self.current.weight >= Stretch::WEIGHT {
            let full = std::mem::replace(&mut self.current, Stretch::new(after.clone()));
            self.earlier = Some(full);
        }
    }

    /// All that is remembered, to be written down or replayed.
    pub fn recording(&self) -> Recording {
        let Some(earlier) = &self.earlier else {
            return Recording::new(self.current.start.clone(), self.current.steps.clone());
        };
        let steps = earlier.steps.iter().chain(&self.current.steps).cloned().collect();
        Recording::new(earlier.start.clone(), steps)
    }

    /// Why `slot` stands where it does in `supervisor`. `None`: there is no such slot.
    pub fn why(&self, slot: Slot, supervisor: &Supervisor) -> Option<Why> {
        let (role, index) = supervisor.find_open(slot)?;
        let role = &supervisor.roles[role];
        let child = Child::of(role, &role.places[index]);
        let chain = self.slots.get(&slot).map(|chain| chain.iter().cloned().collect()).unwrap_or_default();
        Some(Why { child, chain })
    }

    fn remember(&mut self, now: Moment, event: &Event, actions: &[Action]) {
        if let Event::Operate(id, operation @ (Operation::Restart(slot) | Operation::Stop(slot))) = event {
            self.because(*slot, now, Because::Asked(*id, *operation));
        }
        for action in actions {
            match action {
                Action::Record(record) => {
                    let mut record = Record::clone(record);
                    record.cause = record.cause.without_stderr();
                    self.because(record.member.slot(), now, Because::Decided(record));
                }
                Action::Open(slot) => {
                    if let Event::Operate(id, operation) = event {
                        self.because(*slot, now, Because::Asked(*id, *operation));
                    }
                }
                Action::Close(slot) => {
                    self.slots.remove(slot);
                }
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
                | Action::Conclude(..)
                | Action::Finish(_) => {}
            }
        }
    }

    fn because(&mut self, slot: Slot, now: Moment, because: Because) {
        let chain = self.slots.entry(slot).or_default();
        if chain.len() == Self::CHAIN {
            chain.pop_front();
        }
        chain.push_back((now, because));
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::Decided(record) => write!(f, "{record}"),
            Because::Asked(id, operation) => write!(f, "{id}: {operation}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.child.member {
            Some(id) => write!(f, "{id} is ")?,
            None => write!(f, "{} is ", self.child.slot)?,
        }
        match self.child.state {
            ChildState::Unstarted => f.write_str("not started yet"),
            ChildState::Starting => f.write_str("starting"),
            ChildState::Ready => f.write_str("ready"),
            ChildState::Leaving => f.write_str("leaving"),
            ChildState::Restarting { restart_at } => write!(f, "restarted at {restart_at}"),
            ChildState::Parked { probe_at: Some(probe_at) } => write!(f, "parked, and tried again at {probe_at}"),
            ChildState::Parked { probe_at: None } => f.write_str("parked for good"),
            ChildState::Stopped => f.write_str("stopped"),
            ChildState::Vacant => f.write_str("not restarted any more"),
        }?;
        self.chain.iter().try_for_each(|(at, because)| write!(f, "\n  {at} {because}"))
    }
}
