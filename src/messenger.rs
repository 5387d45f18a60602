//! How members talk: the verbs of Egg's messenger, typed, bounded, and with an answer to every loss.
//!
//! All messages go by way of the master, which knows who is who and never looks inside. Between one sender and one slot
//! they keep their order, whatever the verb. A message is delivered at most once; sent is not delivered: what is lost
//! later comes back, see [`Messenger::undelivered`].
//!
//! What is published is no message: the master keeps it for those who come later, see [`Messenger::publish`].

mod body;
mod error;
mod handler;
mod parcel;
mod streams;
mod target;
mod topics;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

pub use body::Body;
pub(crate) use body::{decode, encode_owned};
pub use error::{CallError, SendError, TrySendError};
pub(crate) use handler::{Answer, Answerer};
pub use handler::{Asynchronous, Ending, Handler, Message, Plain, Request};
pub use streams::{Messages, UndeliveredMessages};
pub use target::{Recipient, Target};
#[cfg(feature = "schedule")]
pub(crate) use topics::Keeping;
pub use topics::{Subscription, Update};

use self::parcel::check_name;
use crate::identity::{MemberId, Role, Slot};
use crate::member::Member;
pub use crate::member::{AlreadyAnswered, Lost, Undelivered};
pub use crate::transport::Reason;
use crate::transport::{Address, Kind, RESERVED, charge};

/// How long a call waits for its answer unless told otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How many messages of a stream may wait for whoever reads it. The rest waits where all messages do.
const STREAM: usize = 16;

/// The way to the other members. Cheap to clone, and usable from any thread.
#[derive(Clone)]
pub struct Messenger {
    member: Arc<Member>,
}

/// Dropped by a panic, it lets the member know: where no panic hook is set, it may be the only one to notice.
impl Drop for Messenger {
    fn drop(&mut self) {
        self.member.spawner.released();
    }
}

impl Messenger {
    pub(crate) fn new(member: Arc<Member>) -> Messenger {
        Messenger { member }
    }

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Who sends by this.
    pub fn id(&self) -> MemberId {
        self.member.id
    }

    /// Sends to one, or to many: what all verbs below come down to.
    ///
    /// `Ok` when accepted for routing. Waits while too much is under way to that receiver; a group is waited for by
    /// nobody: a member of it that has no room costs it its copy. Cancel-safe: dropped before it resolves, nothing was
    /// sent.
    ///
    /// # Errors
    /// Any [`SendError`] but [`SendError::Full`].
    pub async fn send(&self, target: impl Into<Target>, action: &str, body: impl Body) -> Result<(), SendError> {
        let to = self.check(target.into())?;
        let parcel = self.pack(Kind::Message, to, action, &body)?;
        match self.member.credit.take(parcel.account, charge(&parcel.header)).await {
            Ok(()) => {
                self.dispatch(parcel, action);
                Ok(())
            }
            Err(_) => Err(SendError::Closed),
        }
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// Any [`SendError`], with the message.
    pub fn try_send<B: Body>(&self, target: impl Into<Target>, action: &str, body: B) -> Result<(), TrySendError<B>> {
        let parcel = self.check(target.into()).and_then(|to| self.pack(Kind::Message, to, action, &body));
        parcel.and_then(|parcel| self.pass(parcel, action)).map_err(|error| TrySendError { error, body })
    }

    /// Sends to every member, this one included. Cancel-safe, as [`send`](Messenger::send).
    ///
    /// # Errors
    /// As of [`send`](Messenger::send).
    pub async fn broadcast(&self, action: &str, body: impl Body) -> Result<(), SendError> {
        self.send(Target::All, action, body).await
    }

    /// Sends to every worker, this one included if it is one. Cancel-safe, as [`send`](Messenger::send).
    ///
    /// # Errors
    /// As of [`send`](Messenger::send).
    pub async fn to_workers(&self, action: &str, body: impl Body) -> Result<(), SendError> {
        self.send(Target::Role(Role::WORKER), action, body).await
    }

    /// Sends to the agent, also from the agent. Cancel-safe, as [`send`](Messenger::send).
    ///
    /// # Errors
    /// As of [`send`](Messenger::send).
    pub async fn to_agent(&self, action: &str, body: impl Body) -> Result<(), SendError> {
        self.send(Slot::agent(), action, body).await
    }

    /// Sends to one ready worker, chosen by the master, each as likely as the others. Cancel-safe, as [`send`](Messenger::send).
    ///
    /// # Errors
    /// As of [`send`](Messenger::send).
    pub async fn to_random(&self, action: &str, body: impl Body) -> Result<(), SendError> {
        self.send(Recipient::Random(Role::WORKER), action, body).await
    }

    /// Sends to whoever fills a slot, or to one process and no successor of it. Cancel-safe, as [`send`](Messenger::send).
    ///
    /// # Errors
    /// As of [`send`](Messenger::send).
    pub async fn to(&self, recipient: impl Into<Recipient>, action: &str, body: impl Body) -> Result<(), SendError> {
        self.send(Target::One(recipient.into()), action, body).await
    }

    /// Sends to every member of a role. Cancel-safe, as [`send`](Messenger::send).
    ///
    /// # Errors
    /// As of [`send`](Messenger::send).
    pub async fn to_role(&self, role: impl AsRef<str>, action: &str, body: impl Body) -> Result<(), SendError> {
        self.send(Target::Role(self.role(role.as_ref())?), action, body).await
    }

    /// The role of that name.
    ///
    /// # Errors
    /// [`SendError::NoSuchMember`].
    pub fn role(&self, name: &str) -> Result<Role, SendError> {
        self.member.directory.role_named(name).ok_or_else(|| SendError::NoSuchMember(name.into()))
    }

    /// Whom `worker/1` or `worker/1#7` names.
    ///
    /// # Errors
    /// [`SendError::NoSuchMember`].
    pub fn resolve(&self, name: &str) -> Result<Recipient, SendError> {
        let unknown = || SendError::NoSuchMember(name.into());
        let (slot, incarnation) = match name.split_once('#') {
            Some((slot, incarnation)) => (slot, Some(incarnation)),
            None => (name, None),
        };
        let (role, index) = slot.split_once('/').ok_or_else(unknown)?;
        let index = index.parse().map_err(|_| unknown())?;
        let slot = self.member.directory.slot_named(role, index).ok_or_else(unknown)?;
        match incarnation.map(str::parse) {
            None => Ok(slot.into()),
            Some(Ok(number)) if number > 0 => Ok(slot.member(crate::identity::Incarnation::new(number)).into()),
            Some(_) => Err(unknown()),
        }
    }

    /// Has `handler` called with every message of this action. Further handlers of the same action are called after it,
    /// one message after the other; those of other actions at the same time.
    ///
    /// A panic in it is an exception; an error that it returns is logged.
    ///
    /// # Panics
    /// When the name of the action is empty, or begins with `hatchery:`.
    pub fn on<T, M>(&self, action: &str, handler: impl Handler<T, M>)
    where
        T: DeserializeOwned + 'static,
    {
        self.register(action, handler, false);
    }

    /// The same for the first message only.
    ///
    /// # Panics
    /// When the name of the action is empty, or begins with `hatchery:`.
    pub fn once<T, M>(&self, action: &str, handler: impl Handler<T, M>)
    where
        T: DeserializeOwned + 'static,
    {
        self.register(action, handler, true);
    }

    fn register<T, M>(&self, action: &str, handler: impl Handler<T, M>, once: bool)
    where
        T: DeserializeOwned + 'static,
    {
        assert_free(action);
        self.member.dispatch.add(&self.member, action, handler::consume(action, handler, once));
    }

    /// The messages of this action, one after the other. Those that wait for whoever reads the stream are under way:
    /// their senders wait, not this process's memory.
    ///
    /// # Panics
    /// When the name of the action is empty, or begins with `hatchery:`.
    pub fn stream<T>(&self, action: &str) -> Messages<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        assert_free(action);
        let (sender, messages) = mpsc::channel(STREAM);
        self.member.dispatch.add(&self.member, action, handler::forward(sender));
        Messages { messages }
    }

    /// Answers calls of this action with what `handler` returns, [`Bytes`](bytes::Bytes) as they are. Calls are begun in order and answered as they are done.
    ///
    /// The handler is dropped at the deadline of the call: nobody waits for its answer then. A panic in it is an
    /// exception, and the caller hears [`CallError::Dropped`].
    ///
    /// # Errors
    /// [`AlreadyAnswered`]: a call has one answer.
    ///
    /// # Panics
    /// When the name of the action is empty, or begins with `hatchery:`.
    pub fn answer<T, R, E, Fut>(
        &self,
        action: &str,
        handler: impl Fn(Request<T>) -> Fut + Send + Sync + 'static,
    ) -> Result<(), AlreadyAnswered>
    where
        T: DeserializeOwned + 'static,
        R: Serialize + 'static,
        E: fmt::Display,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        assert_free(action);
        self.serve(action, handler)
    }

    /// The same, whatever the action is called.
    pub(crate) fn serve<T, R, E, Fut>(
        &self,
        action: &str,
        handler: impl Fn(Request<T>) -> Fut + Send + Sync + 'static,
    ) -> Result<(), AlreadyAnswered>
    where
        T: DeserializeOwned + 'static,
        R: Serialize + 'static,
        E: fmt::Display,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.member.dispatch.set_reply(&self.member, action, handler::reply(handler))
    }

    /// Asks one member and waits for its answer, for up to [`CALL_TIMEOUT`].
    ///
    /// Cancel-safe in that nothing is left behind; the callee may have acted on it.
    ///
    /// # Errors
    /// [`CallError`]: every call ends in an answer or in the reason why there is none.
    pub async fn call<A>(&self, to: impl Into<Recipient>, action: &str, request: impl Body) -> Result<A, CallError>
    where
        A: DeserializeOwned + 'static,
    {
        self.call_within(CALL_TIMEOUT, to, action, request).await
    }

    /// The same for up to `deadline`, which counts from now and covers everything. Fractions of a millisecond are
    /// rounded up. Dropped before it resolves: the question may have gone, and nobody hears the answer.
    ///
    /// # Errors
    /// As of [`call`](Messenger::call).
    pub async fn call_within<A>(
        &self,
        deadline: Duration,
        to: impl Into<Recipient>,
        action: &str,
        request: impl Body,
    ) -> Result<A, CallError>
    where
        A: DeserializeOwned + 'static,
    {
        check_name(action)?;
        self.request(deadline, to.into(), action, request).await
    }

    /// The same, whatever the action is called.
    pub(crate) async fn request<A>(
        &self,
        deadline: Duration,
        to: Recipient,
        action: &str,
        request: impl Body,
    ) -> Result<A, CallError>
    where
        A: DeserializeOwned + 'static,
    {
        self.request_from(deadline, deadline, to, action, request).await.0
    }

    /// The same for one that is to be given to its callee within `patience`, and answered within `deadline`; and who it was
    /// given to, where that is known.
    pub(crate) async fn request_from<A>(
        &self,
        patience: Duration,
        deadline: Duration,
        to: Recipient,
        action: &str,
        request: impl Body,
    ) -> (Result<A, CallError>, Option<MemberId>)
    where
        A: DeserializeOwned + 'static,
    {
        let asked = async {
            let to = self.check(Target::One(to))?;
            let (raw, payload) = parcel::encode(&request)?;
            let mut parcel = self.wrap(Kind::Call, to, action, raw, payload)?;
            let mut pending = self.member.calls.open();
            parcel.number(&pending, patience);
            let charged = self.member.credit.take(parcel.account, charge(&parcel.header)).await;
            charged.map_err(|_| SendError::Closed)?;
            self.dispatch(parcel, action);
            pending.answer().await.ok_or(CallError::Closed)
        };
        match tokio::time::timeout(deadline, asked).await {
            Ok(Ok(answer)) => {
                let from = answer.from;
                (parcel::conclude(answer), from)
            }
            Ok(Err(error)) => (Err(error), None),
            Err(_) => (Err(CallError::Undelivered(Reason::TimedOut)), None),
        }
    }

    /// What is lost of this member's messages, from now on.
    pub fn undelivered(&self) -> UndeliveredMessages {
        UndeliveredMessages { receiver: self.member.returns.listen() }
    }

    /// How many of this member's messages have come back undelivered.
    pub fn undelivered_count(&self) -> u64 {
        self.member.returns.count()
    }

    /// Whether `target` can be reached, as far as is known here.
    pub(crate) fn check(&self, target: Target) -> Result<Address, SendError> {
        self.member.spawner.acts("sends a message");
        let directory = &self.member.directory;
        let known = |slot: Slot| match directory.has(slot) {
            true => Ok(()),
            false => Err(SendError::NoSuchMember(slot.to_string())),
        };
        let of_role = |role: Role| match directory.role(role.rank()) {
            Some(_) => Ok(()),
            None => Err(SendError::NoSuchMember(role.to_string())),
        };
        match target {
            Target::One(Recipient::Slot(slot)) => known(slot)?,
            Target::One(Recipient::Member(member)) => {
                known(member.slot())?;
                self.check_alive(member)?;
            }
            Target::One(Recipient::Random(role)) | Target::Role(role) => of_role(role)?,
            Target::All => {}
        }
        Ok(target.into())
    }

    /// An incarnation that the roster has seen go will not come back. Where none was asked for, the master knows.
    fn check_alive(&self, member: MemberId) -> Result<(), SendError> {
        let is_gone = self.member.roster.look(|roster| {
            let Some(roster) = roster else { return false };
            let of_slot = || roster.members.iter().filter(|status| status.id.slot() == member.slot());
            let latest = of_slot().map(|status| status.id.incarnation()).max();
            let is_present = of_slot().any(|status| status.id == member && status.pid.is_some());
            latest.is_some_and(|latest| latest > member.incarnation()) && !is_present
        });
        match is_gone {
            true => Err(SendError::Gone(member)),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messenger").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What user code may register for.
fn assert_free(action: &str) {
    assert!(!action.is_empty(), "an action has a name");
    assert!(!action.starts_with(RESERVED), "actions that begin with {RESERVED:?} are the library's own: {action:?}");
}
