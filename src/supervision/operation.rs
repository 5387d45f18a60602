//! What an operator may ask of a cluster that runs, and how that can end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::action::Cause;
use super::written;
use crate::identity::{MemberId, Role, Slot};

/// A wish by its number, which it has from whoever tells the core: the master of a cluster counts them from 1. It comes back
/// with the [`Conclusion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OperationId(pub u64);

/// What an operator may ask for.
///
/// Each has exactly one [`Conclusion`], within the deadlines of the roles that it is about. None counts against a limit,
/// nor is a strategy asked about who leaves for it. What happens when two of them are about the same slot:
///
/// | under way \ new | restart(slot) | stop(slot) | scale up, or down to where the slot stays | scale that takes the slot away |
/// |---|---|---|---|---|
/// | restart(slot) | the new one waits, also for who drains for the first; one that waits already is superseded | restart is superseded | both go on | restart is superseded |
/// | stop(slot) | the new one waits; one that waits already is superseded | the old one is superseded | both go on | stop is superseded |
/// | scale that brought the slot | both go on; it waits for the new process | the slot counts as done for the scale | the old one is superseded; what it began is waited for | the same |
/// | scale that takes the slot away | no such slot | no such slot | the old one is superseded; who leaves for it is started again when gone | the old one is superseded; what it began is waited for |
/// | restart of a group | the slot is started with its group, and that is it | the slot stays empty | new slots are started in the turn of their role | the slot leaves, and is not started again |
///
/// A stop of the cluster ends all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// That many slots for the role. More: done when the new ones are ready. Fewer: the highest leave within the stop
    /// timeout of the role; done when they are gone. A slot that comes back goes on with its numbers: a
    /// [`MemberId`] is never used again.
    Scale(#[serde(with = "written::role")] Role, u16),
    /// A new process for the slot. Where the role overlaps, at once, while the old one drains within the stop timeout;
    /// otherwise when the old one has gone. Where yet another one drains there from before, it is waited for, however
    /// long it has: a slot has one that drains at a time, and none is killed for a restart. An empty slot is
    /// started now, whatever it was waiting for. Done when the new process is ready; failed when it does not become so,
    /// and supervision goes on as ever.
    Restart(#[serde(with = "written::slot")] Slot),
    /// The slot's process leaves within the stop timeout, and is killed after it. The slot stays empty until it is
    /// restarted. Done when nobody is in it.
    Stop(#[serde(with = "written::slot")] Slot),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conclusion {
    /// It is as was asked.
    Done,
    /// A later operation has taken over. What that comes to is in its own conclusion.
    Superseded,
    /// It is not.
    Failed(OperationError),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OperationError {
    /// The plan has no such role.
    #[error("there is no role {0}")]
    NoSuchRole(#[serde(with = "written::role")] Role),
    /// The role has no such slot, or no longer.
    #[error("there is no slot {0}")]
    NoSuchSlot(#[serde(with = "written::slot")] Slot),
    /// The role may not have so many slots.
    #[error("role {role} may have {most} members at most")]
    TooMany {
        /// Which role.
        #[serde(with = "written::role")]
        role: Role,
        /// How many it may have.
        most: u16,
    },
    /// The cluster has not been ready yet: until then it is what the plan says.
    #[error("the cluster is not ready yet")]
    NotReadyYet,
    /// The cluster is stopping, or has stopped.
    #[error("the cluster is stopping")]
    Stopping,
    /// A process was started for it, and did not become ready.
    #[error("{member} did not become ready: {cause}")]
    BootFailed {
        /// Which one.
        #[serde(with = "written::member")]
        member: MemberId,
        /// Why not.
        cause: Box<Cause>,
    },
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {}", self.0)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Scale(role, count) => write!(f, "scale {role} to {count}"),
            Operation::Restart(slot) => write!(f, "restart {slot}"),
            Operation::Stop(slot) => write!(f, "stop {slot}"),
        }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conclusion::Done => f.write_str("done"),
            Conclusion::Superseded => f.write_str("superseded by a later operation"),
            Conclusion::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}
