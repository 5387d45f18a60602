//! A process that we started, held by a descriptor: it cannot come to mean another one.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitid,
};

use super::exit::ExitStatus;

/// One child of ours, not reaped yet.
#[derive(Debug)]
pub(super) struct Held {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Held {
    /// Takes hold of `pid`, which must be a child that nobody has reaped.
    pub(super) fn open(pid: Pid) -> Result<Held, rustix::io::Errno> {
        Ok(Held { pid, descriptor: pidfd_open(pid, PidfdFlags::empty())? })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Readable once the process has ended.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Kills it. That it is gone already is no error.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }

    /// Kills whoever is left of its group. Only before it is reaped: then the number means nobody else.
    pub(super) fn kill_group(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Reaps it if it has ended. `None`: it has not, or it has and a debugger has not taken note of that yet. Once it
    /// can be reaped, its descriptor becomes readable anew.
    pub(super) fn reap(&self) -> Option<ExitStatus> {
        loop {
            match waitid(WaitId::PidFd(self.descriptor.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(status)) => {
                    return Some(match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => ExitStatus::Code(code),
                        (None, Some(number)) => ExitStatus::Signal { number, core_dumped: status.dumped() },
                        (None, None) => ExitStatus::Stolen,
                    });
                }
                Ok(None) => return None,
                Err(rustix::io::Errno::INTR) => {}
                // Somebody in this process waits for every child there is.
                Err(_) => return Some(ExitStatus::Stolen),
            }
        }
    }
}
