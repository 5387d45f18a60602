//! The room that touches the operating system: starts processes, watches them, ends them; and what a process does about
//! itself when it is one of ours. Decides nothing.
//!
//! ```text
//!            master                                        member
//!  nursery ── spawn ──► posix_spawn, stdin = link ──►  settle: am I one? take the link, close leaks
//!     │        └ boot ── first words, descriptors ──►  boot, watch (thread), panics (hook) ── black box
//!     │                                                   │
//!     └ pidfd readable ◄────────── exit ──────────────────┘
//!       end its group, reap, read black box and stderr, one ExitRecord; sweep: descendants of the dead
//! ```
//!
//! And what a master has beside its members, where it is wanted: a pid file, a service manager to tell how it is, and a
//! launcher that waits until it is ready.

mod backend;
pub(crate) mod black_box;
pub(crate) mod boot;
mod chance;
pub(crate) mod clock;
mod daemon;
mod descendants;
mod descriptors;
mod exit;
#[cfg(feature = "cli")]
mod launch;
mod lent;
mod listen;
mod lock;
mod memory;
mod notify;
mod nursery;
mod orphans;
mod panics;
#[cfg(feature = "control")]
pub(crate) mod peer;
mod pid_file;
mod pidfd;
#[cfg(feature = "control")]
pub(crate) mod private_dir;
pub(crate) mod settle;
pub(crate) mod signals;
mod socket_reader;
mod spawn;
mod stderr;
#[cfg(feature = "cli")]
mod stranger;
#[cfg(feature = "cli")]
pub(crate) mod surroundings;
mod thread_id;
#[cfg(feature = "control")]
pub(crate) mod usage;
mod ward;
pub(crate) mod watch;

pub use backend::{
    Capabilities, Executable, Exit, LinkRead, ProcessBackend, ProcessControl, SpawnError, SpawnSpec, Spawned, Spawning,
};
pub(crate) use chance::random;
pub(crate) use daemon::Launcher;
pub(crate) use descendants::adopt_descendants;
pub(crate) use descriptors::have_descriptors;
pub use exit::{ExitRecord, ExitStatus};
#[cfg(feature = "cli")]
pub(crate) use launch::{Daemon, Launched};
pub use lent::Lent;
pub(crate) use lent::Socket;
pub(crate) use listen::Bound;
pub use listen::{Address, BindError};
#[cfg(feature = "log")]
pub(crate) use lock::{is_called, reserve, try_lock};
pub(crate) use notify::{Notifier, Word};
pub(crate) use nursery::Nursery;
pub(crate) use orphans::holders;
pub(crate) use panics::{Alarm, Panicked, catch, catch_future, install_hook, is_contained};
pub use panics::{Contained, contain, contain_future};
pub(crate) use pid_file::PidFile;
#[cfg(feature = "cli")]
pub(crate) use pid_file::holder_of;
pub(crate) use socket_reader::SocketReader;
pub(crate) use stderr::say;
#[cfg(feature = "cli")]
pub(crate) use stranger::Stranger;
pub(crate) use thread_id::thread_id;
pub(crate) use ward::Orphans;
