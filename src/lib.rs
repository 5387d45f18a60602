//! Run one Rust program as a family of processes: a **master** that only supervises and routes, one **agent** that does
//! the shared chores, and **workers** that serve on one port.

mod actors;
#[cfg(feature = "axum")]
pub mod axum;
mod context;
mod error;
mod hatchery;
pub mod identity;
mod listener;
mod member;
pub mod messenger;
pub mod process;
pub mod roster;
mod run;
pub mod supervision;
mod text;
mod transport;

pub use context::{Context, Members};
pub use error::{BoxError, Result};
pub use hatchery::{Hatchery, PlanError, RoleSettings, per_core};
pub use identity::{Incarnation, MemberId, Role, Slot};
pub use listener::{Listener, ListenerError, LocalAddr, PeerAddr, Sharing, Stream, TokioListener};
pub use messenger::{CallError, Message, Messenger, Reason, Recipient, Request, SendError, Target, Undelivered};
pub use process::{Address, Contained, contain, contain_future};
pub use roster::{MemberState, MemberStatus, Roster};

pub use bytes::Bytes;
