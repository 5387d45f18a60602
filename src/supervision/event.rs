//! What the core is told.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fact::{Exception, Exit, LinkError};
use super::operation::{Operation, OperationId};
use super::written;
use crate::identity::MemberId;

/// A fact about the outside. Late and repeated ones are normal: they carry the incarnation that they are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The listeners are bound, the members may come.
    Boot,
    /// The member's code said that it is ready.
    Ready(#[serde(with = "written::member")] MemberId),
    /// The member is alive and says that something in it went wrong.
    Exception(#[serde(with = "written::member")] MemberId, Exception),
    /// The member has been silent for this long, although it should have been heard.
    Unresponsive(#[serde(with = "written::member")] MemberId, Duration),
    /// The link was lost; its process may still live.
    LinkLost(#[serde(with = "written::member")] MemberId, LinkError),
    /// The process is gone, and all that it had sent has been read. Also: it could not be started.
    Exited(#[serde(with = "written::member")] MemberId, Exit),
    /// An operator asks for something.
    Operate(OperationId, Operation),
    /// Somebody asked the cluster to stop.
    Stop(Urgency),
    /// The moment that [`Supervisor::deadline`](super::Supervisor::deadline) named is here.
    DeadlinePassed,
}

/// How a stop was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Urgency {
    /// In order, each with time to finish. Asked for a second time it is [`Quick`](Urgency::Quick), unless that comes
    /// within 200 ms of the first, and is the same.
    Graceful,
    /// Everyone is killed now.
    Quick,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Boot => f.write_str("boot"),
            Event::Ready(id) => write!(f, "{id} ready"),
            Event::Exception(id, exception) => write!(f, "{id} {exception}"),
            Event::Unresponsive(id, span) => write!(f, "{id} unresponsive for {span:?}"),
            Event::LinkLost(id, error) => write!(f, "{id} link lost: {error}"),
            Event::Exited(id, exit) => write!(f, "{id} {exit}"),
            Event::Operate(id, operation) => write!(f, "{id}: {operation}"),
            Event::Stop(Urgency::Graceful) => f.write_str("stop"),
            Event::Stop(Urgency::Quick) => f.write_str("stop quickly"),
            Event::DeadlinePassed => f.write_str("deadline"),
        }
    }
}
