//! Those who are told of every step of the core, as it is taken: what is recorded, streamed and traced of a cluster.

use crate::identity::MemberId;
use crate::supervision::{Action, Event, Moment, Supervisor};

/// Is told what the core was told and what it answered. Called in the master's loop: it takes note and returns.
pub(crate) trait Observe: Send + Sync + 'static {
    /// One step: the fact, what is to be done about it, and where everybody stands after it.
    fn step(&self, now: Moment, event: &Event, actions: &[Action], supervisor: &Supervisor);

    /// A process exists, and has this number in the operating system.
    fn started(&self, now: Moment, id: MemberId, pid: u32);
}
