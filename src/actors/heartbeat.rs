//! What a role's members are asked, and for how long they may owe the answer.

use std::time::Duration;

/// How the members of a role are asked whether they are there: a question over the link each `interval`, which the member
/// answers from the task that runs its role function. Set with [`RoleSettings::heartbeat`](crate::RoleSettings::heartbeat);
/// without it nobody is asked, and a member that is stuck keeps its slot.
///
/// A member that has not answered `missed` times in a row is *unresponsive*: random messages go to others, and it is shown as
/// [`MemberState::Unresponsive`](crate::MemberState::Unresponsive). When it answers, it is as it was. One that has been
/// silent for the whole `timeout` has failed: its strategy is asked. The built-in one has it told to leave, killed when its
/// `stop_timeout` is over as well, and replaced; it counts as one failure.
///
/// # What is noticed
///
/// That the thread of the role function does not come back to its runtime: a loop without an await, a blocking call, a lock
/// of the standard library that is never free, in the function itself, in what `spawn_local` started, and, on the usual
/// runtime of one thread, in every task and handler. With several [`runtime_threads`](crate::RoleSettings::runtime_threads)
/// also that all of them are stuck, and not that some are. A process that is stopped, by SIGSTOP or by a debugger, is as
/// silent as one that spins, and is treated alike.
///
/// # What is not
///
/// Tasks that wait for each other while the runtime turns; what a thread of one's own or `spawn_blocking` does; that a
/// listener is not served. A slow member is not a stuck one: an answer that is late is an answer.
///
/// Only time in which the master could have heard counts. A round at whose end the master itself comes too late, because it
/// was stopped, starved, or suspended with its host, is not counted: neither a pause of the master nor of the whole machine
/// makes a member unresponsive. Asked are members that are ready; who starts has its `ready_timeout`, and may block as long
/// as that; who leaves has its time to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub(crate) interval: Duration,
    pub(crate) missed: u32,
    pub(crate) timeout: Duration,
}

impl Heartbeat {
    /// More often than this says more about the scheduler of the machine than about members.
    const SHORTEST: Duration = Duration::from_millis(10);

    /// More than this is meant to be a longer interval.
    const MOST_MISSED: u32 = 1_000;

    /// Asked each `interval`, from 10 ms to 30 days; three times without an answer is unresponsive, and 30 s of silence are
    /// a failure.
    pub fn every(interval: Duration) -> Heartbeat {
        Heartbeat { interval, missed: 3, timeout: Duration::from_secs(30) }
    }

    /// Unresponsive after so many intervals in a row without an answer: 1 to 1,000. Default 3.
    pub fn missed(mut self, missed: u32) -> Heartbeat {
        self.missed = missed;
        self
    }

    /// After so much silence a member has failed, and its strategy is asked; asked again after as much once more, should it
    /// have left the member alone. Counted in intervals. At least `missed` of them, and two: a single pause of the machine
    /// may cost one. Default 30 s, as gunicorn's.
    pub fn timeout(mut self, timeout: Duration) -> Heartbeat {
        self.timeout = timeout;
        self
    }

    /// The setting that cannot be meant, and why.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let Heartbeat { interval, missed, timeout } = *self;
        if interval < Heartbeat::SHORTEST {
            return Err(("interval", format!("{interval:?} is shorter than {:?}", Heartbeat::SHORTEST)));
        }
        if missed == 0 || missed > Heartbeat::MOST_MISSED {
            return Err(("missed", format!("{missed} is not 1 to {}", Heartbeat::MOST_MISSED)));
        }
        match timeout < interval * missed.max(2) {
            true => {
                let least = missed.max(2);
                Err(("timeout", format!("{timeout:?} is shorter than {least} intervals of {interval:?}")))
            }
            false => Ok(()),
        }
    }
}

/// Every second.
impl Default for Heartbeat {
    fn default() -> Heartbeat {
        Heartbeat::every(Duration::from_secs(1))
    }
}
