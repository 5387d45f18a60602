//! The first 32 bytes of every frame: enough to check it before it is trusted and to route it without understanding it.
//!
//! ```text
//! kind 1 | flags 1 | action length 2 | payload length 4 | to 8 | from 8 | correlation 4 | detail 4    little-endian
//! then the action, UTF-8, then the payload
//! ```
//!
//! `to` and `from` are addresses, see [`Address`](super::address::Address). `from` is what the master writes there, never what it reads. What
//! `detail` means depends on the kind: the time a call has, the outcome of a reply, the reason of a return, what is wanted
//! of the shelf, how many changes were skipped.

use super::address::Address;
use super::kind::Kind;

/// The length of a header.
pub(crate) const HEADER: usize = 32;

/// The longest name of an action, in bytes.
pub(crate) const ACTION_LIMIT: usize = 255;

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
        bytes[8..16].copy_from_slice(&self.to.to_bytes());
        bytes[16..24].copy_from_slice(&self.from.to_bytes());
        bytes[24..28].copy_from_slice(&self.correlation.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.detail.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Result<Header, WireError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let address = |at: usize| Address::read(u64::from(word(at)) | u64::from(word(at + 4)) << 32);
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
        bytes[8..16].copy_from_slice(&to.to_bytes());
        bytes[16..24].copy_from_slice(&from.to_bytes());
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
