//! Signals, of the master and of a member. The handlers are this process's, not this cluster's: only `run` sets them.

use std::fs;
use std::io;

use nix::sys::signal::{self as unix, SigSet};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal to the master asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To stop. The signal's name.
    Stop(&'static str),
    /// To look after the children: one has ended, or was handed to us.
    Children,
    /// What a daemon's users are used to: another configuration. There is none to be read.
    Reload,
    /// To have log files opened again.
    Reopen,
}

/// The signals that the master listens to.
#[derive(Debug)]
pub(crate) struct MasterSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    child: Signal,
    /// Where it does not mean that a terminal has gone.
    hang_up: Option<Signal>,
    user: Signal,
}

impl MasterSignals {
    /// Sets the handlers, and lets the signals through to this thread. Before the first spawn: handled signals are back to
    /// their default in the new process, ignored ones are not.
    ///
    /// A hang-up is listened to by a daemon, which has no terminal, and means the kernel's default elsewhere.
    pub(crate) fn listen(is_daemon: bool) -> io::Result<MasterSignals> {
        for ignored in ignored() {
            // The handler does nothing and stays, so for this process the signal is as ignored as it was.
            let _ = signal(ignored)?;
        }
        let signals = MasterSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            child: signal(SignalKind::child())?,
            user: signal(SignalKind::user_defined1())?,
            hang_up: is_daemon.then(|| signal(SignalKind::hangup())).transpose()?,
        };
        // What a launcher has blocked stays blocked over exec, and a handler would never run.
        use unix::Signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
        let heard = [SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGUSR1].into_iter().chain(is_daemon.then_some(SIGHUP));
        heard.collect::<SigSet>().thread_unblock()?;
        Ok(signals)
    }

    /// The next one. Cancel-safe: a signal that was not returned is returned later.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wish::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wish::Stop("SIGINT"),
            _ = self.quit.recv() => Wish::Stop("SIGQUIT"),
            _ = self.child.recv() => Wish::Children,
            Some(()) = async { self.hang_up.as_mut()?.recv().await } => Wish::Reload,
            _ = self.user.recv() => Wish::Reopen,
        }
    }
}

/// The signals that a member listens to.
#[derive(Debug)]
pub(crate) struct MemberSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl MemberSignals {
    /// Sets the handlers. What a terminal sends goes to the master's group and not to ours, so that these three mean this
    /// one process. A hang-up is never the end of a member: the kernel sends it to a stopped one whose master died. Nor is what
    /// means to the master that log files were renamed, from whoever sends it to all processes of that name.
    pub(crate) fn listen() -> io::Result<MemberSignals> {
        // The stream may go: the handler stays.
        let _ = signal(SignalKind::hangup())?;
        let _ = signal(SignalKind::user_defined1())?;
        Ok(MemberSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Somebody wants this one process to end. Cancel-safe.
    pub(crate) async fn terminated(&mut self) {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => {}
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.quit.recv() => {}
            else => std::future::pending().await,
        }
    }
}

/// The signals that our launcher had set to be ignored, but those that every Rust program ignores, and those that
/// nobody may handle.
fn ignored() -> Vec<SignalKind> {
    let mask = ignored_mask();
    const ILL: i32 = 4;
    const FPE: i32 = 8;
    const SEGV: i32 = 11;
    const PIPE: i32 = 13;
    // The C library keeps these two for its threads.
    const RESERVED: [i32; 2] = [32, 33];
    let untouchable = |number: &i32| [ILL, FPE, SEGV, PIPE].contains(number) || RESERVED.contains(number);
    (1..=64)
        .filter(|number| mask & (1 << (number - 1)) != 0 && !untouchable(number))
        .map(SignalKind::from_raw)
        .collect()
}

/// Whether this process ignores the ends of its children. The kernel then reaps them itself and keeps no status: nobody
/// would learn how a member ended.
pub(crate) fn ends_are_ignored() -> bool {
    ignored_mask() & (1 << (unix::Signal::SIGCHLD as i32 - 1)) != 0
}

/// One bit for each signal that is ignored, signal 1 in the lowest.
fn ignored_mask() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
