//! Credit: how much a sender may have under way to whom. One number per account, so that one stopped receiver costs
//! those who write to it their patience and nobody else anything.

use super::address::{Address, Named};
use super::frame::Limits;
use super::header::{ACTION_LIMIT, Class, Header};
use super::kind::Lane;

/// The least that a frame is charged: with it, one number keeps both bounds of a queue, 1 MiB and 8,192 frames.
const LEAST: u32 = 128;

/// The bound of a queue, in bytes charged.
const WINDOW: u32 = 1 << 20;

/// What a frame is charged: what the receiver has to hold for it.
pub(crate) fn charge(header: &Header) -> u32 {
    (u32::from(header.action_len) + header.payload_len).max(LEAST)
}

/// The bound of every queue for frames of this size: grown to one payload where the limit is larger.
pub(crate) fn window(limits: Limits) -> u32 {
    WINDOW.max((limits.payload + ACTION_LIMIT) as u32)
}

/// Whose credit a frame uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Account {
    /// To one slot, or to an incarnation of it.
    Slot { rank: u8, index: u16 },
    /// To a random member of a role: who it will be is not known to the sender.
    Random { rank: u8 },
    /// To a group. Comes back when the master has read it: a group waits for nobody.
    Group,
    /// To what the master keeps. Comes back when that has been dealt with, and answered.
    Shelf,
    /// Answers to one slot. Apart, so that an answer never waits behind messages.
    Answers { rank: u8, index: u16 },
}

impl Account {
    /// Whose credit a frame to `to` uses. `None`: answers go to a member, everything else to somebody we know.
    pub(crate) fn of(lane: Lane, to: Address) -> Option<Account> {
        Some(match (lane, to.names()?) {
            (Lane::Messages, Named::Slot { rank, index } | Named::Member { rank, index, .. }) => {
                Account::Slot { rank, index }
            }
            (Lane::Messages, Named::Random { rank }) => Account::Random { rank },
            (Lane::Messages, Named::Role { .. } | Named::All) => Account::Group,
            (Lane::Messages, Named::Shelf) => Account::Shelf,
            (Lane::Answers, Named::Member { rank, index, .. }) => Account::Answers { rank, index },
            (
                Lane::Answers,
                Named::Slot { .. } | Named::Random { .. } | Named::Role { .. } | Named::All | Named::Shelf,
            ) => return None,
        })
    }

    /// The account whose credit comes back when a frame of this class that waited at a slot is passed on.
    pub(crate) fn at_slot(class: Class, lane: Lane, rank: u8, index: u16) -> Option<Account> {
        match (lane, class) {
            (Lane::Answers, _) => Some(Account::Answers { rank, index }),
            (Lane::Messages, Class::Direct) => Some(Account::Slot { rank, index }),
            (Lane::Messages, Class::Random) => Some(Account::Random { rank }),
            // Came back long ago.
            (Lane::Messages, Class::Group) => None,
        }
    }

    pub(crate) fn to_word(self) -> u32 {
        let (what, rank, index) = match self {
            Account::Slot { rank, index } => (1, rank, index),
            Account::Random { rank } => (2, rank, 0),
            Account::Group => (3, 0, 0),
            Account::Answers { rank, index } => (4, rank, index),
            Account::Shelf => (5, 0, 0),
        };
        u32::from_le_bytes([what, rank, index.to_le_bytes()[0], index.to_le_bytes()[1]])
    }

    pub(crate) fn from_word(word: u32) -> Option<Account> {
        let [what, rank, low, high] = word.to_le_bytes();
        let index = u16::from_le_bytes([low, high]);
        Some(match what {
            1 => Account::Slot { rank, index },
            2 => Account::Random { rank },
            3 => Account::Group,
            4 => Account::Answers { rank, index },
            5 => Account::Shelf,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::*;

    #[test]
    fn one_number_keeps_both_bounds() {
        let header = |action_len, payload_len| Header { action_len, payload_len, ..Header::bare(Kind::Message) };
        let window = window(Limits { payload: 1 << 20 });
        assert_eq!(window / charge(&header(5, 60)), 8_193, "8,192 frames, and the room of an action's name");
        assert_eq!(charge(&header(5, 1 << 20)), (1 << 20) + 5);
        assert!(charge(&header(255, 1 << 20)) <= window, "one payload always fits");
        assert_eq!(super::window(Limits { payload: 16 << 20 }), (16 << 20) + 255);
        assert_eq!(super::window(Limits { payload: 10 }), 1 << 20);
    }

    #[test]
    fn every_account_survives_the_way() {
        for account in [
            Account::Slot { rank: 128, index: 65_535 },
            Account::Random { rank: 3 },
            Account::Group,
            Account::Shelf,
            Account::Answers { rank: 0, index: 1 },
        ] {
            assert_eq!(Account::from_word(account.to_word()), Some(account));
        }
        assert_eq!(Account::from_word(0), None);
    }
}
