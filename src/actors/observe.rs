//! Those who are told of every step of the core, as it is taken: what is recorded, streamed and traced of a cluster.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::identity::MemberId;
use crate::supervision::{Action, Event, Exception, Exit, Moment, Supervisor};

/// What heartbeats say of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// It has become unresponsive: it has been silent for this long, of time that counts.
    Silent(Duration),
    /// It is heard again.
    Heard,
}

/// Is told what members cannot write down themselves. Called by their actors: it takes note and returns.
pub(crate) trait Clerk: Send + Sync + fmt::Debug + 'static {
    /// A member has this exception, or has died of it. Once for each.
    fn exception(&self, id: MemberId, exception: &Exception, backtrace: &str);

    /// A process has ended, and not cleanly, of nothing that was told as an exception.
    fn ended(&self, id: MemberId, exit: &Exit);

    /// Nobody is left but the master. Resolves when all is written that can be.
    fn conclude(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Is told what the core was told and what it answered. Called in the master's loop: it takes note and returns.
pub(crate) trait Observe: Send + Sync + 'static {
    /// One step: the fact, what is to be done about it, and where everybody stands after it.
    fn step(&self, now: Moment, event: &Event, actions: &[Action], supervisor: &Supervisor);

    /// A process exists, and has this number in the operating system.
    fn started(&self, now: Moment, id: MemberId, pid: u32);

    /// A member that serves has become unresponsive, or is heard again. The core is told when it has been so for too long.
    fn beat(&self, now: Moment, id: MemberId, beat: Beat);
}
