//! Starts a daemon and waits until it is ready, or has failed. The other end stands in [`daemon`](super::daemon).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::clock;
use super::daemon::{MAGIC, READY};
use super::lock::try_lock;
use super::stranger::Stranger;

/// What is shown of what a daemon has said: two screens of a terminal.
const WORDS: u64 = 8 * 1024;

/// For how long a log may be held by a process that was killed and is being taken down.
const LEAVING: Duration = Duration::from_millis(500);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How a start in the background has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Launched {
    /// All are ready. It goes on by itself.
    Ready,
    /// It has ended before.
    Ended(ExitStatus),
    /// Somebody has interrupted us, and it was stopped.
    TakenBack,
    /// It has not said anything in its time, and was killed.
    Hung,
}

/// A daemon that is being started.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Stranger,
    /// Its end, waited for in a thread.
    end: JoinHandle<io::Result<ExitStatus>>,
    way: UnixStream,
    interrupts: Interrupts,
    /// Where its stderr goes.
    said: File,
    /// Where in it the words of this start begin.
    from: u64,
}

/// Who waits can be interrupted.
#[derive(Debug)]
struct Interrupts(Signal, Signal, Signal);

impl Interrupts {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
            _ = self.2.recv() => {}
        }
    }
}

impl Daemon {
    /// Starts this program again, with the same arguments, so that it becomes a daemon: see
    /// [`Launcher::attach`](super::Launcher::attach). What it says goes to the end of `log`; without one it is kept in
    /// memory until it is ready, and thrown away after that.
    ///
    /// In a tokio runtime with IO and time.
    ///
    /// A log that another daemon writes to is not written to.
    pub(crate) async fn launch(log: Option<&Path>) -> io::Result<Daemon> {
        let mut interrupts =
            Interrupts(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::quit())?);
        let (way, stdin) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        send(&way, MAGIC, SendFlags::NOSIGNAL)?;
        // Memory and not a pipe: if we are killed, nobody reads a pipe, and whoever writes into it fails.
        let (said, stdout) = match log {
            Some(path) => {
                let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path);
                // Two handles: the lock is for the master alone, what members write to is not locked.
                let (lock, log) = (open()?, open()?);
                let due = clock::now() + LEAVING;
                while !try_lock(&lock)? {
                    if clock::now() > due {
                        return Err(io::Error::other("another daemon writes to it"));
                    }
                    tokio::select! {
                        () = interrupts.next() => return Err(io::ErrorKind::Interrupted.into()),
                        () = sleep(PAUSE) => {}
                    }
                }
                (log, Stdio::from(lock))
            }
            None => (File::from(memfd_create("hatchery-start", MemfdFlags::CLOEXEC)?), Stdio::null()),
        };
        let from = said.metadata()?.len();
        let mut arguments = std::env::args_os();
        let mut command = Command::new("/proc/self/exe");
        command.arg0(arguments.next().unwrap_or_default()).args(arguments);
        command.stdin(stdin).stdout(stdout).stderr(said.try_clone()?);
        let mut child = command.spawn()?;
        // Not waited for so far: the number is its own.
        let process = Stranger::open(child.id())?;
        let end = tokio::task::spawn_blocking(move || child.wait());
        let way = Socket::from(way);
        way.set_nonblocking(true)?;
        Ok(Daemon { process, end, way: UnixStream::from_std(way)?, interrupts, said, from })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it is ready or has ended, for `patience` at most: then it is killed. Its members end with it.
    pub(crate) async fn settled(&mut self, patience: Duration) -> io::Result<Launched> {
        let due = Instant::from_std(clock::now() + patience);
        let (mut taken_back, mut hung, mut silent) = (false, false, false);
        loop {
            tokio::select! {
                biased;
                is_ready = said_ready(&self.way), if !silent => match is_ready {
                    // One that has been told to stop is not left behind, however far it has come.
                    true if taken_back || hung => {}
                    true => return Ok(Launched::Ready),
                    false => silent = true,
                },
                ended = &mut self.end => {
                    let status = ended.map_err(io::Error::other)??;
                    return Ok(match (hung, taken_back) {
                        (true, _) => Launched::Hung,
                        (false, true) => Launched::TakenBack,
                        (false, false) => Launched::Ended(status),
                    });
                }
                () = self.interrupts.next() => {
                    // A second one is in a hurry, and the master knows what that means.
                    self.process.terminate()?;
                    taken_back = true;
                }
                () = sleep_until(due), if !hung => {
                    self.process.kill();
                    hung = true;
                }
            }
        }
    }

    /// What it has said on stderr since it was started, or the last of it, from the beginning of a line.
    pub(crate) fn last_words(&self) -> String {
        let end = self.said.metadata().map_or(self.from, |file| file.len());
        let begin = self.from.max(end.saturating_sub(WORDS));
        let mut bytes = vec![0; (end - begin.min(end)) as usize];
        let got = self.said.read_at(&mut bytes, begin).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..got]).into_owned();
        match text.split_once('\n') {
            Some((_, rest)) if begin > self.from => rest.to_owned(),
            _ => text,
        }
    }
}

/// Waits for the word that it is ready. `false`: it will not come any more.
async fn said_ready(way: &UnixStream) -> bool {
    let mut said = [0; READY.len()];
    loop {
        if way.readable().await.is_err() {
            return false;
        }
        match way.try_read(&mut said) {
            Ok(0) => return false,
            Ok(got) if said[..got] == *READY => return true,
            // Not a word of ours.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}
