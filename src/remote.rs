//! Actors in other processes: a member serves one of its own, and to everybody else it is an ordinary
//! [`ActorRef`].
//!
//! A [`Protocol`] names what can be cast, called and replied. [`ProxyMsg`] is the message of the actor that does the work
//! and of every reference to it, so ractor's own `cast!`, `call!` and `forward!` work on both, and the same test runs with
//! the actor in the same process and in another. ractor's `cluster` feature is not needed.
//!
//! ```text
//!  anywhere                              the member that serves
//!  ActorRef ─► proxy ─► messenger ═════► messenger ─► ActorRef ─► the actor
//!              one per protocol          under the protocol's name
//!              and slot, never waits
//! ```
//!
//! What goes over the border goes by the rules of all messages (see [`messenger`]): in order from one
//! reference to one slot, at most once, bounded, with a word about every loss. A reference names a slot, not a process: it
//! stays valid while the slot restarts, and what is sent meanwhile waits.
//!
//! # What differs from an actor in the same process
//!
//! - ractor cannot refuse a cast. One for which there is no room (1 MiB or 8,192 messages on their way from this process
//!   to that slot) is a dead letter: it comes to [`undelivered`](crate::Messenger::undelivered) with [`Reason::Full`], is
//!   counted and logged. A call gets that as its answer, at once. Whoever would rather wait uses the messenger.
//!   The mailbox of a reference is emptied at each of its turns: only what a caller casts without ever letting others run
//!   waits there.
//! - Every call has a deadline, [`Protocol::CALL_TIMEOUT`] or the one that ractor was given, whichever is shorter.
//! - A death answers the calls that were open with [`CallError::Undelivered`] and [`Reason::Died`]; casts that the dead had
//!   not taken over come back as undelivered.
//! - The mailbox of the actor that serves is ractor's, and without a bound. A protocol that ties the [`Receipt`] to its
//!   casts makes them wait where all messages do instead: see [`Protocol::received`].
//! - A panic in the actor ends the actor, as everywhere in ractor, and it is an exception of its member, as all panics are:
//!   a worker is drained and replaced. An actor that fails with `Err` is its supervisor's business alone. While no actor
//!   serves the protocol there, casts come back and calls are answered with [`Reason::Ended`], until another
//!   [takes its place](crate::Messenger::host).

mod ask;
mod host;
mod proxy;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ractor::{ActorCell, ActorRef, RpcReplyPort};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use ask::{Ask, ask};
pub use host::{AlreadyHosted, Receipt};

use crate::identity::{Role, Slot};
use crate::messenger::{self, CALL_TIMEOUT, CallError, Messenger, Reason, Recipient, SendError, Undelivered};
use crate::transport::RESERVED;
use proxy::Place;

/// What an actor can be told and asked by other processes. Bounds are serde's alone; the type itself is only a name.
///
/// ```
/// struct Counter;
///
/// impl hatchery::Protocol for Counter {
///     const NAME: &'static str = "counter";
///     type Cast = u64;   // add so much
///     type Call = ();    // how much is it?
///     type Reply = u64;
/// }
/// ```
pub trait Protocol: 'static {
    /// The name under which it is served: the same in every process, and no other protocol's. 1 to 128 bytes.
    const NAME: &'static str;

    /// How long a call may take, for those who say nothing shorter.
    const CALL_TIMEOUT: Duration = CALL_TIMEOUT;

    /// What it can be told.
    type Cast: Serialize + DeserializeOwned + Send + 'static;
    /// What it can be asked.
    type Call: Serialize + DeserializeOwned + Send + 'static;
    /// What it answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// Called where the actor is served, with every cast that has come for it, before it is in the mailbox. The receipt
    /// says that the cast has been dealt with when it is dropped: by default now, which is when the actor is given it.
    ///
    /// A cast with a field for the receipt (`#[serde(skip)] receipt: Receipt`) keeps it until the actor drops the cast.
    /// Then senders wait for a slow actor, its mailbox has a bound, and what a dying member had in it comes back.
    fn received(cast: &mut Self::Cast, receipt: Receipt) {
        let _ = cast;
        drop(receipt);
    }
}

/// The message of an actor that serves a protocol, and of all references to it.
pub enum ProxyMsg<P: Protocol> {
    /// It is told something.
    Cast(P::Cast),
    /// It is asked something. Dropped without a reply, the caller hears [`CallError::Dropped`].
    Call(P::Call, RpcReplyPort<Result<P::Reply, CallError>>),
}

impl<P: Protocol> fmt::Debug for ProxyMsg<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            ProxyMsg::Cast(_) => "Cast",
            ProxyMsg::Call(..) => "Call",
        };
        write!(f, "{kind} of {}", P::NAME)
    }
}

/// The longest name of a protocol, in bytes.
const NAME_LIMIT: usize = 128;

/// The action under which a protocol is served. The number is that of the convention: a message or a call of this one
/// action for each cast or call, its payload the value.
fn action<P: Protocol>() -> String {
    const {
        assert!(!P::NAME.is_empty() && P::NAME.len() <= NAME_LIMIT, "a protocol is named by 1 to 128 bytes");
    }
    format!("{RESERVED}actor/1/{}", P::NAME)
}

/// What a member has of this room: its references to others, and the actors that it serves.
#[derive(Default)]
struct Actors {
    /// One for each protocol and place, however often it is asked for: ractor keeps an actor until it is stopped.
    proxies: HashMap<(TypeId, Place), ActorCell>,
    hosts: host::Hosts,
}

impl Drop for Actors {
    /// The link is lost: nobody can be reached any more.
    fn drop(&mut self) {
        for proxy in self.proxies.values() {
            proxy.stop(Some("the link to the master is lost".to_owned()));
        }
    }
}

impl Messenger {
    /// The actor that is served under `P` in this slot, now or when it is.
    ///
    /// The same one however often it is asked for, so there are never more than slots and protocols. It lives until it is
    /// stopped or this member's link is lost; stopped, the next call gives another. See [the room](crate::remote) for what
    /// differs from an actor in the same process. Never waits.
    ///
    /// # Errors
    /// [`SendError::NoSuchMember`] and [`SendError::Closed`].
    pub fn actor<P: Protocol>(&self, slot: Slot) -> Result<ActorRef<ProxyMsg<P>>, SendError> {
        self.check(slot.into())?;
        self.proxy(Place::Slot(slot))
    }

    /// A reference to all that are served under `P` by members of this role: every message goes to a ready one that the
    /// master chooses. There is no order between those that go to different members.
    ///
    /// # Errors
    /// As of [`actor`](Messenger::actor).
    pub fn pool<P: Protocol>(&self, role: Role) -> Result<ActorRef<ProxyMsg<P>>, SendError> {
        self.check(Recipient::Random(role).into())?;
        self.proxy(Place::Pool(role))
    }

    fn proxy<P: Protocol>(&self, place: Place) -> Result<ActorRef<ProxyMsg<P>>, SendError> {
        let found = self.member().keep.visit(|actors: &mut Actors| {
            let known = actors.proxies.get(&(TypeId::of::<P>(), place)).filter(|cell| host::lives(cell));
            if let Some(cell) = known {
                return Ok(cell.clone().into());
            }
            let proxy = proxy::start::<P>(self, place)?;
            actors.proxies.insert((TypeId::of::<P>(), place), proxy.get_cell());
            Ok(proxy)
        });
        found.unwrap_or(Err(SendError::Closed))
    }
}

impl Undelivered {
    /// What was to be cast, if this is a cast of that protocol that came back.
    pub fn cast_of<P: Protocol>(&self) -> Option<P::Cast> {
        let raw = TypeId::of::<P::Cast>() == TypeId::of::<Bytes>();
        if self.action != action::<P>() || self.reason == Reason::Unencodable {
            return None;
        }
        messenger::decode(raw, &self.payload)
    }
}
