//! Who is who: roles, the slots of a role, the processes that follow each other in a slot.
//!
//! Only names. What becomes of a slot is decided in [`supervision`](crate::supervision).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A kind of process: the agent, the workers, or one that the user names.
///
/// Cheap to copy. Ordered as roles are started: the agent first, then as declared in the plan.
#[derive(Clone, Copy)]
pub struct Role {
    /// The place in the start order, and what travels on the wire. Names never do.
    rank: u8,
    name: &'static str,
}

impl Role {
    /// The secretary: one per cluster, started first and stopped last.
    pub const AGENT: Role = Role { rank: 0, name: "agent" };
    /// Those who serve.
    pub const WORKER: Role = Role { rank: 128, name: "worker" };
    /// The master itself, for those who write to the program in which it runs. No role of the plan: nobody is started for
    /// it, and no group or random message reaches it.
    pub const MASTER: Role = Role { rank: u8::MAX, name: "master" };

    pub(crate) const fn new(rank: u8, name: &'static str) -> Role {
        Role { rank, name }
    }

    /// The name as declared, as in `worker`.
    pub const fn name(self) -> &'static str {
        self.name
    }

    pub(crate) const fn rank(self) -> u8 {
        self.rank
    }
}

impl PartialEq for Role {
    fn eq(&self, other: &Role) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Role {}

impl PartialOrd for Role {
    fn partial_cmp(&self, other: &Role) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Role {
    fn cmp(&self, other: &Role) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl Hash for Role {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank.hash(state);
    }
}

impl AsRef<str> for Role {
    fn as_ref(&self) -> &str {
        self.name
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A member's position, which survives its processes. Written `worker/2`, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    role: Role,
    index: u16,
}

impl Slot {
    /// The `index`th position of `role`.
    pub const fn new(role: Role, index: u16) -> Slot {
        Slot { role, index }
    }

    /// The agent's only position.
    pub const fn agent() -> Slot {
        Slot::new(Role::AGENT, 0)
    }

    /// The `index`th worker.
    pub const fn worker(index: u16) -> Slot {
        Slot::new(Role::WORKER, index)
    }

    /// The master's place. Who writes there reaches the handlers of the program in which the master runs, if it takes
    /// part; otherwise nobody has a handler there.
    pub const fn master() -> Slot {
        Slot::new(Role::MASTER, 0)
    }

    /// The role that this slot belongs to.
    pub const fn role(self) -> Role {
        self.role
    }

    /// The position in the role, from 0.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// The process that is the `incarnation`th to fill this slot.
    pub const fn member(self, incarnation: Incarnation) -> MemberId {
        MemberId { slot: self, incarnation }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.index)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which of the processes that followed each other in a slot, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u32);

impl Incarnation {
    /// The one that the cluster started with.
    pub const FIRST: Incarnation = Incarnation(1);

    pub(crate) const fn new(number: u32) -> Incarnation {
        Incarnation(number)
    }

    /// The number, from 1.
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn next(self) -> Incarnation {
        Incarnation(self.0 + 1)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One process, for ever: a slot and the number of its incarnation. Written `worker/2#7`.
///
/// Never reused, other than the pid of the operating system, which is only shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    slot: Slot,
    incarnation: Incarnation,
}

impl MemberId {
    /// The slot that this process fills or filled.
    pub const fn slot(self) -> Slot {
        self.slot
    }

    /// Its role.
    pub const fn role(self) -> Role {
        self.slot.role
    }

    /// Which of the processes of its slot it is.
    pub const fn incarnation(self) -> Incarnation {
        self.incarnation
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.incarnation)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
