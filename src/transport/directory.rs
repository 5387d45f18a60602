//! The roles of a cluster and how many slots each has: what an address on the wire can mean.

use serde::{Deserialize, Serialize};

use super::header::{Address, Named};
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// The roles in their order, with their counts. The same in every process of a cluster. The master's place is in every
/// one, and its role in none: it can be written to, and is nobody's sibling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    roles: Vec<(Role, u16)>,
}

/// How a [`Directory`] travels in the first words. Names are compared, not taken over: both ends declared them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Imprint(Vec<(u8, String, u16)>);

impl Directory {
    pub(crate) fn new(roles: impl IntoIterator<Item = (Role, u16)>) -> Directory {
        let mut roles: Vec<_> = roles.into_iter().collect();
        roles.sort_by_key(|(role, _)| *role);
        Directory { roles }
    }

    pub(crate) fn imprint(&self) -> Imprint {
        Imprint(self.roles.iter().map(|(role, count)| (role.rank(), role.name().to_owned(), *count)).collect())
    }

    pub(crate) fn role(&self, rank: u8) -> Option<Role> {
        self.roles.iter().map(|(role, _)| *role).find(|role| role.rank() == rank)
    }

    pub(crate) fn role_named(&self, name: &str) -> Option<Role> {
        self.roles.iter().map(|(role, _)| *role).find(|role| role.name() == name)
    }

    pub(crate) fn slot(&self, rank: u8, index: u16) -> Option<Slot> {
        if rank == Role::MASTER.rank() {
            return (index == 0).then_some(Slot::master());
        }
        let (role, count) = self.roles.iter().find(|(role, _)| role.rank() == rank)?;
        (index < *count).then_some(Slot::new(*role, index))
    }

    /// The slot that is called so, as in `worker/2`.
    pub(crate) fn slot_named(&self, role: &str, index: u16) -> Option<Slot> {
        let role = if role == Role::MASTER.name() { Role::MASTER } else { self.role_named(role)? };
        self.slot(role.rank(), index)
    }

    /// The member that `address` names, whether or not it ever was.
    pub(crate) fn member(&self, address: Address) -> Option<MemberId> {
        match address.names()? {
            Named::Member { rank, index, incarnation } if incarnation > 0 => {
                Some(self.slot(rank, index)?.member(Incarnation::new(incarnation)))
            }
            Named::Member { .. } | Named::Slot { .. } | Named::Role { .. } | Named::All | Named::Random { .. } => None,
        }
    }

    /// The slot that `address` names, by itself or by one of its members.
    pub(crate) fn slot_of(&self, address: Address) -> Option<Slot> {
        match address.names()? {
            Named::Slot { rank, index } | Named::Member { rank, index, .. } => self.slot(rank, index),
            Named::Role { .. } | Named::All | Named::Random { .. } => None,
        }
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.slot(slot.role().rank(), slot.index()) == Some(slot)
    }
}

impl From<Slot> for Address {
    fn from(slot: Slot) -> Address {
        Address::slot(slot.role().rank(), slot.index())
    }
}

impl From<MemberId> for Address {
    fn from(id: MemberId) -> Address {
        Address::member(id.role().rank(), id.slot().index(), id.incarnation().get())
    }
}
