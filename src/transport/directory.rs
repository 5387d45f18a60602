//! The roles of a cluster and how many slots each has: what an address on the wire can mean.
//!
//! A role that grows has more slots from then on, for good: what was sent to or by one that has been closed since is no
//! made-up address.

use std::sync::atomic::{AtomicU16, Ordering};

use serde::{Deserialize, Serialize};

use super::address::{Address, Named};
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// The roles in their order, with their counts. The same in every process of a cluster. The master's place is in every
/// one, and its role in none: it can be written to, and is nobody's sibling.
#[derive(Debug)]
pub(crate) struct Directory {
    roles: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    role: Role,
    declared: u16,
    /// As many as there have ever been.
    count: AtomicU16,
}

impl Entry {
    fn count(&self) -> u16 {
        self.count.load(Ordering::Relaxed)
    }
}

/// How a [`Directory`] travels in the first words. What was declared is compared, not taken over: both ends declared it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Imprint(Vec<(u8, String, u16)>);

/// A role has more slots than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) rank: u8,
    /// So many it has now.
    pub(crate) count: u16,
}

impl Directory {
    pub(crate) fn new(roles: impl IntoIterator<Item = (Role, u16)>) -> Directory {
        let entry = |(role, count)| Entry { role, declared: count, count: AtomicU16::new(count) };
        let mut roles: Vec<_> = roles.into_iter().map(entry).collect();
        roles.sort_by_key(|entry| entry.role);
        Directory { roles }
    }

    /// The same as it was declared, for another cluster of the same plan.
    pub(crate) fn declared(&self) -> Directory {
        Directory::new(self.roles.iter().map(|entry| (entry.role, entry.declared)))
    }

    /// What was declared.
    pub(crate) fn imprint(&self) -> Imprint {
        let imprint = |entry: &Entry| (entry.role.rank(), entry.role.name().to_owned(), entry.declared);
        Imprint(self.roles.iter().map(imprint).collect())
    }

    /// How the roles have grown since.
    pub(crate) fn growth(&self) -> Vec<Growth> {
        let grown = self.roles.iter().filter(|entry| entry.count() > entry.declared);
        grown.map(|entry| Growth { rank: entry.role.rank(), count: entry.count() }).collect()
    }

    /// Takes over that a role has grown. It never shrinks.
    pub(crate) fn grow(&self, growth: Growth) {
        if let Some(entry) = self.entry(growth.rank) {
            entry.count.fetch_max(growth.count, Ordering::Relaxed);
        }
    }

    fn entry(&self, rank: u8) -> Option<&Entry> {
        self.roles.iter().find(|entry| entry.role.rank() == rank)
    }

    pub(crate) fn role(&self, rank: u8) -> Option<Role> {
        self.entry(rank).map(|entry| entry.role)
    }

    pub(crate) fn role_named(&self, name: &str) -> Option<Role> {
        self.roles.iter().map(|entry| entry.role).find(|role| role.name() == name)
    }

    pub(crate) fn slot(&self, rank: u8, index: u16) -> Option<Slot> {
        if rank == Role::MASTER.rank() {
            return (index == 0).then_some(Slot::master());
        }
        let entry = self.entry(rank)?;
        (index < entry.count()).then_some(Slot::new(entry.role, index))
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
            Named::Member { .. }
            | Named::Slot { .. }
            | Named::Role { .. }
            | Named::All
            | Named::Random { .. }
            | Named::Shelf => None,
        }
    }

    /// The slot that `address` names, by itself or by one of its members.
    pub(crate) fn slot_of(&self, address: Address) -> Option<Slot> {
        match address.names()? {
            Named::Slot { rank, index } | Named::Member { rank, index, .. } => self.slot(rank, index),
            Named::Role { .. } | Named::All | Named::Random { .. } | Named::Shelf => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_grows_has_more_slots_for_good_and_the_same_imprint() {
        let directory = Directory::new([(Role::WORKER, 2), (Role::AGENT, 1)]);
        let (imprint, rank) = (directory.imprint(), Role::WORKER.rank());
        assert!(directory.has(Slot::worker(1)) && !directory.has(Slot::worker(2)));
        assert_eq!(directory.growth(), []);
        directory.grow(Growth { rank, count: 4 });
        directory.grow(Growth { rank, count: 3 });
        directory.grow(Growth { rank: 99, count: 3 });
        assert!(directory.has(Slot::worker(3)) && !directory.has(Slot::worker(4)));
        assert_eq!((directory.growth(), directory.imprint()), (vec![Growth { rank, count: 4 }], imprint));
    }
}
