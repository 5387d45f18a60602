//! Who is here and how they are: what members, operators and tests may see of a cluster.

use std::fmt;
use std::time::Duration;

use crate::identity::{MemberId, Role};

/// The members of a cluster as they were at one moment, in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Roster {
    /// The process of the master.
    pub master_pid: u32,
    /// One entry for each slot, and one more for each process that drains beside its successor.
    pub members: Vec<MemberStatus>,
}

impl Roster {
    /// How many members of `role` are ready. Those that are unresponsive are not.
    pub fn ready(&self, role: Role) -> usize {
        let ready = |member: &&MemberStatus| member.id.role() == role && member.state == MemberState::Ready;
        self.members.iter().filter(ready).count()
    }

    /// Whether a process has ended, as far as this tells: it may be older than what is known of that process otherwise.
    pub(crate) fn has_seen_end_of(&self, id: MemberId) -> bool {
        let of_slot = || self.members.iter().filter(|status| status.id.slot() == id.slot());
        match of_slot().find(|status| status.id == id) {
            Some(status) => match status.state {
                // One that is starting may have no process number yet.
                MemberState::Starting | MemberState::Ready | MemberState::Unresponsive | MemberState::Draining => false,
                MemberState::Waiting | MemberState::Parked | MemberState::Stopped => true,
            },
            None => of_slot().any(|status| status.id > id),
        }
    }

    /// The members of `role`.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &MemberStatus> {
        self.members.iter().filter(move |member| member.id.role() == role)
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Its slot and the number of its process: the present one, or the latest of an empty slot.
    pub id: MemberId,
    /// Its process. `None`: there is none.
    pub pid: Option<u32>,
    /// What it does.
    pub state: MemberState,
    /// How many processes the slot has had before this one.
    pub restarts: u32,
    /// How many exceptions this process has reported. More than none, and still ready: it is not well.
    pub exceptions: u32,
    /// How the latest process of the slot ended. `None`: none has.
    pub last_exit: Option<String>,
    /// How long it was, when this was told, until an empty slot is tried again. `None`: it is not empty, or not tried again.
    pub retry_in: Option<Duration>,
}

impl MemberStatus {
    pub(crate) fn new(id: MemberId, state: MemberState) -> MemberStatus {
        let restarts = id.incarnation().get().saturating_sub(1);
        MemberStatus { id, pid: None, state, restarts, exceptions: 0, last_exit: None, retry_in: None }
    }
}

/// One process of a member, by what the master keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Life {
    /// Whose.
    pub id: MemberId,
    /// Its number in the operating system. Of a member in a thread: that of the thread.
    pub pid: u32,
    /// How long ago it was started.
    pub age: Duration,
    /// How many messages and calls it has sent, and been given by other members. What the master's own program sends to it
    /// is not counted.
    pub messages: u64,
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Its process was started and has not said ready.
    Starting,
    /// It serves.
    Ready,
    /// It is to serve, and has not answered its [heartbeats](crate::Heartbeat): it is stuck, or stopped.
    Unresponsive,
    /// It finishes what it has begun, and leaves.
    Draining,
    /// It has no process until it is started, for the first time or again.
    Waiting,
    /// It failed too often: it is tried again later, if at all.
    Parked,
    /// It has no process and will have none.
    Stopped,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemberState::Starting => "starting",
            MemberState::Ready => "ready",
            MemberState::Unresponsive => "unresponsive",
            MemberState::Draining => "draining",
            MemberState::Waiting => "waiting",
            MemberState::Parked => "parked",
            MemberState::Stopped => "stopped",
        })
    }
}
