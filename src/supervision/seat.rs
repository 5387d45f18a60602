//! Where a slot stands: who sits in it, who is on the way out of it, and until when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::Cause;
use super::fact::{Exit, LinkError};
use super::history::History;
use super::moment::Moment;
use super::operation::OperationId;
use super::written;
use crate::identity::{Incarnation, MemberId, Slot};

/// A killed process that is still there after this long is in uninterruptible sleep or frozen; waiting longer would
/// only keep the others from being stopped.
pub(super) const ABANDON_AFTER: Duration = Duration::from_secs(5);

/// One state of a slot, with what only that state needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seat {
    /// Its turn to be started has not come: the roles before it are not ready yet, or its group is being restarted.
    Unstarted,
    /// Its process was started and has not said ready.
    Starting {
        /// Who.
        #[serde(with = "written::incarnation")]
        incarnation: Incarnation,
        /// When it is killed if it still has not.
        ready_by: Moment,
    },
    /// Its process serves.
    Ready {
        /// Who.
        #[serde(with = "written::incarnation")]
        incarnation: Incarnation,
        /// Since when.
        since: Moment,
    },
    /// Its process is to go, and the slot waits for it.
    Leaving {
        /// Who, and for how much longer.
        departure: Departure,
        /// How long it had been ready. `None`: it never was.
        ready_for: Option<Duration>,
        /// Why, and so what follows.
        errand: Errand,
    },
    /// Empty until it is restarted.
    Waiting {
        /// When.
        restart_at: Moment,
    },
    /// Put aside.
    Parked {
        /// When it is tried again. `None`: never by itself.
        probe_at: Option<Moment>,
    },
    /// Empty for good, as its strategy wanted it.
    Vacant,
    /// Empty until an operator says otherwise.
    Stopped,
    /// The slot has been scaled away.
    Closed,
}

/// Why a process was told to go while its slot waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// The cluster stops.
    Stop,
    /// The strategy wants a new one, this long after its end.
    Restart(Duration),
    /// It did not say ready within this time.
    BootTimeout(Duration),
    /// It reported an exception before it was ready; it ends itself.
    BootException,
    /// Its link is lost.
    LinkLost(LinkError),
    /// Its group is restarted.
    Group,
    /// An operator wants it to go.
    Operator(OperationId),
}

/// A process on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    #[serde(with = "written::incarnation")]
    pub(super) incarnation: Incarnation,
    stage: Stage,
}

/// How far a departure has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// It knows, and has until then.
    Asked { kill_by: Moment, allowed: Duration },
    /// It was killed.
    Killed { abandon_at: Moment, why: Killing },
}

/// Why one on its way out was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Killing {
    /// It had had this long.
    Overdue(Duration),
    /// The stop had become urgent.
    QuickStop,
    /// Another of its slot has to drain.
    Displaced,
    /// It did on its link what nobody may.
    Broke(LinkError),
    /// What it did is the cause that is told.
    Deserved,
}

impl Departure {
    pub(super) fn asked(incarnation: Incarnation, allowed: Duration, now: Moment) -> Departure {
        Departure { incarnation, stage: Stage::Asked { kill_by: now + allowed, allowed } }
    }

    pub(super) fn killed(incarnation: Incarnation, why: Killing, now: Moment) -> Departure {
        Departure { incarnation, stage: Stage::Killed { abandon_at: now + ABANDON_AFTER, why } }
    }

    /// Whether it still has time.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked { .. })
    }

    fn deadline(&self) -> Moment {
        match self.stage {
            Stage::Asked { kill_by, .. } => kill_by,
            Stage::Killed { abandon_at, .. } => abandon_at,
        }
    }

    /// It has no longer than `allowed` from now on.
    pub(super) fn hurry(&mut self, allowed: Duration, now: Moment) {
        match self.stage {
            Stage::Asked { kill_by, .. } if kill_by > now + allowed => {
                self.stage = Stage::Asked { kill_by: now + allowed, allowed };
            }
            Stage::Asked { .. } | Stage::Killed { .. } => {}
        }
    }

    /// Whether somebody has to kill it now, and not before. From here on it has been: because it is overdue, or `early`
    /// for another reason.
    pub(super) fn kill(&mut self, early: Killing, now: Moment) -> bool {
        match self.stage {
            Stage::Asked { kill_by, allowed } => {
                let why = if kill_by <= now { Killing::Overdue(allowed) } else { early };
                self.stage = Stage::Killed { abandon_at: now + ABANDON_AFTER, why };
                true
            }
            Stage::Killed { .. } => false,
        }
    }

    /// Its end, told as what it was.
    pub(super) fn cause(&self, exit: Exit) -> Cause {
        match &self.stage {
            Stage::Asked { .. } => Cause::Left(exit),
            Stage::Killed { why: Killing::Overdue(allowed), .. } => Cause::Overdue(*allowed, exit),
            Stage::Killed { why: Killing::QuickStop, .. } => Cause::Hurried(exit),
            Stage::Killed { why: Killing::Displaced, .. } => Cause::Displaced(exit),
            Stage::Killed { why: Killing::Broke(error), .. } => Cause::LinkLost(error.clone(), exit),
            Stage::Killed { why: Killing::Deserved, .. } => Cause::Exited(exit),
        }
    }
}

/// A slot: its seat, those on their way out beside it, and what it remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    #[serde(with = "written::slot")]
    pub(super) slot: Slot,
    pub(super) seat: Seat,
    /// Those who drain while their successor starts or serves. At most one of them still has time.
    pub(super) outgoing: Vec<Departure>,
    #[serde(with = "written::maybe_incarnation")]
    pub(super) last: Option<Incarnation>,
    pub(super) history: History,
    /// How often in a row it has been parked.
    pub(super) parked: usize,
    /// What its strategy wants to remember of it.
    pub(super) memory: u64,
    /// What an operator wants of it.
    pub(super) task: Option<Task>,
    /// A restart that was asked for behind that.
    pub(super) next: Option<OperationId>,
    /// By whom it is scaled away.
    pub(super) closing: Option<OperationId>,
    /// Whether the scaling of its role waits for it.
    pub(super) scaled: bool,
}

/// What an operator wants of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// A process that is later than this one, and ready.
    Restart {
        id: OperationId,
        #[serde(with = "written::maybe_incarnation")]
        later_than: Option<Incarnation>,
    },
    /// Nobody.
    Stop { id: OperationId },
}

impl Task {
    pub(super) fn id(self) -> OperationId {
        match self {
            Task::Restart { id, .. } | Task::Stop { id } => id,
        }
    }
}

impl Place {
    pub(super) fn new(slot: Slot) -> Place {
        Place {
            slot,
            seat: Seat::Unstarted,
            outgoing: Vec::new(),
            last: None,
            history: History::default(),
            parked: 0,
            memory: 0,
            task: None,
            next: None,
            closing: None,
            scaled: false,
        }
    }

    /// Seats the next incarnation.
    pub(super) fn seat_next(&mut self, ready_by: Moment) -> MemberId {
        let incarnation = self.next_incarnation();
        self.last = Some(incarnation);
        self.seat = Seat::Starting { incarnation, ready_by };
        self.slot.member(incarnation)
    }

    pub(super) fn next_incarnation(&self) -> Incarnation {
        self.last.map_or(Incarnation::FIRST, Incarnation::next)
    }

    /// The operation that wants nobody in it, if there is one.
    pub(super) fn unwanted_by(&self) -> Option<OperationId> {
        match (self.closing, self.task) {
            (Some(id), _) | (None, Some(Task::Stop { id })) => Some(id),
            (None, Some(Task::Restart { .. }) | None) => None,
        }
    }

    /// Whether somebody is or will be in it of whom nobody knows yet whether it becomes ready.
    pub(super) fn is_awaited(&self) -> bool {
        match self.seat {
            Seat::Unstarted | Seat::Starting { .. } | Seat::Waiting { .. } => true,
            Seat::Leaving { .. } => self.unwanted_by().is_none(),
            Seat::Ready { .. } | Seat::Parked { .. } | Seat::Vacant | Seat::Stopped | Seat::Closed => false,
        }
    }

    /// Whether nobody is missed in it: its strategy or an operator wants it empty, or an operator has it restarted.
    pub(super) fn is_off(&self) -> bool {
        match &self.seat {
            Seat::Vacant | Seat::Stopped | Seat::Closed => true,
            Seat::Leaving { errand: Errand::Operator(_), .. } => true,
            Seat::Leaving { .. } => self.unwanted_by().is_some(),
            Seat::Unstarted
            | Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Waiting { .. }
            | Seat::Parked { .. } => false,
        }
    }

    /// Takes out the departure of `incarnation`, if it is on its way out beside the seat.
    pub(super) fn take_outgoing(&mut self, incarnation: Incarnation) -> Option<Departure> {
        let position = self.outgoing.iter().position(|departure| departure.incarnation == incarnation)?;
        Some(self.outgoing.remove(position))
    }

    /// Those who have a process, the one in the seat first.
    pub(super) fn processes(&self) -> impl Iterator<Item = Incarnation> + '_ {
        let seated = match &self.seat {
            Seat::Starting { incarnation, .. } | Seat::Ready { incarnation, .. } => Some(*incarnation),
            Seat::Leaving { departure, .. } => Some(departure.incarnation),
            Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => None,
        };
        seated.into_iter().chain(self.outgoing.iter().map(|departure| departure.incarnation))
    }

    /// Since when its member has been ready, if it is.
    pub(super) fn ready_since(&self) -> Option<Moment> {
        match self.seat {
            Seat::Ready { since, .. } => Some(since),
            Seat::Unstarted
            | Seat::Starting { .. }
            | Seat::Leaving { .. }
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => None,
        }
    }

    /// When the seat, or somebody on the way out of it, is due.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.seat.deadline().into_iter().chain(self.outgoing.iter().map(Departure::deadline)).min()
    }
}

impl Seat {
    fn deadline(&self) -> Option<Moment> {
        match self {
            Seat::Starting { ready_by, .. } => Some(*ready_by),
            Seat::Leaving { departure, .. } => Some(departure.deadline()),
            Seat::Waiting { restart_at } => Some(*restart_at),
            Seat::Parked { probe_at } => *probe_at,
            Seat::Unstarted | Seat::Ready { .. } | Seat::Vacant | Seat::Stopped | Seat::Closed => None,
        }
    }

    /// Whether its moment has come.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.deadline().is_some_and(|due| due <= now)
    }
}

impl Departure {
    /// Whether its moment has come.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.deadline() <= now
    }
}
