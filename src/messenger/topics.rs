//! Values that are kept: published under a topic, heard by all who subscribe, also by those who come later.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::Messenger;
use super::body::{Body, decode};
use super::error::{CallError, SendError};
use super::parcel::{check_name, encode};
use crate::member::{Listening, News, Pending, Value};
use crate::transport::{Address, Kind, Outcome, Want, charge};

impl Messenger {
    /// Has the master keep a value under a topic, in place of the one before. Those who have subscribed hear it, those who
    /// subscribe later hear it first: it outlives this member, and ends with the cluster.
    ///
    /// `Ok` when it is kept. Values of one member are kept in the order in which they were published. Cancel-safe in that
    /// nothing is left behind; dropped before it resolves, it may have been published.
    ///
    /// # Errors
    /// [`CallError::Send`] when it was not sent: above all [`SendError::TooLarge`], [`SendError::BadAction`] for the name of
    /// a topic that is empty or longer than 255 bytes, [`SendError::Reserved`]. [`CallError::Undelivered`] when it was not
    /// kept, and what was kept before still is: [`Reason::TooLarge`](super::Reason::TooLarge) and
    /// [`Reason::Full`](super::Reason::Full) by the limits of the plan
    /// ([`kept_value_limit`](crate::Hatchery::kept_value_limit), [`kept_limit`](crate::Hatchery::kept_limit)),
    /// [`Reason::NotAllowed`](super::Reason::NotAllowed) by its [`publishers`](crate::Hatchery::publishers).
    /// [`CallError::Closed`].
    pub async fn publish(&self, topic: &str, value: impl Body) -> Result<(), CallError> {
        check_name(topic)?;
        self.keep(topic, value).await?.done().await
    }

    /// The same, whatever the topic is called, and in two steps. What is sent after the first step arrives after it, also if
    /// this process dies in between.
    pub(crate) async fn keep(&self, topic: &str, value: impl Body) -> Result<Keeping, CallError> {
        let body = encode(&value)?;
        self.tell_shelf(Want::Publish, topic, body, None).await
    }

    /// Has the master keep nothing under a topic. Those who have subscribed hear that.
    ///
    /// `Ok` when that is so, or was so before.
    ///
    /// # Errors
    /// As of [`publish`](Messenger::publish).
    pub async fn retract(&self, topic: &str) -> Result<(), CallError> {
        check_name(topic)?;
        self.let_go(topic).await
    }

    /// The same, whatever the topic is called.
    pub(crate) async fn let_go(&self, topic: &str) -> Result<(), CallError> {
        self.tell_shelf(Want::Retract, topic, (true, Bytes::new()), None).await?.done().await
    }

    /// Listens to a topic: the value that is kept first, if there is one, and then every change.
    ///
    /// Resolves when the master knows; [`Subscription::latest`] has the value that was kept then. To be called at any time,
    /// also before this member is ready. Cancel-safe.
    ///
    /// # Errors
    /// As of [`publish`](Messenger::publish); [`Reason::Full`](super::Reason::Full) when this member has subscribed to 8,192
    /// topics. Subscriptions to one topic are one.
    pub async fn subscribe<T>(&self, topic: &str) -> Result<Subscription<T>, CallError>
    where
        T: DeserializeOwned + 'static,
    {
        check_name(topic)?;
        self.follow(topic).await
    }

    /// The same, whatever the topic is called.
    pub(crate) async fn follow<T>(&self, topic: &str) -> Result<Subscription<T>, CallError>
    where
        T: DeserializeOwned + 'static,
    {
        self.member.spawner.acts("subscribes to a topic");
        let listening = Listening::begin(&self.member, topic);
        self.tell_shelf(Want::Subscribe, topic, (true, Bytes::new()), Some(&listening)).await?.done().await?;
        Ok(Subscription { listening, lost: 0, value: PhantomData })
    }

    /// Tells the master. Resolves when that is on its way.
    async fn tell_shelf(
        &self,
        want: Want,
        topic: &str,
        (raw, payload): (bool, Bytes),
        listening: Option<&Listening>,
    ) -> Result<Keeping, CallError> {
        self.member.spawner.acts("has to do with a topic");
        let mut parcel = self.wrap(Kind::Shelf, Address::shelf(), topic, raw, payload)?;
        let pending = self.member.calls.open();
        (parcel.header.correlation, parcel.header.detail) = (pending.number(), want.to_detail());
        let charged = self.member.credit.take(parcel.account, charge(&parcel.header)).await;
        charged.map_err(|_| SendError::Closed)?;
        let say = || self.dispatch(parcel, topic);
        match listening {
            Some(listening) => listening.tell(say),
            None => say(),
        }
        Ok(Keeping(pending))
    }
}

/// The master has been told to do something with a topic.
pub(crate) struct Keeping(Pending);

impl Keeping {
    /// Resolves when it has done it.
    pub(crate) async fn done(mut self) -> Result<(), CallError> {
        match self.0.answer().await.ok_or(CallError::Closed)?.outcome {
            Outcome::Answered => Ok(()),
            Outcome::Undelivered(reason) => Err(CallError::Undelivered(reason)),
            // The master is no member, and does not fail so.
            Outcome::Failed | Outcome::Dropped => Err(CallError::Dropped),
        }
    }
}

/// What comes of one topic. See [`Messenger::subscribe`]. Dropped, it is no subscription any more.
pub struct Subscription<T> {
    listening: Listening,
    /// Values that were no `T`, since the last that was told.
    lost: u64,
    value: PhantomData<fn() -> T>,
}

/// What has become of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Update<T> {
    /// The value that is kept. `None`: it was [retracted](Messenger::retract).
    pub value: Option<T>,
    /// How many changes before this one are not told: there was no room for them, here or on the way, or they could not be
    /// decoded. The latest is among them only if it could not.
    pub missed: u64,
}

impl<T: DeserializeOwned + 'static> Subscription<T> {
    /// The next change; at first, the value that was kept. `None`: the link to the master is lost, or its cluster has ended.
    /// Cancel-safe.
    ///
    /// As much as one queue holds ([`payload_limit`](crate::Hatchery::payload_limit), at least 1 MiB) waits for whoever calls
    /// this; then the oldest are given up, and counted.
    pub async fn next(&mut self) -> Option<Update<T>> {
        loop {
            let News { value, missed } = self.listening.next().await?;
            self.lost += missed;
            match value.map(|value| read(&value).ok_or(())).transpose() {
                Ok(value) => return Some(Update { value, missed: std::mem::take(&mut self.lost) }),
                Err(()) => {
                    self.lost += 1;
                    tracing::warn!(topic = self.topic(), "the value of a topic could not be decoded");
                }
            }
        }
    }

    /// The value that is kept, as far as is known here, whether or not [`next`](Subscription::next) has returned it. `None`:
    /// there is none, or it cannot be decoded.
    pub fn latest(&self) -> Option<T> {
        self.listening.value().as_ref().and_then(read)
    }

    /// The name of the topic.
    pub fn topic(&self) -> &str {
        self.listening.name()
    }
}

fn read<T: DeserializeOwned + 'static>(value: &Value) -> Option<T> {
    decode(value.raw, &value.payload)
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("topic", &self.listening.name()).finish_non_exhaustive()
    }
}
