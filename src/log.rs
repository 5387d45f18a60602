//! Logs of the whole family, written by one: members send what they log to the agent, which alone writes the files.
//!
//! ```text
//!  worker                                                             agent
//!  tracing ─► layer ─► line ─► Outbox ─ Courier ── one batch at a time ──► Archive ─► journal: what will be where
//!                              bounded, drops counted                         ▲   └─► worker.log, error.log …
//!  master: Clerk ─ exceptions and ends of members ── the same way ────────────┘
//! ```
//!
//! ```no_run
//! use hatchery::log::Logs;
//! use hatchery::{Context, Hatchery};
//!
//! fn main() -> std::process::ExitCode {
//!     Hatchery::new().logs(Logs::new("log")).agent(agent).workers(4, worker).run()
//! }
//!
//! async fn agent(cx: Context) -> hatchery::Result<()> {
//!     hatchery::log::init(&cx)?; // what this process logs is in log/agent.log
//!     cx.ready();
//!     Ok(())
//! }
//!
//! async fn worker(cx: Context) -> hatchery::Result<()> {
//!     hatchery::log::init(&cx)?; // in log/worker.log; its errors in log/error.log, too
//!     cx.ready();
//!     tracing::info!(slot = %cx.slot(), "ready");
//!     cx.stopping().await;
//!     Ok(())
//! }
//! ```
//!
//! A line is in the file once and whole, and in the order of its member, whatever happens to the agent: a batch is sent again
//! until it is known to be written, and what is about to be written where stands in a journal beside the files, so that a
//! successor knows what a killed agent has done. What does not fit into the buffer of a member, because the disk is full or the
//! agent is away for long, is dropped, counted, and told in the file as soon as there is room. What a member has logged and not
//! sent yet ends with it when it is killed: a few milliseconds, as a rule.

mod archive;
mod clerk;
mod courier;
mod format;
mod handle;
mod journal;
mod layer;
mod outbox;
mod rolling;
mod scribe;
mod settings;
mod stamp;

pub(crate) use self::clerk::Book;
pub use self::handle::init;
pub(crate) use self::handle::install;
pub use self::layer::layer;
pub use self::settings::{Logs, LogsError, Rotation};
