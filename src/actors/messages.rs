//! What the actors of the master say to each other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::DuplexStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::observe::Beat;
use super::routes::Routes;
use crate::identity::MemberId;
use crate::process::{ExitRecord, ProcessControl, SpawnError, Spawned};
use crate::supervision::{Conclusion, Event, Exit, LinkError, Operation, Urgency};
use crate::transport::{Account, Ack, Books, Growth, Line, Order, Run, Said};

/// To the master.
pub(crate) enum MasterMsg {
    /// Somebody asks for the cluster to stop. Why, for the log.
    Stop(Urgency, &'static str),
    /// The moment that the core asked to be woken at.
    DeadlinePassed,
    /// A fact for the core. The permit is given back when it has been dealt with: a member that reports without pause
    /// is not read without pause.
    Fact(Event, Option<OwnedSemaphorePermit>),
    /// An operator asks for something, and wants to know how it ended.
    Operate(Operation, oneshot::Sender<Conclusion>),
    /// Whether it still takes messages, in their turn.
    Turn(oneshot::Sender<()>),
    /// A process exists, and this is kept of what goes over its link.
    Started(MemberId, u32, Arc<Books>),
    /// A member has become unresponsive, or is heard again.
    Beat(MemberId, Beat),
    /// A member wants to be told who is who.
    Watch(MemberId),
    /// From the master to itself, behind what has come meanwhile: time to tell those who watch.
    Publish,
}

/// To the actor of a slot.
pub(crate) enum SlotMsg {
    /// Where the others are. Once, before anything else.
    Routes(Arc<Routes>),
    /// Start this process.
    Start(MemberId),
    /// Its process exists, and this is the way to it.
    Linked(Linked),
    /// It is ready: messages may go to it.
    Admit(MemberId),
    /// For the process of that name. One that has ended needs no orders.
    Order(MemberId, Order),
    /// The same to whoever is in the slot.
    Announce(Order),
    /// A role has grown: for every process of the slot, since any of them may hear from the new ones.
    Growth(Growth),
    /// It finishes and leaves: the slot's messages wait for its successor.
    Replace(MemberId, Duration),
    /// End it, with its descendants.
    Kill(MemberId),
    /// It was killed and does not go: forget it.
    Abandon(MemberId),
    /// No process for now.
    Park,
    /// No process for good.
    Vacate,
    /// Frames for the slot.
    Deliver(Run),
    /// Frames of a member of this slot come back, and the credit that they had used.
    Return(Run, Option<(Account, u32)>),
    /// Credit of a member of this slot comes back.
    Credit { to: MemberId, account: Account, charge: u32 },
    /// A member of this slot has handed frames on.
    Ack(MemberId, Ack),
    /// The news of who is who, for a member of this slot that watches.
    Roster(MemberId, Bytes),
    /// Of what the master keeps, for a member of this slot.
    Shelved(MemberId, Run),
    /// The actor of a process has ended: with its process, or by a fault of ours, which is told.
    Down(MemberId, Result<Exit, String>),
    /// The end of a process whose own actor is not there to tell of it.
    Unattended(MemberId, ExitRecord),
    /// To the master's own place: the program in which the master runs takes part, over this link.
    Occupy(DuplexStream),
}

/// To what the master keeps.
pub(crate) enum ShelfMsg {
    /// Where the others are. Once, before anything else.
    Routes(Arc<Routes>),
    /// A member has sent this.
    Deliver(Run),
    /// So much has been passed on to a member.
    Fetched(MemberId, u32),
    /// A member has ended, and all that it sent has come.
    Gone(MemberId),
}

/// The way to a process.
pub(crate) struct Linked {
    pub(crate) id: MemberId,
    pub(crate) line: Arc<Line>,
    pub(crate) books: Arc<Books>,
    pub(crate) control: Arc<dyn ProcessControl>,
}

/// To the actor of a process.
pub(crate) enum ProcessMsg {
    /// The backend's answer.
    Spawned(Result<Spawned, SpawnError>),
    /// What the member said to its master.
    Said(Said, Option<OwnedSemaphorePermit>),
    /// The link is lost, and the process may live.
    LinkLost(LinkError),
    /// The process has ended, and all that it had sent has been read.
    Ended(ExitRecord),
    /// For the member.
    Order(Order),
    /// The same: a role has grown.
    Growth(Growth),
    /// A round of its pulse has ended, so much later than it should have.
    Round(Duration),
    /// End it, with its descendants.
    Kill,
}

/// What the actor of a process fails with when its process did: OTP's exit reason.
#[derive(Debug, thiserror::Error)]
#[error("{id} {exit}")]
pub(crate) struct ProcessDown {
    pub(crate) id: MemberId,
    pub(crate) exit: Exit,
}
