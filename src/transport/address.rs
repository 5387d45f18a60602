//! Whom a frame is for, and from whom it is.

use std::fmt;

/// Who a frame is for or from, in eight bytes: what it names, the rank of the role, the index, the incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Address(u64);

impl Address {
    const SLOT: u8 = 1;
    const MEMBER: u8 = 2;
    const ROLE: u8 = 3;
    const ALL: u8 = 4;
    const RANDOM: u8 = 5;
    const SHELF: u8 = 6;

    const fn new(what: u8, rank: u8, index: u16, incarnation: u32) -> Address {
        Address(what as u64 | (rank as u64) << 8 | (index as u64) << 16 | (incarnation as u64) << 32)
    }

    pub(crate) const fn slot(rank: u8, index: u16) -> Address {
        Address::new(Address::SLOT, rank, index, 0)
    }

    pub(crate) const fn member(rank: u8, index: u16, incarnation: u32) -> Address {
        Address::new(Address::MEMBER, rank, index, incarnation)
    }

    pub(crate) const fn role(rank: u8) -> Address {
        Address::new(Address::ROLE, rank, 0, 0)
    }

    pub(crate) const fn all() -> Address {
        Address::new(Address::ALL, 0, 0, 0)
    }

    pub(crate) const fn random(rank: u8) -> Address {
        Address::new(Address::RANDOM, rank, 0, 0)
    }

    pub(crate) const fn shelf() -> Address {
        Address::new(Address::SHELF, 0, 0, 0)
    }

    /// As it came. Whether it names anything is another question.
    pub(super) const fn read(bits: u64) -> Address {
        Address(bits)
    }

    pub(super) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// What it names. `None`: nothing that we know.
    pub(crate) fn names(self) -> Option<Named> {
        let [what, rank, low, high, a, b, c, d] = self.0.to_le_bytes();
        let (index, incarnation) = (u16::from_le_bytes([low, high]), u32::from_le_bytes([a, b, c, d]));
        Some(match what {
            Address::SLOT => Named::Slot { rank, index },
            Address::MEMBER => Named::Member { rank, index, incarnation },
            Address::ROLE => Named::Role { rank },
            Address::ALL => Named::All,
            Address::RANDOM => Named::Random { rank },
            Address::SHELF => Named::Shelf,
            _ => return None,
        })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            Some(named) => write!(f, "{named:?}"),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// What an [`Address`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Slot {
        rank: u8,
        index: u16,
    },
    Member {
        rank: u8,
        index: u16,
        incarnation: u32,
    },
    Role {
        rank: u8,
    },
    All,
    Random {
        rank: u8,
    },
    /// What the master keeps.
    Shelf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_what_it_was() {
        for (address, named) in [
            (Address::slot(1, 2), Named::Slot { rank: 1, index: 2 }),
            (Address::member(255, 65_535, u32::MAX), Named::Member { rank: 255, index: 65_535, incarnation: u32::MAX }),
            (Address::role(7), Named::Role { rank: 7 }),
            (Address::all(), Named::All),
            (Address::random(128), Named::Random { rank: 128 }),
            (Address::shelf(), Named::Shelf),
        ] {
            assert_eq!(address.names(), Some(named));
        }
        assert_eq!(Address::default().names(), None);
    }
}
