//! What the master says of the cluster: in its first words to a member, and whenever something changes for those who
//! watch.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::codec::{self, CodecError};
use super::control::PROTOCOL;
use super::directory::{Directory, Growth, Imprint};
use super::frame;
use super::header::Header;
use super::kind::Kind;
use crate::identity::{Incarnation, MemberId};
use crate::roster::{MemberState, MemberStatus, Roster};

/// What a member is told about itself and its cluster in the first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) rank: u8,
    pub(crate) index: u16,
    pub(crate) incarnation: u32,
    pub(crate) roles: Imprint,
    /// How the roles have grown since they were declared.
    pub(crate) growth: Vec<Growth>,
    /// The longest payload, in bytes.
    pub(crate) payload_limit: u64,
    /// How long it may outlive its master.
    pub(crate) orphan_grace_ms: u64,
    /// The names of the listeners that it is lent, in order.
    pub(crate) listeners: Vec<String>,
}

impl Welcome {
    /// The bytes, preceded by what must be known to read them.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = PROTOCOL.to_le_bytes().to_vec();
        bytes.push(codec::ID);
        bytes.extend(codec::encode(self)?);
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Welcome, WelcomeError> {
        let Some(([low, high, codec], body)) = bytes.split_first_chunk::<3>() else { return Err(WelcomeError::Short) };
        let protocol = u16::from_le_bytes([*low, *high]);
        if (protocol, *codec) != (PROTOCOL, codec::ID) {
            return Err(WelcomeError::Language { protocol, codec: *codec });
        }
        codec::decode(body).map_err(WelcomeError::Body)
    }
}

/// Why first words were not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WelcomeError {
    #[error("the first words of the master are too short")]
    Short,
    #[error("the master speaks version {protocol} with codec {codec}, this program {PROTOCOL} with {}", codec::ID)]
    Language { protocol: u16, codec: u8 },
    #[error("the first words of the master make no sense: {0}")]
    Body(CodecError),
}

/// How a roster travels.
#[derive(Serialize, Deserialize)]
struct RosterOnWire {
    master_pid: u32,
    members: Vec<MemberOnWire>,
}

#[derive(Serialize, Deserialize)]
struct MemberOnWire {
    rank: u8,
    index: u16,
    incarnation: u32,
    pid: Option<u32>,
    state: u8,
    exceptions: u32,
    last_exit: Option<String>,
    retry_in_ms: Option<u64>,
}

const STATES: [MemberState; 7] = [
    MemberState::Starting,
    MemberState::Ready,
    MemberState::Unresponsive,
    MemberState::Draining,
    MemberState::Waiting,
    MemberState::Parked,
    MemberState::Stopped,
];

/// The frame with which watchers are told.
pub(crate) fn roster_frame(roster: &Roster) -> Result<Bytes, CodecError> {
    let members = roster.members.iter().map(|member| MemberOnWire {
        rank: member.id.role().rank(),
        index: member.id.slot().index(),
        incarnation: member.id.incarnation().get(),
        pid: member.pid,
        state: STATES.iter().position(|&state| state == member.state).unwrap_or_default() as u8,
        exceptions: member.exceptions,
        last_exit: member.last_exit.clone(),
        retry_in_ms: member.retry_in.map(|left| left.as_millis() as u64),
    });
    let body = codec::encode(&RosterOnWire { master_pid: roster.master_pid, members: members.collect() })?;
    let mut bytes = BytesMut::new();
    frame::put(&mut bytes, Header::bare(Kind::Roster), "", &body);
    Ok(bytes.freeze())
}

/// Reads the payload of what [`roster_frame`] wrote. Members that the directory does not know are left out.
pub(crate) fn read_roster(body: &[u8], directory: &Directory) -> Result<Roster, CodecError> {
    let wire: RosterOnWire = codec::decode(body)?;
    let members = wire.members.into_iter().filter_map(|member| {
        let slot = directory.slot(member.rank, member.index)?;
        let id: MemberId = slot.member(Incarnation::new(member.incarnation));
        let mut status = MemberStatus::new(id, *STATES.get(usize::from(member.state))?);
        (status.pid, status.exceptions, status.last_exit) = (member.pid, member.exceptions, member.last_exit);
        status.retry_in = member.retry_in_ms.map(Duration::from_millis);
        Some(status)
    });
    Ok(Roster { master_pid: wire.master_pid, members: members.collect() })
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Frames, payload_start};
    use super::*;
    use crate::identity::{Role, Slot};

    #[test]
    fn first_words_survive_the_way_and_those_of_another_language_are_told() {
        let directory = Directory::new([(Role::AGENT, 1), (Role::WORKER, 3)]);
        let welcome = Welcome {
            rank: 128,
            index: 2,
            incarnation: 7,
            roles: directory.imprint(),
            growth: vec![Growth { rank: 128, count: 9 }],
            payload_limit: 1 << 20,
            orphan_grace_ms: 5_000,
            listeners: vec!["http".into()],
        };
        let mut bytes = welcome.encode().expect("plain data");
        assert_eq!(Welcome::decode(&bytes), Ok(welcome));
        assert_eq!(Welcome::decode(&bytes[..2]), Err(WelcomeError::Short));
        bytes[0] = 99;
        assert!(matches!(Welcome::decode(&bytes), Err(WelcomeError::Language { protocol: 99, .. })));
    }

    #[test]
    fn a_roster_survives_the_way() {
        let directory = Directory::new([(Role::AGENT, 1), (Role::WORKER, 3)]);
        let status = |slot: Slot, state| MemberStatus {
            pid: Some(77),
            exceptions: 2,
            last_exit: Some("exited with code 3".into()),
            retry_in: Some(Duration::from_millis(1_500)),
            ..MemberStatus::new(slot.member(Incarnation::new(4)), state)
        };
        let members = STATES.iter().map(|&state| status(Slot::worker(1), state)).collect();
        let roster = Roster { master_pid: 1, members };
        let bytes = roster_frame(&roster).expect("plain data");
        let (header, frame) = Frames(&bytes).next().expect("one frame");
        assert_eq!(read_roster(&frame[payload_start(&header)..], &directory), Ok(roster));
    }
}
