//! The first 32 bytes of every frame: enough to check it before it is trusted and to route it without understanding it.
//!
//! ```text
//! kind 1 | flags 1 | action length 2 | payload length 4 | to 8 | from 8 | correlation 4 | detail 4    little-endian
//! then the action, UTF-8, then the payload
//! ```
//!
//! `to` and `from` are addresses, see [`Address`]. `from` is what the master writes there, never what it reads. What
//! `detail` means depends on the kind: the time a call has, the outcome of a reply, the reason of a return, what is wanted
//! of the shelf, how many changes were skipped.

use std::fmt;

/// The length of a header.
pub(crate) const HEADER: usize = 32;

/// The longest name of an action, in bytes.
pub(crate) const ACTION_LIMIT: usize = 255;

/// Actions and topics whose names begin so are the library's own: those of actors that are served, and of schedules.
pub(crate) const RESERVED: &str = "hatchery:";

/// Topics whose names begin so are let go by whoever has published them; when it has ended, with their last reader.
pub(crate) const FOLLOWED: &str = "hatchery:followed/";

/// Topics whose names begin so are the states of schedules: as many as there are of those, and each of a bounded size.
pub(crate) const SCHEDULES: &str = "hatchery:schedule/";

/// Topics whose names begin so tell how a shared connection is: one for each client.
pub(crate) const SHARED: &str = "hatchery:shared/";

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    // From a member to its master.
    Hello = 1,
    Ready = 2,
    Exception = 3,
    Ack = 4,
    Watch = 5,
    Pong = 6,
    // From the master to a member.
    ClusterReady = 17,
    Stay = 18,
    Drain = 19,
    Stop = 20,
    Credit = 21,
    Roster = 22,
    Growth = 23,
    Ping = 24,
    // Between members.
    Message = 33,
    Call = 34,
    Reply = 35,
    Undelivered = 36,
    // From a member to what the master keeps, and back.
    Shelf = 49,
    Kept = 50,
}

/// The order in which frames of one link are acknowledged. Answers have their own, so that a handler that waits for one
/// is not behind the messages that wait for the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    Messages,
    Answers,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Hello,
            2 => Kind::Ready,
            3 => Kind::Exception,
            4 => Kind::Ack,
            5 => Kind::Watch,
            6 => Kind::Pong,
            17 => Kind::ClusterReady,
            18 => Kind::Stay,
            19 => Kind::Drain,
            20 => Kind::Stop,
            21 => Kind::Credit,
            22 => Kind::Roster,
            23 => Kind::Growth,
            24 => Kind::Ping,
            33 => Kind::Message,
            34 => Kind::Call,
            35 => Kind::Reply,
            36 => Kind::Undelivered,
            49 => Kind::Shelf,
            50 => Kind::Kept,
            _ => return None,
        })
    }

    /// The lane in which it is acknowledged. `None`: it goes ahead of both and is not.
    pub(crate) fn lane(self) -> Option<Lane> {
        match self {
            Kind::Message | Kind::Call | Kind::Shelf => Some(Lane::Messages),
            // What is known of a death travels behind the last message of the dead. A kept value is for members that are not
            // ready yet, too.
            Kind::Reply | Kind::Undelivered | Kind::Roster | Kind::Kept => Some(Lane::Answers),
            Kind::Hello
            | Kind::Ready
            | Kind::Exception
            | Kind::Ack
            | Kind::Watch
            | Kind::Pong
            | Kind::ClusterReady
            | Kind::Stay
            | Kind::Drain
            | Kind::Stop
            | Kind::Credit
            | Kind::Growth
            | Kind::Ping => None,
        }
    }
}

/// What a member wants of what the master keeps: the `detail` of a frame to the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Want {
    /// The topic has this value from now on.
    Publish = 1,
    /// The topic has none.
    Retract = 2,
    /// To hear of the topic.
    Subscribe = 3,
    /// To hear no more of it. Has no answer.
    Unsubscribe = 4,
}

impl Want {
    #[cfg(test)]
    pub(crate) const ALL: [Want; 4] = [Want::Publish, Want::Retract, Want::Subscribe, Want::Unsubscribe];

    pub(crate) fn from_detail(detail: u32) -> Option<Want> {
        Some(match detail {
            1 => Want::Publish,
            2 => Want::Retract,
            3 => Want::Subscribe,
            4 => Want::Unsubscribe,
            _ => return None,
        })
    }

    pub(crate) fn to_detail(self) -> u32 {
        self as u32
    }
}

/// How a message was addressed, which decides whose credit it uses and who hears of its loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub(crate) enum Class {
    #[default]
    Direct = 0,
    Random = 1,
    Group = 2,
}

/// What is known of a frame besides its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    /// The payload is bytes, not an encoded value.
    pub(crate) raw: bool,
    /// Written by the master.
    pub(crate) class: Class,
    /// A return: the receiver that died may have seen it.
    pub(crate) perhaps_seen: bool,
}

impl Flags {
    const RAW: u8 = 1;
    const RANDOM: u8 = 2;
    const GROUP: u8 = 4;
    const PERHAPS_SEEN: u8 = 8;

    fn to_byte(self) -> u8 {
        let class = match self.class {
            Class::Direct => 0,
            Class::Random => Flags::RANDOM,
            Class::Group => Flags::GROUP,
        };
        class | if self.raw { Flags::RAW } else { 0 } | if self.perhaps_seen { Flags::PERHAPS_SEEN } else { 0 }
    }

    fn from_byte(byte: u8) -> Option<Flags> {
        let class = match byte & (Flags::RANDOM | Flags::GROUP) {
            0 => Class::Direct,
            Flags::RANDOM => Class::Random,
            Flags::GROUP => Class::Group,
            _ => return None,
        };
        let known = Flags::RAW | Flags::RANDOM | Flags::GROUP | Flags::PERHAPS_SEEN;
        (byte & !known == 0).then_some(Flags {
            raw: byte & Flags::RAW != 0,
            class,
            perhaps_seen: byte & Flags::PERHAPS_SEEN != 0,
        })
    }
}

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

/// A header, read or to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) action_len: u16,
    pub(crate) payload_len: u32,
    pub(crate) to: Address,
    pub(crate) from: Address,
    pub(crate) correlation: u32,
    pub(crate) detail: u32,
}

impl Header {
    /// The header of a frame without action and payload.
    pub(crate) fn bare(kind: Kind) -> Header {
        Header {
            kind,
            flags: Flags::default(),
            action_len: 0,
            payload_len: 0,
            to: Address::default(),
            from: Address::default(),
            correlation: 0,
            detail: 0,
        }
    }

    /// The length of the whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        HEADER + usize::from(self.action_len) + self.payload_len as usize
    }

    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind as u8;
        bytes[1] = self.flags.to_byte();
        bytes[2..4].copy_from_slice(&self.action_len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.to.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.correlation.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.detail.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Result<Header, WireError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let address = |at: usize| Address(u64::from(word(at)) | u64::from(word(at + 4)) << 32);
        Ok(Header {
            kind: Kind::from_byte(bytes[0]).ok_or(WireError::UnknownKind(bytes[0]))?,
            flags: Flags::from_byte(bytes[1]).ok_or(WireError::UnknownFlags(bytes[1]))?,
            action_len: u16::from_le_bytes([bytes[2], bytes[3]]),
            payload_len: word(4),
            to: address(8),
            from: address(16),
            correlation: word(24),
            detail: word(28),
        })
    }

    /// Replaces addresses and flags of an encoded header in place: all that the master ever changes of a frame.
    pub(crate) fn stamp(bytes: &mut [u8], flags: Flags, to: Address, from: Address) {
        bytes[1] = flags.to_byte();
        bytes[8..16].copy_from_slice(&to.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&from.0.to_le_bytes());
    }
}

/// What makes bytes no frame, or a frame that must not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("unknown kind {0}")]
    UnknownKind(u8),
    #[error("unknown flags {0:#x}")]
    UnknownFlags(u8),
    #[error("unknown address {0:?}")]
    UnknownAddress(Address),
    #[error("action name of {0} bytes")]
    ActionTooLong(usize),
    #[error("action name is not text")]
    ActionNotText,
    #[error("frame of {len} bytes is longer than the limit of {limit}")]
    TooLong { len: usize, limit: usize },
    #[error("{0:?} in the wrong state")]
    WrongState(Kind),
    #[error("malformed {0:?}")]
    Malformed(Kind),
    #[error("handshake: {0}")]
    Handshake(String),
    #[error("more is under way to {0:?} than it has credit for")]
    OverCredit(Address),
    #[error("more is acknowledged than was sent")]
    OverAck,
    #[error("a reply to no open call")]
    NoSuchCall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_way_and_stamping_changes_nothing_else() {
        let header = Header {
            kind: Kind::Call,
            flags: Flags { raw: true, class: Class::Direct, perhaps_seen: false },
            action_len: 5,
            payload_len: 70_000,
            to: Address::member(128, 300, 9),
            from: Address::default(),
            correlation: 0xdead_beef,
            detail: 30_000,
        };
        let mut bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        let stamped = Header {
            flags: Flags { class: Class::Random, ..header.flags },
            to: Address::slot(128, 1),
            from: Address::member(0, 0, 1),
            ..header
        };
        Header::stamp(&mut bytes, stamped.flags, stamped.to, stamped.from);
        assert_eq!(Header::decode(&bytes), Ok(stamped));
        assert_eq!(stamped.frame_len(), 32 + 5 + 70_000);
    }

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

    #[test]
    fn unknown_kinds_and_flags_are_errors() {
        let mut bytes = Header::bare(Kind::Message).encode();
        for kind in 0..=u8::MAX {
            bytes[0] = kind;
            match Header::decode(&bytes) {
                Ok(header) => assert_eq!(header.kind as u8, kind),
                Err(error) => assert_eq!(error, WireError::UnknownKind(kind)),
            }
        }
        bytes[0] = Kind::Message as u8;
        for flags in [16, 128, 6] {
            bytes[1] = flags;
            assert_eq!(Header::decode(&bytes), Err(WireError::UnknownFlags(flags)));
        }
    }
}
