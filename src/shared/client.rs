//! What a user writes: a client that has one connection, and says what changes.

use std::fmt;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::error::BoxError;

/// A connection that is shared: in the agent, one for all. Its methods are called side by side, and dropped where their caller
/// no longer waits.
pub trait SharedClient: Send + Sync + 'static {
    /// What it is called between the members: the same in all of them, of 1 to 32 bytes, without `/`.
    const NAME: &'static str;

    /// What is kept under a key.
    type Value: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    /// What can be asked.
    type Request: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What is answered.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Has the server tell of this key from now on. What it tells, and what it has now, if anything, is to go to the
    /// [`Upstream`]. Called once for each key that is followed, and again when there is another connection.
    fn subscribe(&self, key: &str) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Nobody follows this key any more.
    fn unsubscribe(&self, key: &str) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Gives the server a value. Whether its own followers hear of it is the server's business.
    fn publish(&self, key: &str, value: Self::Value) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Asks the server.
    fn invoke(&self, request: Self::Request) -> impl Future<Output = Result<Self::Reply, BoxError>> + Send;
}

/// So many changes wait for the leader to pass them on. Then whoever reads the connection waits, and in the end the server.
pub(super) const CHANGES: usize = 1_024;

/// Where a client says what its server has told. Each connection has its own; that of one that was lost leads nowhere. Cheap to
/// clone.
pub struct Upstream<V> {
    news: mpsc::Sender<News<V>>,
}

/// What a server has told.
pub(super) enum News<V> {
    Changed(String, V),
    Lost(String),
}

impl<V> Upstream<V> {
    pub(super) fn new() -> (Upstream<V>, mpsc::Receiver<News<V>>) {
        let (news, heard) = mpsc::channel(CHANGES);
        (Upstream { news }, heard)
    }

    /// The value of a key is this now. Waits while too many changes have not been passed on. Cancel-safe: dropped before it
    /// resolves, nobody has heard.
    pub async fn changed(&self, key: impl Into<String>, value: V) {
        // The connection is not the present one any more.
        let _ = self.news.send(News::Changed(key.into(), value)).await;
    }

    /// The connection is lost. The client is dropped, and another connection is made. What is said after this is heard by nobody.
    pub async fn lost(&self, why: impl fmt::Display) {
        let _ = self.news.send(News::Lost(why.to_string())).await;
    }

    /// Resolves when this connection is not the present one any more: whoever reads from it may end.
    pub async fn closed(&self) {
        self.news.closed().await;
    }
}

impl<V> Clone for Upstream<V> {
    fn clone(&self) -> Upstream<V> {
        Upstream { news: self.news.clone() }
    }
}

impl<V> fmt::Debug for Upstream<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstream")
    }
}
