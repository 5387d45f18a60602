//! A master as a command sees it, which starts one or stops it. Held by a descriptor, so that it cannot come to mean another.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::clock;

/// A process, whoever its parent is.
#[derive(Debug)]
pub(crate) struct Stranger {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Stranger {
    /// Takes hold of whoever has this number now.
    pub(crate) fn open(pid: u32) -> io::Result<Stranger> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Stranger { pid, descriptor: pidfd_open(pid, PidfdFlags::empty())? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Asks it to end. That it has is no error.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.descriptor, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills it. That it has gone is no error.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }

    /// Waits until it has ended, for so long at most; `None`: for as long as it takes. `false`: it has not.
    pub(crate) fn wait(&self, patience: Option<Duration>) -> io::Result<bool> {
        let due = patience.map(|patience| clock::now() + patience);
        loop {
            let left = due.map(|due| due.saturating_duration_since(clock::now()));
            let timeout =
                left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
            match poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_ends_is_waited_for_and_one_that_does_not_is_told() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("coreutils");
        let stranger = Stranger::open(child.id()).expect("it runs");
        assert_eq!(stranger.pid(), child.id());
        assert!(!stranger.wait(Some(Duration::ZERO)).expect("it can be waited for"));
        stranger.terminate().expect("it is ours");
        assert!(stranger.wait(None).expect("it can be waited for"));
        assert_eq!(child.wait().expect("it is ours").signal(), Some(15));
        stranger.terminate().expect("that it has ended is no error");
        for nobody in [0, u32::MAX, i32::MAX as u32] {
            assert!(Stranger::open(nobody).is_err());
        }
    }
}
