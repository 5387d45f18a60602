//! A control socket that is served, and how a cluster comes to have one.

use std::fmt;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::server::Server;
use super::settings::Control;
use crate::cluster::ClusterHandle;
use crate::process::private_dir::PrivateDir;

/// How long those who wait for an answer may take to be given it at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// A control socket that is served. Dropped, it is served no more, and the socket is removed; what was asked for over it goes on.
///
/// It does not hold the cluster; when that has ended, status still tells so.
#[must_use = "dropped, the socket is gone"]
pub struct ControlGuard {
    directory: PrivateDir,
    serving: JoinHandle<Vec<UnixStream>>,
    closing: CancellationToken,
}

impl ClusterHandle {
    /// Serves a control socket for operators in a directory: `control.sock`, for [`ControlClient`](super::ControlClient) and
    /// whoever speaks its lines. Under [`Hatchery::run`](crate::Hatchery::run) that is done for you:
    /// [`Hatchery::control`](crate::Hatchery::control).
    ///
    /// The directory is created, with mode 700, if it is not there; its parent must be. One that is there must be this user's
    /// and open to nobody else. It is held by one cluster at a time; a socket that a killed process has left in it is
    /// replaced. Takes a few system calls and waits for nobody.
    ///
    /// # Errors
    /// With a sentence that says which of these does not hold: [`PermissionDenied`](io::ErrorKind::PermissionDenied) (another's
    /// directory, or one that is open to others), [`AddrInUse`](io::ErrorKind::AddrInUse) (it is held, by whom),
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) (its path is longer than a socket's may be),
    /// [`NotADirectory`](io::ErrorKind::NotADirectory), [`AlreadyExists`](io::ErrorKind::AlreadyExists) (what is no socket has
    /// its name), and whatever the system says.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time.
    pub fn serve_control(&self, control: impl Into<Control>) -> io::Result<ControlGuard> {
        let settings = control.into();
        let (directory, listener) = PrivateDir::claim(&settings.dir)?;
        let listener = tokio::net::UnixListener::from_std(UnixListener::from(listener))?;
        let closing = CancellationToken::new();
        let desk = Desk::new(self, settings.admins);
        let master_pid = self.status().master_pid;
        let server = Arc::new(Server { desk, settings, master_pid, closing: closing.clone() });
        let serving = tokio::spawn(server.serve(listener));
        Ok(ControlGuard { directory, serving, closing })
    }
}

impl ControlGuard {
    /// Where the socket is.
    pub fn socket(&self) -> &Path {
        self.directory.socket()
    }

    /// Serves no more, and tells those who wait for an answer: for a second at most. Whoever has asked for the end of the cluster
    /// is told of it, and hears the end of its connection when the socket has been removed.
    ///
    /// Dropped before it resolves, it is as if the guard had been dropped.
    pub async fn finish(mut self) {
        self.closing.cancel();
        let told = tokio::time::timeout(FAREWELL, &mut self.serving).await;
        // First the directory is free, then they hear it.
        drop(self);
        drop(told);
    }
}

impl Drop for ControlGuard {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl fmt::Debug for ControlGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlGuard").field("socket", &self.socket()).finish_non_exhaustive()
    }
}
