//! One connection for all: the agent holds it, the others use it as if it were theirs.
//!
//! ```text
//!  worker                             master                        agent
//!  Follower ─ subscribe, publish, ──────────────────────► Leader ─► your SharedClient ══ its server
//!             invoke                                        │              │
//!  Updates ◄─ last value first ◄─ kept, one for each key ◄──┴── Upstream ◄─┘ what changes
//! ```
//!
//! You write a [`SharedClient`]: how to subscribe, publish and ask, over a connection that is open. The agent
//! [leads](crate::Context::lead) it: connects, connects again, and subscribes to each key once, however many follow it. Other
//! members [follow](crate::Context::follow). What connects a follower with its leader is a call and a [kept
//! value](crate::Messenger::publish): so a follower hears the last value first, is slow at nobody's cost, and lives over the
//! end of the agent. What it cannot know then, it is told: [`Change::Gap`].

mod client;
mod follower;
mod hub;
mod leader;
mod wire;

pub use self::client::{SharedClient, Upstream};
pub use self::follower::{Change, Follower, Updates};
pub use self::leader::AlreadyLed;
