//! The thread of a member that outlives its master by no more than the grace. It needs no runtime: it ends the process
//! also when everything else in it spins or waits.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{getpgrp, getpid, kill_process};

use super::descendants::{Mark, family};
use super::orphans::confess;
use super::settle::MASTER_LOST;

/// The way out of the process may be blocked by an exit handler that waits for a lock.
const EXIT_HANDLERS: Duration = Duration::from_millis(300);

/// Rounds of looking for descendants: one that is being forked in one round is found in the next.
const ROUNDS: usize = 20;

/// The running thread.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    bell: Arc<OwnedFd>,
}

impl Watch {
    /// Starts the thread. When `master` is gone it calls `lost`. Then, or when [`Watch::ring`] was called, it waits
    /// for `grace`, and ends this process and its descendants.
    pub(crate) fn start(master: OwnedFd, grace: Duration, lost: impl FnOnce() + Send + 'static) -> io::Result<Watch> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let rung = bell.clone();
        thread::Builder::new().name("hatchery-watch".into()).spawn(move || {
            if wait(&master, &rung) == Waited::MasterGone {
                confess();
                lost();
            }
            thread::sleep(grace);
            leave_orphaned();
        })?;
        // From here on the death of the master need not kill: it only has to wake a stopped member, so that the thread
        // can act. SIGTERM would leave it stopped.
        nix::sys::prctl::set_pdeathsig(Signal::SIGCONT)?;
        Ok(Watch { bell })
    }

    /// The link is lost, which is as good as the master.
    pub(crate) fn ring(&self) {
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

/// What ended the wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    MasterGone,
    /// The link is lost, and whoever rang knows. A master that dies loses its links first: it has a moment for the rest.
    Rung,
}

/// How long a process takes from closing its descriptors to being gone.
const DYING: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

fn wait(master: &OwnedFd, bell: &OwnedFd) -> Waited {
    loop {
        let mut ears = [PollFd::new(master, PollFlags::IN), PollFd::new(bell, PollFlags::IN)];
        match poll(&mut ears, None) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) if ears[0].revents().is_empty() => {
                let dying = poll(&mut [PollFd::new(master, PollFlags::IN)], Some(&DYING));
                return if dying == Ok(0) { Waited::Rung } else { Waited::MasterGone };
            }
            // Also when it cannot be watched: then nothing would end this process later.
            Ok(_) | Err(_) => return Waited::MasterGone,
        }
    }
}

/// Ends all that descends from this process, then this process, with the code that says why.
pub(crate) fn leave_orphaned() -> ! {
    for _ in 0..ROUNDS {
        let rest = family(Mark::own(), getpgrp(), getpid());
        if rest.is_empty() {
            break;
        }
        for pid in rest {
            let _ = kill_process(pid, rustix::process::Signal::KILL);
        }
        thread::yield_now();
    }
    let spawned = thread::Builder::new().name("hatchery-exit".into()).spawn(|| {
        thread::sleep(EXIT_HANDLERS);
        kill_self();
    });
    if spawned.is_err() {
        kill_self();
    }
    exit(MASTER_LOST)
}

fn kill_self() {
    let _ = kill_process(getpid(), rustix::process::Signal::KILL);
}

/// Ends this process with `code`.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub(crate) fn exit(code: i32) -> ! {
    std::process::exit(code)
}
