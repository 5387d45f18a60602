//! What can be registered for an action: functions and asynchronous ones, with or without a result.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::body::{decode, encode_owned};
use crate::identity::MemberId;
use crate::member::{Consume, Consumed, Delivery, Member, Reply, Running, Task};
use crate::text::cut;
use crate::transport::{Flags, Header, Kind, Outcome, Reason};

/// A message, as its handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message<T> {
    /// Who sent it, as the master knows: nobody can send in another's name.
    pub from: MemberId,
    /// What it says.
    pub body: T,
}

/// A call, as its handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request<T> {
    /// Who calls.
    pub from: MemberId,
    /// What is asked.
    pub body: T,
}

/// How a handler can end: with nothing to say, or with an error, which is logged with the name of the action.
pub trait Ending: Send + 'static {
    #[doc(hidden)]
    fn log(self, action: &str);
}

impl Ending for () {
    fn log(self, _: &str) {}
}

impl<E: fmt::Display + Send + 'static> Ending for Result<(), E> {
    fn log(self, action: &str) {
        if let Err(error) = self {
            tracing::error!(action, %error, "a handler failed");
        }
    }
}

/// What can handle messages with a body `T`: `Fn(Message<T>)`, or `Fn(Message<T>) -> impl Future`, each with or without
/// a `Result`. `M` tells the two apart; it is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle messages",
    note = "a handler is a function of one `Message<T>`, whose type is written out",
    note = "it returns `()`, `Result<(), impl Display>`, or a future of one of them",
    note = "of one that never returns the type must be written out: `|_: Message<T>| -> ()` and a body"
)]
pub trait Handler<T, M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, message: Message<T>, action: &Arc<str>) -> Option<Task>;
}

/// Marks handlers that are done when they return.
#[derive(Debug)]
pub struct Plain<R>(PhantomData<R>);

/// Marks handlers that return a future.
#[derive(Debug)]
pub struct Asynchronous<F>(PhantomData<F>);

impl<T, F, R> Handler<T, Plain<R>> for F
where
    F: Fn(Message<T>) -> R + Send + Sync + 'static,
    R: Ending,
{
    fn call(&self, message: Message<T>, action: &Arc<str>) -> Option<Task> {
        self(message).log(action);
        None
    }
}

impl<T, F, Fut> Handler<T, Asynchronous<Fut>> for F
where
    F: Fn(Message<T>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Ending,
{
    fn call(&self, message: Message<T>, action: &Arc<str>) -> Option<Task> {
        let (work, action) = (self(message), action.clone());
        Some(Box::pin(async move { work.await.log(&action) }))
    }
}

/// A handler without its types. `once`: it takes the first message that it can read, and no more.
pub(super) fn consume<T, M, H>(action: &str, handler: H, once: bool) -> Arc<Consume>
where
    T: DeserializeOwned + 'static,
    H: Handler<T, M>,
{
    let action: Arc<str> = action.into();
    let used = AtomicBool::new(false);
    Arc::new(move |delivery: &mut Delivery| {
        if once && used.load(Ordering::Relaxed) {
            return Consumed::Retired;
        }
        let Some(body) = decode(delivery.header.flags.raw, &delivery.payload()) else {
            return Consumed::Refused(Reason::Undecodable);
        };
        used.store(true, Ordering::Relaxed);
        match handler.call(Message { from: delivery.from, body }, &action) {
            Some(task) => Consumed::Later(task),
            None => Consumed::Done,
        }
    })
}

/// Hands messages to whoever reads the other end of `sender`, one when there is room for it. Retired when nobody does.
pub(super) fn forward<T>(sender: mpsc::Sender<Message<T>>) -> Arc<Consume>
where
    T: DeserializeOwned + Send + 'static,
{
    Arc::new(move |delivery: &mut Delivery| {
        if sender.is_closed() {
            return Consumed::Retired;
        }
        let Some(body) = decode(delivery.header.flags.raw, &delivery.payload()) else {
            return Consumed::Refused(Reason::Undecodable);
        };
        let (sender, message) = (sender.clone(), Message { from: delivery.from, body });
        Consumed::Later(Box::pin(async move {
            // Whoever read it has lost interest meanwhile: the message is dealt with.
            let _ = sender.send(message).await;
        }))
    })
}

/// A handler of calls without its types.
pub(super) fn reply<T, R, E, H, Fut>(handler: H) -> Arc<Reply>
where
    T: DeserializeOwned + 'static,
    R: Serialize + 'static,
    E: fmt::Display,
    H: Fn(Request<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
{
    Arc::new(move |delivery: Delivery| {
        let answerer = Answerer::to(&delivery);
        let Some(body) = decode(delivery.header.flags.raw, &delivery.payload()) else {
            return Box::pin(answerer.give(Answer::without(Reason::Undecodable)));
        };
        let deadline = std::time::Duration::from_millis(delivery.header.detail.into());
        let work = handler(Request { from: delivery.from, body });
        Box::pin(async move {
            // Nobody waits for the answer after the deadline. The master closes its books all the same.
            let answer = match tokio::time::timeout(deadline, work).await {
                Ok(result) => Answer::of(result, answerer.member.limits.payload),
                Err(_) => Answer::without(Reason::TimedOut),
            };
            answerer.give(answer).await;
        })
    })
}

/// What a handler's result is to its caller.
pub(crate) struct Answer {
    outcome: Outcome,
    raw: bool,
    payload: Bytes,
}

impl Answer {
    pub(crate) fn of<R: Serialize + 'static, E: fmt::Display>(result: Result<R, E>, limit: usize) -> Answer {
        match result.map(|value| encode_owned(&value)) {
            Ok(Ok((raw, payload))) if payload.len() <= limit => Answer { outcome: Outcome::Answered, raw, payload },
            Ok(Ok(_)) => Answer::without(Reason::TooLarge),
            Ok(Err(error)) => Answer::failed(&error.to_string(), limit),
            Err(error) => Answer::failed(&error.to_string(), limit),
        }
    }

    /// Of a text that is too long the beginning says most.
    fn failed(text: &str, limit: usize) -> Answer {
        let payload = Bytes::copy_from_slice(cut(text, limit).as_bytes());
        Answer { outcome: Outcome::Failed, raw: false, payload }
    }

    pub(crate) fn without(reason: Reason) -> Answer {
        Answer { outcome: Outcome::Undelivered(reason), raw: false, payload: Bytes::new() }
    }
}

/// Gives a call its one answer. Dropped without, it says that: the caller always learns which.
pub(crate) struct Answerer {
    pub(crate) member: Arc<Member>,
    header: Header,
    answered: bool,
    /// The handler runs.
    _running: Running,
}

impl Answerer {
    pub(crate) fn to(delivery: &Delivery) -> Answerer {
        let header =
            Header { to: delivery.header.from, correlation: delivery.header.correlation, ..Header::bare(Kind::Reply) };
        let running = delivery.member.busy.handler();
        Answerer { member: delivery.member.clone(), header, answered: false, _running: running }
    }

    pub(crate) async fn give(mut self, answer: Answer) {
        self.answered = true;
        let flags = Flags { raw: answer.raw, ..Flags::default() };
        let header = Header { detail: answer.outcome.to_detail(), flags, ..self.header };
        let member = self.member.clone();
        // The handler is done. A caller that does not read is nothing that a member on its way out waits for.
        let _answering = member.busy.answer();
        drop(self);
        member.answer(header, "", answer.payload).await;
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        if !self.answered {
            let header = Header { detail: Outcome::Dropped.to_detail(), ..self.header };
            self.member.clone().answer_later(header, String::new(), Bytes::new());
        }
    }
}
