//! Processes, held so that their numbers cannot come to mean others.

use std::os::fd::OwnedFd;
use std::time::Duration;

use hatchery::ClusterHandle;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::PATIENCE;

/// Living processes.
#[derive(Debug)]
pub struct Held(Vec<(u32, OwnedFd)>);

impl Held {
    /// All members of a cluster that have a process.
    pub fn members(handle: &ClusterHandle) -> Held {
        Held::take(handle.status().members.iter().filter_map(|member| member.pid))
    }

    pub fn take(pids: impl IntoIterator<Item = u32>) -> Held {
        let hold = |pid: u32| {
            let raw = Pid::from_raw(pid as i32).expect("a number");
            (pid, pidfd_open(raw, PidfdFlags::empty()).expect("it lives"))
        };
        Held(pids.into_iter().map(hold).collect())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn kill(&self) {
        for (_, held) in &self.0 {
            pidfd_send_signal(held, Signal::KILL).expect("it is ours");
        }
    }

    /// All of them have ended, now.
    #[track_caller]
    pub fn expect_gone(&self) {
        self.gone_within(Duration::ZERO);
    }

    /// Waits for the end of all of them, which the kernel tells.
    #[track_caller]
    pub fn until_gone(&self) {
        self.gone_within(PATIENCE);
    }

    #[track_caller]
    fn gone_within(&self, patience: Duration) {
        for (pid, held) in &self.0 {
            let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
            let ended = poll(&mut [PollFd::new(held, PollFlags::IN)], Some(&timeout)).expect("it can be watched");
            assert_eq!(ended, 1, "process {pid} lives");
        }
    }
}
