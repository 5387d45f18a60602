//! What followers and their leader say to each other.

use serde::{Deserialize, Serialize};

use super::client::SharedClient;
use crate::identity::MemberId;
use crate::transport::{FOLLOWED, SHARED};

/// A connection: of which agent, and the how manieth of that. None of two agents has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) agent: u32,
    pub(super) connection: u32,
}

/// From a follower to its leader, as a call.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask<V, R> {
    Subscribe(String),
    Unsubscribe(String),
    Publish(String, V),
    Invoke(R),
}

/// How the leader is: kept under the name of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Its latest connection.
    pub(super) latest: Session,
    /// All that is followed is subscribed to over that. Otherwise it is lost.
    pub(super) open: bool,
}

/// What is kept under a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept<V> {
    /// The connection by which it came.
    pub(super) by: Session,
    pub(super) value: V,
}

/// The longest key, in bytes. With what the library puts before it, it names a topic.
pub(super) const KEY: usize = 180;

/// The longest name of a client.
const NAME: usize = 32;

pub(super) fn action<C: SharedClient>() -> String {
    format!("hatchery:shared/{}", name::<C>())
}

/// The topic of the leader's standing.
pub(super) fn standing<C: SharedClient>() -> String {
    format!("{SHARED}{}", name::<C>())
}

/// The topic of a key.
pub(super) fn topic<C: SharedClient>(key: &str) -> String {
    format!("{FOLLOWED}{}/{key}", name::<C>())
}

/// # Panics
/// When the name cannot be used: that is written in the program, and the same for all of its runs.
fn name<C: SharedClient>() -> &'static str {
    let name = C::NAME;
    let good = !name.is_empty() && name.len() <= NAME && !name.contains('/');
    assert!(good, "a shared client is called by 1 to {NAME} bytes without '/', not {name:?}");
    name
}

/// The number of an agent's process.
pub(super) fn number(agent: MemberId) -> u32 {
    agent.incarnation().get()
}
