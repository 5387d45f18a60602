//! What the core is told.

use super::fact::{Exception, Exit, LinkError};
use crate::identity::MemberId;

/// A fact about the outside. Late and repeated ones are normal: they carry the incarnation that they are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The listeners are bound, the members may come.
    Boot,
    /// The member's code said that it is ready.
    Ready(MemberId),
    /// The member is alive and says that something in it went wrong.
    Exception(MemberId, Exception),
    /// The link was lost; its process may still live.
    LinkLost(MemberId, LinkError),
    /// The process is gone, and all that it had sent has been read. Also: it could not be started.
    Exited(MemberId, Exit),
    /// Somebody asked the cluster to stop.
    Stop(Urgency),
    /// The moment that [`Supervisor::deadline`](super::Supervisor::deadline) named is here.
    DeadlinePassed,
}

/// How a stop was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// In order, each with time to finish. Asked for a second time it is [`Quick`](Urgency::Quick), unless that comes
    /// within 200 ms of the first, and is the same.
    Graceful,
    /// Everyone is killed now.
    Quick,
}
