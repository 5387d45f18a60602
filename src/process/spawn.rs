//! Starting one member: the same program again, with a socket for stdin and everything else unsaid.
//!
//! Nothing here runs between fork and exec: `std` then uses `posix_spawn`, whose price does not grow with the memory of
//! the master (0.7 ms, against 46 ms per GiB). What has to be done in the new process it does itself, see
//! [`settle`](super::settle).

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::backend::{Executable, SpawnError, SpawnSpec};
use super::black_box;
use super::boot::{self, Words};
use super::descendants::Mark;
use super::lent::Lent;
use super::pidfd::Held;
use super::stderr::Capture;

/// What a launcher told us and no member should take for its own.
const NOT_INHERITED: [&str; 6] =
    ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// A process that has just been started, and what its owner keeps of it.
pub(super) struct Hatchling {
    pub(super) process: Held,
    pub(super) black_box: File,
    pub(super) stderr: Capture,
    /// `None`: the limit of file locks is fixed here. Its group is all that tells its descendants.
    pub(super) mark: Option<Mark>,
}

impl Hatchling {
    /// Ends a process that nobody will own. It is reaped by the next sweep, like all that is handed to us: waiting for it
    /// here would keep every other member waiting.
    pub(super) fn end(self) {
        self.process.kill();
        self.process.kill_group();
    }
}

/// Starts the process and sends it its first words. Its stderr will be the one that is given, or ours. Also returned: the
/// master's ends of the link and of the channel.
pub(super) fn spawn(
    spec: &SpawnSpec,
    stderr_when_ready: Option<&OwnedFd>,
) -> Result<(Hatchling, UnixStream, OwnedFd), SpawnError> {
    let (link, stdin) = UnixStream::pair().map_err(|error| SpawnError::new("failed to create the link", error))?;
    let (channel, lent) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|error| SpawnError::new("failed to create the channel", error))?;
    let black_box = black_box::create().map_err(|error| SpawnError::new("failed to create the black box", error))?;
    let (stderr, captured) =
        Capture::new().map_err(|error| SpawnError::new("failed to create a pipe for stderr", error))?;
    let own = std::io::stderr();
    let inherited = stderr_when_ready
        .map_or(own.as_fd(), AsFd::as_fd)
        .try_clone_to_owned()
        .map_err(|error| SpawnError::new("failed to copy stderr", error))?;
    let program = match &spec.executable {
        Executable::Running => Path::new("/proc/self/exe"),
        Executable::Path(path) => path,
    };
    let mut command = Command::new(program);
    command.arg0(&spec.title).args(std::env::args_os().skip(1)).process_group(0);
    command.stdin(OwnedFd::from(stdin)).stderr(captured);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    for (name, value) in &spec.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let child = command.spawn().map_err(|error| SpawnError::new("failed to execute the program", error))?;
    // Holds our copies of what the member got: with them open we would never see its end of the pipe close.
    drop(command);
    let pid = Pid::from_child(&child);
    let process = match Held::open(pid) {
        Ok(process) => process,
        Err(error) => {
            end_by_number(pid);
            return Err(SpawnError::new("failed to take hold of the process", error));
        }
    };
    let mark = Mark::fresh().and_then(|mark| mark.put_on(pid).map(|()| mark)).ok();
    let hatchling = Hatchling { process, black_box: File::from(black_box), stderr, mark };
    let listeners: Option<Vec<_>> = spec.listeners.iter().map(Lent::descriptor).collect();
    let Some(listeners) = listeners else {
        hatchling.end();
        let error = io::Error::new(ErrorKind::Unsupported, "it is no socket of the system's");
        return Err(SpawnError::new("failed to lend a listener", error));
    };
    let words = Words {
        body: &spec.boot,
        channel: lent.as_fd(),
        black_box: hatchling.black_box.as_fd(),
        stderr: inherited.as_fd(),
        listeners,
    };
    match boot::send(&link, &channel, &words) {
        Ok(()) => Ok((hatchling, link, channel)),
        // Gone already: its end will be reported like any other.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok((hatchling, link, channel)),
        Err(error) => {
            hatchling.end();
            Err(SpawnError::new("failed to send the first words", error))
        }
    }
}

fn end_by_number(pid: Pid) {
    // Not reaped yet, so the number is still its own.
    let _ = kill_process(pid, Signal::KILL);
    let _ = kill_process_group(pid, Signal::KILL);
}
