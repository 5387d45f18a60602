//! Whom a message is for.

use crate::identity::{MemberId, Role, Slot};
use crate::transport::Address;

/// Whom a message is for: one, or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One receiver.
    One(Recipient),
    /// Every member of a role.
    Role(Role),
    /// Every member, the sender included.
    All,
}

/// One receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// Whoever fills this slot: it waits over a restart.
    Slot(Slot),
    /// This process and no successor of it.
    Member(MemberId),
    /// A ready member of the role, chosen by the master.
    Random(Role),
}

impl From<Slot> for Recipient {
    fn from(slot: Slot) -> Recipient {
        Recipient::Slot(slot)
    }
}

impl From<MemberId> for Recipient {
    fn from(member: MemberId) -> Recipient {
        Recipient::Member(member)
    }
}

impl<T: Into<Recipient>> From<T> for Target {
    fn from(one: T) -> Target {
        Target::One(one.into())
    }
}

impl From<Recipient> for Address {
    fn from(recipient: Recipient) -> Address {
        match recipient {
            Recipient::Slot(slot) => slot.into(),
            Recipient::Member(member) => member.into(),
            Recipient::Random(role) => Address::random(role.rank()),
        }
    }
}

impl From<Target> for Address {
    fn from(target: Target) -> Address {
        match target {
            Target::One(recipient) => recipient.into(),
            Target::Role(role) => Address::role(role.rank()),
            Target::All => Address::all(),
        }
    }
}
