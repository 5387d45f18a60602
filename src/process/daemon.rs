//! A master that was launched into the background: how it knows, and how it tells its launcher that it is ready.
//!
//! It is the same program started again, with the same arguments, and never a fork: nothing of the launcher is in it but
//! its environment, its directory, its umask. What makes it a daemon is its standard input, as the link makes a member: a
//! socket in which the launcher has said so. Nothing else could be seen by those whom it starts, and it is out of the way
//! before it starts anybody.
//!
//! ```text
//!  launcher (the command)                        daemon (the master)
//!  stdin = socket with MAGIC in it    ──exec──►  attached? take it, /dev/null in its place, setsid
//!  stdout = log file, locked, or /dev/null
//!  stderr = log file, or memory       ◄── all that is said until it is ready
//!  waits for one of: READY, its end   ◄── READY, and from then on stderr is where stdout is
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::fstat;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, sockopt};

use super::settle;

/// What a launcher says to a daemon, before it is started.
pub(super) const MAGIC: &[u8] = b"hatchery daemon 1";

/// What a daemon says to its launcher.
pub(super) const READY: &[u8] = b"ready";

/// The way from a daemon to its launcher.
#[derive(Debug)]
pub(crate) struct Launcher {
    way: OwnedFd,
    /// Where its stderr is to go when it is ready, and that of its members from the first.
    rest: OwnedFd,
}

impl Launcher {
    /// Whether this process was launched as a daemon, and has not been attached yet. Changes nothing.
    pub(crate) fn is_there() -> bool {
        let stdin = io::stdin();
        let is_socket = sockopt::socket_domain(&stdin).is_ok_and(|domain| domain == AddressFamily::UNIX)
            && sockopt::socket_type(&stdin).is_ok_and(|kind| kind == SocketType::SEQPACKET);
        let mut said = [0; MAGIC.len() + 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        is_socket
            && recv(&stdin, &mut said[..], flags).is_ok_and(|(_, length)| &said[..length.min(said.len())] == MAGIC)
    }

    /// Becomes a daemon, if this process was launched as one: in a session of its own, without a terminal, its standard
    /// input `/dev/null`. `None`: it was not.
    pub(crate) fn attach() -> io::Result<Option<Launcher>> {
        if !Launcher::is_there() {
            return Ok(None);
        }
        let way = io::stdin().as_fd().try_clone_to_owned()?;
        // Taken out: a socket that is closed with something unread in it takes from the other end what it has not read yet.
        recv(&way, &mut [0; MAGIC.len()][..], RecvFlags::DONTWAIT)?;
        rustix::stdio::dup2_stdin(&File::open("/dev/null")?)?;
        // Whoever waits for the end of a pipe would wait for the end of the daemon.
        settle::close_leaked()?;
        // It leads no group: its launcher started it in its own.
        rustix::process::setsid()?;
        // In `top` it would be called `exe`, for the path by which it was started.
        let program = std::env::args_os().next().unwrap_or_default();
        settle::set_process_name(Path::new(&program).file_name().unwrap_or_default());
        hold_log()?;
        let rest = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Some(Launcher { way, rest }))
    }

    /// Where the stderr of members is to go: they live longer than the launcher listens.
    pub(crate) fn stderr(&self) -> io::Result<OwnedFd> {
        self.rest.try_clone()
    }

    /// Lets the launcher go: what is said on stderr from now on is no part of the start. One that has gone is no loss.
    pub(crate) fn ready(self) {
        let _ = rustix::stdio::dup2_stderr(&self.rest);
        let _ = send(&self.way, READY, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

/// Where stdout is the log, and locked by the launcher: the lock stays with this process, whatever becomes of it, and what it starts
/// writes to the log through another handle.
fn hold_log() -> io::Result<()> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let (one, other) = (fstat(&stdout)?, fstat(&stderr)?);
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino) {
        let lock = stdout.as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdout(&stderr)?;
        // To the end of the process.
        let _ = lock.into_raw_fd();
    }
    Ok(())
}
