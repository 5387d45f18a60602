//! The client as its followers have it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::client::SharedClient;
use super::hub::{Following, Hub, Outlook};
use super::wire::{Ask, KEY, Kept, Session, action, topic};
use crate::bulletin::Reader;
use crate::context::Context;
use crate::identity::Slot;
use crate::messenger::{CALL_TIMEOUT, CallError, SendError, Subscription};

impl Context {
    /// The client that the agent [leads](Context::lead), as if it were this member's own. Whether and when it does matters to no
    /// follower but by what it hears.
    ///
    /// # Panics
    /// When [`SharedClient::NAME`] cannot be used.
    pub fn follow<C: SharedClient>(&self) -> Follower<C> {
        let action = action::<C>();
        Follower { cx: self.clone(), hub: Hub::of::<C>(self), action, client: PhantomData }
    }
}

/// A client whose connection another member has. From [`Context::follow`]. Cheap to clone.
pub struct Follower<C> {
    cx: Context,
    hub: Arc<Hub>,
    action: String,
    client: PhantomData<fn() -> C>,
}

impl<C: SharedClient> Follower<C> {
    /// Follows a key: the last value that is known first, if there is one, and then every change. Several of one key are one to
    /// the leader, and those of all members are one to the server.
    ///
    /// Resolves when the master knows, also while there is no connection, or no agent. Cancel-safe.
    ///
    /// # Errors
    /// [`SendError::BadAction`] for a key that is empty or longer than 180 bytes; as of
    /// [`Messenger::subscribe`](crate::Messenger::subscribe).
    pub async fn subscribe(&self, key: &str) -> Result<Updates<C>, CallError> {
        check(key)?;
        let values = self.cx.messenger().follow(&topic::<C>(key)).await?;
        Ok(Updates { following: self.hub.follow(key), values, outlook: self.hub.outlook(), heard: None, next: None })
    }

    /// Gives the server a value, within [`CALL_TIMEOUT`]. While there is no connection, this waits for one.
    ///
    /// Cancel-safe in that nothing is left behind; the server may have it.
    ///
    /// # Errors
    /// [`CallError::Failed`] with what the client failed with, and any other: then it may have been given.
    pub async fn publish(&self, key: &str, value: C::Value) -> Result<(), CallError> {
        self.publish_within(CALL_TIMEOUT, key, value).await
    }

    /// The same within a deadline.
    ///
    /// # Errors
    /// As of [`publish`](Follower::publish).
    pub async fn publish_within(&self, deadline: Duration, key: &str, value: C::Value) -> Result<(), CallError> {
        check(key)?;
        self.ask(deadline, Ask::Publish(key.to_owned(), value)).await.map(drop)
    }

    /// Asks the server, within [`CALL_TIMEOUT`]. While there is no connection, this waits for one.
    ///
    /// # Errors
    /// As of [`publish`](Follower::publish).
    pub async fn invoke(&self, request: C::Request) -> Result<C::Reply, CallError> {
        self.invoke_within(CALL_TIMEOUT, request).await
    }

    /// The same within a deadline.
    ///
    /// # Errors
    /// As of [`publish`](Follower::publish).
    pub async fn invoke_within(&self, deadline: Duration, request: C::Request) -> Result<C::Reply, CallError> {
        self.ask(deadline, Ask::Invoke(request)).await?.ok_or(CallError::Undecodable)
    }

    /// Whether a connection is open, as far as is known here.
    pub fn is_connected(&self) -> bool {
        self.hub.outlook().get().open
    }

    /// Resolves when a connection is open, and all that its leader knows to be followed is subscribed to. Cancel-safe. Never, once the link is lost.
    pub async fn connected(&self) {
        if self.hub.outlook().wait_for(|outlook| outlook.open).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn ask(&self, deadline: Duration, ask: Ask<C::Value, C::Request>) -> Result<Option<C::Reply>, CallError> {
        self.cx.messenger().request(deadline, Slot::agent().into(), &self.action, &ask).await
    }
}

fn check(key: &str) -> Result<(), CallError> {
    match key.len() {
        1..=KEY => Ok(()),
        len => Err(SendError::BadAction(len).into()),
    }
}

impl<C> Clone for Follower<C> {
    fn clone(&self) -> Follower<C> {
        let Follower { cx, hub, action, client } = self;
        Follower { cx: cx.clone(), hub: hub.clone(), action: action.clone(), client: *client }
    }
}

impl<C: SharedClient> fmt::Debug for Follower<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("client", &C::NAME).finish_non_exhaustive()
    }
}

/// What comes of one key. From [`Follower::subscribe`]. Dropped, the key is not followed any more.
pub struct Updates<C: SharedClient> {
    following: Following,
    values: Subscription<Kept<C::Value>>,
    outlook: Reader<Outlook>,
    /// The connection by which the last value came. `None`: none has come, or it is known that some were missed since.
    heard: Option<Session>,
    /// What comes after a gap that has been told.
    next: Option<Change<C::Value>>,
}

/// What has become of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change<V> {
    /// Its value is this now.
    #[non_exhaustive]
    Value {
        /// The value.
        value: V,
        /// How many before it were passed over, because this follower was slow.
        missed: u64,
    },
    /// It is not known what it is: the connection was lost, or the agent, or the value could not be kept. What was heard last
    /// may be old. The next value tells that it is known again.
    Gap,
}

impl<C: SharedClient> Updates<C> {
    /// The next change; at first, the value that is known. `None`: the link to the master is lost, or its cluster has ended.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Change<C::Value>> {
        loop {
            if let Some(next) = self.next.take() {
                return Some(next);
            }
            let heard = self.heard;
            tokio::select! {
                biased;
                update = self.values.next() => {
                    let update = update?;
                    let before = self.heard.take();
                    let Some(Kept { by, value }) = update.value else {
                        match before {
                            Some(_) => return Some(Change::Gap),
                            None => continue,
                        }
                    };
                    self.heard = Some(by);
                    let change = Change::Value { value, missed: update.missed };
                    if before.is_none_or(|before| before == by) {
                        return Some(change);
                    }
                    self.next = Some(change);
                    return Some(Change::Gap);
                }
                // The hub lives as long as this.
                Ok(_) = self.outlook.wait_for(|known| heard.is_some_and(|heard| heard < known.valid_from)) => {
                    self.heard = None;
                    return Some(Change::Gap);
                }
            }
        }
    }

    /// The value that is known, whether or not [`next`](Updates::next) has returned it. It may be old.
    pub fn latest(&self) -> Option<C::Value> {
        self.values.latest().map(|kept| kept.value)
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.following.key
    }
}

impl<C: SharedClient> fmt::Debug for Updates<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates").field("client", &C::NAME).field("key", &self.key()).finish_non_exhaustive()
    }
}
