//! How an operator's command talks to a cluster that runs: over one socket in a private directory.
//!
//! ```text
//!   command                                   the master's process
//!   ControlClient ── one line of JSON ──►  server   lines, deadlines, how many; who is at the other end
//!      (blocks)   ◄─ one line of JSON ──     │
//!                                          desk     request → reply: knows no socket
//!                                            ├─ survey      who is there: what the master knows, /proc, and
//!                                            │              inquiry, what only members know: waited for 100 ms
//!                                            └─ operations  what changes something, to its end, and one line in the log
//! ```
//!
//! The files, the protocol, who may do what, and every limit: docs/control.md. Needs the feature `control`.

mod client;
mod desk;
mod guard;
mod inquiry;
mod lines;
mod member;
mod operations;
mod reply;
mod request;
mod sample;
mod server;
mod settings;
mod survey;
mod wire;

pub use self::client::{ControlClient, ControlError};
pub use self::guard::ControlGuard;
pub(crate) use self::member::install;
pub use self::reply::{ClusterStatus, ControlReply, LastRunReport, MemberReport, ScheduleReport};
pub use self::request::ControlRequest;
pub use self::settings::{Admins, Control};
