//! Run one Rust program as a family of processes: a **master** that only supervises and routes, one **agent** that does
//! the shared chores, and **workers** that serve on one port.
//!
//! ```no_run
//! use hatchery::{Context, Hatchery};
//!
//! // Not #[tokio::main]: who a process is, is found out before any thread exists.
//! fn main() -> std::process::ExitCode {
//!     Hatchery::new().listen("127.0.0.1:8080").agent(agent).workers(hatchery::per_core(), worker).run()
//! }
//!
//! async fn agent(cx: Context) -> hatchery::Result<()> {
//!     cx.ready(); // the workers are started after this
//!     Ok(()) // lives for its handlers until the cluster stops
//! }
//!
//! async fn worker(cx: Context) -> hatchery::Result<()> {
//!     let mut listener = cx.listener()?;
//!     cx.ready();
//!     // Ends when this worker is to stop, or to be replaced after an exception.
//!     while let Some(stream) = listener.accept().await {
//!         cx.spawn(async move { drop(stream) });
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Where to begin
//!
//! | | |
//! |---|---|
//! | [`Hatchery`] | the plan: roles, listeners, limits; [`run`](Hatchery::run) is the last thing `main` does |
//! | [`Hatchery::enter`] | the same in a program that does other things besides: [`Cluster`], [`ClusterHandle`] |
//! | [`RoleSettings`] | what can be said of one role |
//! | [`Context`] | what a member's code holds: ready, stopping, listener, messenger, members |
//! | `Schedule` | what is done at times, by whom (feature `schedule`, on by default) |
//! | `control` | how an operator's command asks a running cluster (feature `control`) |
//! | [`log`] | what all log, in files that one writes (feature `log`, on by default) |
//! | [`shared`] | one connection in the agent, used by all |
//! | [`Listener`] | accepts on the shared port, and stops at once when it must |
//! | `axum::serve` | axum on it, with a drain that loses nothing (feature `axum`, on by default) |
//! | [`Messenger`] | typed messages and calls between members, and values that are kept for all of them |
//! | [`supervision`] | what follows when something goes wrong: pure values, and a trait for your own |
//! | [`contain`] | a scope whose panics are nobody's exception |
//!
//! # Features
//!
//! `axum` (default): [`Listener`] as an axum listener, and `axum::serve`. `schedule` (default): cron expressions and intervals,
//! [`Hatchery::schedule`]. `log` (default): [`Hatchery::logs`]. `postcard`: payloads are encoded with postcard
//! instead of bincode; the same in all processes, which are one program. `async-trait`: for trees of actors that have ractor's
//! feature of that name on. `control`: a socket for operators, `Hatchery::control` and the module of that name.
//! `cli`: the commands of your program, start, stop, status and others, in the module of that name.
//!
//! `simulation`: the module of that name, a whole cluster in one test process on a virtual clock.
//!
//! Linux 5.11 or later.

mod actors;
#[cfg(feature = "axum")]
pub mod axum;
mod bulletin;
#[cfg(feature = "cli")]
pub mod cli;
mod cluster;
mod context;
#[cfg(feature = "control")]
pub mod control;
mod deputy;
mod error;
mod hatchery;
pub mod identity;
mod listener;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "simulation")]
mod loopback;
mod member;
pub mod messenger;
pub mod process;
pub mod remote;
mod reopen;
pub mod roster;
mod run;
#[cfg(feature = "schedule")]
pub mod schedule;
pub mod shared;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod supervision;
mod text;
mod threads;
mod transport;

pub use actors::Heartbeat;
pub use cluster::{
    Cluster, ClusterError, ClusterEvent, ClusterEvents, ClusterHandle, ClusterMsg, ClusterStage, SlotHandle, StartError,
};
pub use context::{AlreadySubscribed, Context, Members};
#[cfg(feature = "control")]
pub use control::{Control, ControlClient, ControlError, ControlGuard, ControlReply, ControlRequest};
pub use error::{BoxError, Result};
pub use hatchery::{EnterError, Hatchery, PlanError, RoleSettings, enter, is_member, per_core};
pub use identity::{Incarnation, MemberId, Role, Slot};
pub use listener::{Listener, ListenerError, LocalAddr, PeerAddr, Sharing, Stream, TokioListener};
pub use messenger::{
    CallError, Message, Messenger, Reason, Recipient, Request, SendError, Subscription, Target, Undelivered, Update,
};
pub use process::{Address, Contained, contain, contain_future};
pub use remote::{Protocol, ProxyMsg};
pub use reopen::Reopened;
pub use roster::{Life, MemberState, MemberStatus, Roster};
#[cfg(feature = "schedule")]
pub use schedule::{Schedule, ScheduleError, ScheduleStatus, Tick};

pub use bytes::Bytes;

/// The actor library that a cluster can be part of a tree of, in the version that this crate was built with.
pub use ractor;

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
