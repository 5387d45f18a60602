//! The seam to the operating system: everything that the rest of the crate knows about processes.
//!
//! A backend creates processes and reports their ends. It decides nothing. Readiness is told over the link; the end is
//! told by [`Exit`], exactly once; [`ProcessControl`] only initiates.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::exit::ExitRecord;
use super::lent::Lent;
use crate::identity::MemberId;

/// Creates processes.
pub trait ProcessBackend: Send + Sync + fmt::Debug + 'static {
    /// Starts one. Resolves as soon as it exists, long before it is ready.
    ///
    /// Dropped before it resolves, the process is started all the same and ended at once.
    fn spawn(&self, spec: SpawnSpec) -> Spawning;

    /// Orphans may have been handed to us, or have ended: ends and reaps those that belonged to the dead.
    fn sweep(&self);

    /// The number of the process that the members have for a master, to be shown only.
    fn master_pid(&self) -> u32 {
        std::process::id()
    }

    /// What can be done to the processes that it creates.
    fn capabilities(&self) -> Capabilities {
        Capabilities::PROCESSES
    }

    /// Ends whatever is left and waits until it is gone, but not for what cannot die.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What can be done to the processes of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// One can be ended whatever it is doing, by anybody who may.
    pub kill: bool,
    /// One can be made to stand still, and to go on.
    pub stop: bool,
    /// What one does to its memory, its environment or its panic hook is nothing to the others, and neither is its end.
    pub isolation: bool,
    /// One can be lent descriptors of the system's.
    pub descriptors: bool,
}

impl Capabilities {
    /// Of processes of the system's.
    pub const PROCESSES: Capabilities = Capabilities { kill: true, stop: true, isolation: true, descriptors: true };
    /// Of threads of this process. The master can ask one to end; one that never comes back to its runtime does not hear.
    pub const THREADS: Capabilities = Capabilities { kill: false, stop: false, isolation: false, descriptors: true };
    /// Of simulated processes.
    pub const SIMULATED: Capabilities = Capabilities { kill: true, stop: true, isolation: false, descriptors: false };
}

/// A process that is being started.
pub type Spawning = Pin<Box<dyn Future<Output = Result<Spawned, SpawnError>> + Send>>;

/// What to start.
#[derive(Clone, Debug)]
pub struct SpawnSpec {
    /// Who it will be.
    pub member: MemberId,
    /// Its `argv[0]`, by which it knows itself and `ps` shows it.
    pub title: OsString,
    /// What to run.
    pub executable: Executable,
    /// Changes to the inherited environment: `None` removes.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// The first words over its link. Opaque here.
    pub boot: Vec<u8>,
    /// The sockets that it is lent, in the order in which the first words name them.
    pub listeners: Vec<Lent>,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executable {
    /// The image that runs already, even if the file has been replaced or deleted since: no other speaks our protocol.
    Running,
    /// The program at this path.
    Path(PathBuf),
}

/// A process that exists.
pub struct Spawned {
    /// Its number in the operating system, to be shown only.
    pub pid: u32,
    /// Signals.
    pub control: Box<dyn ProcessControl>,
    /// Its end.
    pub exit: Exit,
    /// What comes from it.
    pub reader: Box<dyn LinkRead>,
    /// What goes to it.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The socket over which descriptors follow. Kept open as long as the process is owned.
    pub descriptors: Option<OwnedFd>,
}

impl fmt::Debug for Spawned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Ends a process. Initiates only; a process that is gone already is no error.
pub trait ProcessControl: Send + Sync + 'static {
    /// Kills it, with its descendants.
    fn kill(&self);
}

/// The end of a process, when it comes. An error if the backend itself went away.
pub type Exit = oneshot::Receiver<ExitRecord>;

/// The receiving half of a link.
pub trait LinkRead: AsyncRead + Send + Unpin {
    /// Reads what is there without waiting for the reactor to notice it, as after the end of the process. `None`: there
    /// is nothing, now. `Some(0)`: the end.
    fn read_now(&mut self, into: &mut BytesMut) -> io::Result<Option<usize>>;
}

/// Why a process could not be started.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct SpawnError {
    /// What was being done.
    pub step: &'static str,
    /// What the system said.
    pub reason: String,
    /// The number of the system's error, where there is one.
    pub errno: Option<i32>,
}

impl SpawnError {
    pub(crate) fn new(step: &'static str, error: impl Into<io::Error>) -> SpawnError {
        let error = error.into();
        SpawnError { step, reason: error.to_string(), errno: error.raw_os_error() }
    }

    /// The backend has ended.
    pub(super) fn closed() -> SpawnError {
        SpawnError { step: "failed to reach the nursery", reason: "it has ended".into(), errno: None }
    }
}
