//! What this member does with what comes for it: which action has which handlers, one task for each action, so that those
//! of one run in order and those of different ones side by side.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::shared::Member;
use crate::identity::MemberId;
use crate::process::{catch, catch_future};
use crate::transport::{Class, Flags, Header, Kind, Line, Outcome, Reason, action, payload_start};

/// Something to be done later.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handler whose types have been forgotten. Returns what is left to be done when it is not done at once.
pub(crate) type Consume = dyn Fn(&mut Delivery) -> Consumed + Send + Sync;

/// What a handler made of a message.
pub(crate) enum Consumed {
    /// It has been dealt with.
    Done,
    /// It will have been dealt with after this.
    Later(Task),
    /// It cannot be taken: its payload is not what the handler takes, or whoever it is for has ended.
    Refused(Reason),
    /// The handler takes no more.
    Retired,
}

/// A handler of calls whose types have been forgotten. Begins at once; what it returns answers.
pub(crate) type Reply = dyn Fn(Delivery) -> Task + Send + Sync;

/// A message or a call that has come.
pub(crate) struct Delivery {
    pub(crate) from: MemberId,
    pub(crate) header: Header,
    pub(crate) member: Arc<Member>,
    frame: Bytes,
    unacked: Option<Unacked>,
}

/// Acknowledges one message when it is dropped: when it has been handed on.
#[derive(Debug)]
pub(crate) struct Unacked {
    line: Arc<Line>,
    number: u64,
}

impl Drop for Unacked {
    fn drop(&mut self) {
        self.line.ack_message(self.number);
    }
}

impl Delivery {
    /// `number`: which of the messages that came over the link.
    pub(crate) fn new(from: MemberId, header: Header, frame: Bytes, member: Arc<Member>, number: u64) -> Delivery {
        let unacked = Some(Unacked { line: member.line.clone(), number });
        Delivery { from, header, member, frame, unacked }
    }

    pub(crate) fn payload(&self) -> Bytes {
        self.frame.slice(payload_start(&self.header)..)
    }

    fn action(&self) -> &str {
        action(&self.header, &self.frame).unwrap_or_default()
    }

    /// Takes over to say when it has been dealt with. `None`: that has been said.
    pub(crate) fn take_unacked(&mut self) -> Option<Unacked> {
        self.unacked.take()
    }

    /// It is handed on: the master need not keep it any longer.
    fn acknowledge(&mut self) {
        self.unacked = None;
    }

    /// Nobody here can take it. Its sender is told, if it was for this member alone; a group is not told by each.
    ///
    /// Nobody waits for that: a sender that does not read would hold up all that came for the same action.
    fn refuse(mut self, reason: Reason) {
        self.acknowledge();
        let to = self.header.from;
        match self.header.kind {
            Kind::Call => {
                let detail = Outcome::Undelivered(reason).to_detail();
                let header = Header { kind: Kind::Reply, flags: Flags::default(), to, detail, ..self.header };
                self.member.clone().answer_later(header, String::new(), Bytes::new());
            }
            _ if self.header.flags.class == Class::Group => {
                tracing::debug!(from = %self.from, action = self.action(), %reason, "message dropped");
            }
            _ => {
                let detail = reason.to_number().into();
                let header = Header { kind: Kind::Undelivered, to, detail, ..self.header };
                self.member.clone().answer_later(header, self.action().to_owned(), self.payload());
            }
        }
    }
}

/// The actions that somebody has registered for.
#[derive(Default)]
pub(crate) struct Dispatch(Mutex<BTreeMap<Arc<str>, Arc<Action>>>);

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dispatch")
    }
}

/// What is registered for one action.
struct Action {
    /// Bounded by what the master lets be under way.
    queue: mpsc::UnboundedSender<Delivery>,
    consumers: Mutex<Vec<Arc<Consume>>>,
    reply: Mutex<Option<Arc<Reply>>>,
}

/// The action of what nobody has registered for. User code cannot: its actions have names.
const STRAYS: &str = "";

/// Somebody answers calls of this action already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("calls of action {0:?} have an answer already")]
pub struct AlreadyAnswered(pub(crate) String);

impl Dispatch {
    pub(crate) fn add(&self, member: &Arc<Member>, action: &str, consume: Arc<Consume>) {
        self.action(member, action).consumers().push(consume);
    }

    pub(crate) fn set_reply(
        &self,
        member: &Arc<Member>,
        action: &str,
        reply: Arc<Reply>,
    ) -> Result<(), AlreadyAnswered> {
        let entry = self.action(member, action);
        let mut present = entry.reply();
        if present.is_some() {
            return Err(AlreadyAnswered(action.to_owned()));
        }
        *present = Some(reply);
        Ok(())
    }

    /// Hands a delivery to the task of its action, or to the one that returns what nobody wants.
    pub(crate) fn deliver(&self, delivery: Delivery) {
        let known = self.actions().get(delivery.action()).cloned();
        let action = known.unwrap_or_else(|| self.action(&delivery.member, STRAYS));
        // The task lives as long as the runtime: without it there is nobody to take anything.
        let _ = action.queue.send(delivery);
    }

    /// Nothing more will come, and whoever has registered is let go.
    pub(crate) fn close(&self) {
        let actions = std::mem::take(&mut *self.actions());
        drop(actions);
    }

    fn action(&self, member: &Arc<Member>, name: &str) -> Arc<Action> {
        let mut actions = self.actions();
        if let Some(action) = actions.get(name) {
            return action.clone();
        }
        let (queue, deliveries) = mpsc::unbounded_channel();
        let (consumers, reply) = Default::default();
        let action = Arc::new(Action { queue, consumers, reply });
        let serve = serve(Arc::downgrade(&action), deliveries).instrument(member.span.clone());
        member.spawner.spawn(serve);
        actions.insert(name.into(), action.clone());
        action
    }

    fn actions(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Action>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Action {
    fn consumers(&self) -> MutexGuard<'_, Vec<Arc<Consume>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self) -> MutexGuard<'_, Option<Arc<Reply>>> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deals with what comes for one action, one after the other.
async fn serve(action: Weak<Action>, mut deliveries: mpsc::UnboundedReceiver<Delivery>) {
    while let Some(delivery) = deliveries.recv().await {
        let Some(action) = action.upgrade() else { return };
        match delivery.header.kind {
            Kind::Call => begin_call(&action, delivery),
            _ => handle(&action, delivery).await,
        }
    }
}

/// Calls are begun in order and answered as they are done: one that waits for something holds up nobody.
fn begin_call(action: &Action, mut delivery: Delivery) {
    let Some(reply) = action.reply().clone() else { return delivery.refuse(Reason::NoHandler) };
    delivery.acknowledge();
    let member = delivery.member.clone();
    match catch(|| reply(delivery)) {
        Ok(answer) => {
            let answering = member.clone();
            let answer = async move {
                if let Err(panicked) = catch_future(answer).await {
                    answering.panicked(panicked);
                }
            };
            member.spawner.spawn(answer.instrument(member.span.clone()));
        }
        // In the part that runs at once. Whatever was dropped by it has answered.
        Err(panicked) => member.panicked(panicked),
    }
}

async fn handle(action: &Action, mut delivery: Delivery) {
    let consumers = action.consumers().clone();
    let _busy = delivery.member.busy.handler();
    let mut taken = false;
    let mut refusal = Reason::NoHandler;
    for consume in &consumers {
        match catch(|| consume(&mut delivery)) {
            Ok(Consumed::Done) => taken = true,
            Ok(Consumed::Later(task)) => {
                taken = true;
                // What is under way in the handler is the handler's.
                delivery.acknowledge();
                if let Err(panicked) = catch_future(task).await {
                    delivery.member.panicked(panicked);
                }
            }
            Err(panicked) => {
                taken = true;
                delivery.member.panicked(panicked);
            }
            Ok(Consumed::Refused(reason)) => refusal = reason,
            Ok(Consumed::Retired) => action.consumers().retain(|other| !Arc::ptr_eq(other, consume)),
        }
    }
    if !taken {
        delivery.refuse(refusal);
    }
}
