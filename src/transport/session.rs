//! What the master reads from one member: checked against what the member may say in its state, stamped with who it is,
//! and cut into runs by destination. Never decodes a payload, never waits.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::BytesMut;

use super::account::{Account, charge, window};
use super::address::{Address, Named};
use super::books::Books;
use super::control::{Ack, Hello, PROTOCOL, Report};
use super::cutter::{Cutter, Destination, Key};
use super::directory::Directory;
use super::frame::{self, Limits, Peek};
use super::header::{Class, Flags, Header, WireError};
use super::kind::{Kind, Lane, Want};
use super::reason::{Outcome, Reason, is_a_receivers};
use super::run::Run;
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// The state of what is read from one member.
#[derive(Debug)]
pub(crate) struct Session {
    me: MemberId,
    directory: Arc<Directory>,
    limits: Limits,
    window: u32,
    books: Arc<Books>,
    greeted: bool,
    ready: bool,
    watching: bool,
}

/// What a member says to its master.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Hello,
    Ready,
    Exception(Report),
    Ack(Ack),
    Watch,
    Pong,
}

/// What one read has brought, in order of arrival within each part.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub(crate) said: Vec<Said>,
    pub(crate) runs: Vec<(Destination, Run)>,
    /// What was charged to the group account. Its credit goes back as soon as the copies are on their way.
    pub(crate) group_charge: u32,
}

impl Session {
    pub(crate) fn new(me: MemberId, directory: Arc<Directory>, limits: Limits, books: Arc<Books>) -> Session {
        Session { me, directory, limits, window: window(limits), books, greeted: false, ready: false, watching: false }
    }

    /// Takes the whole frames from the front of `buffer`. `pick` names a member of a role at random.
    ///
    /// # Errors
    /// Whatever no member may send. What came before it is lost with it: the member is ended.
    pub(crate) fn digest(
        &mut self,
        buffer: &mut BytesMut,
        mut pick: impl FnMut(Role) -> Option<Slot>,
    ) -> Result<Digest, WireError> {
        let mut digest = Digest::default();
        let mut cutter = Cutter::default();
        let (mut at, mut messages) = (0, 0);
        loop {
            let limits = if self.greeted { self.limits } else { Limits::HANDSHAKE };
            let header = match frame::peek(&buffer[at..], limits)? {
                Peek::Needs(_) => break,
                Peek::Whole(header) => header,
            };
            let frame = at..at + header.frame_len();
            match header.kind.lane() {
                None => digest.said.push(self.hear(&header, &buffer[frame.clone()])?),
                Some(lane) => {
                    let (key, flags, to) = self.route(&header, &buffer[frame.clone()], lane, &mut pick)?;
                    Header::stamp(&mut buffer[frame.clone()], flags, to, self.me.into());
                    cutter.add(key, frame.clone(), charge(&header));
                    messages += u32::from(lane == Lane::Messages);
                    if key.class == Class::Group {
                        digest.group_charge += charge(&header);
                    }
                }
            }
            at = frame.end;
        }
        self.books.pass(messages);
        let chunk = buffer.split_to(at).freeze();
        digest.runs = cutter.cut(&chunk, self.me);
        Ok(digest)
    }

    fn hear(&mut self, header: &Header, frame: &[u8]) -> Result<Said, WireError> {
        let body = &frame[frame::payload_start(header)..];
        if header.action_len > 0 {
            return Err(WireError::Malformed(header.kind));
        }
        match header.kind {
            Kind::Hello if !self.greeted => {
                self.greet(Hello::read(body)?)?;
                self.greeted = true;
                Ok(Said::Hello)
            }
            Kind::Ready if self.greeted && !self.ready => {
                self.ready = true;
                Ok(Said::Ready)
            }
            Kind::Exception if self.greeted => Ok(Said::Exception(Report::read(body)?)),
            Kind::Ack if self.greeted => Ok(Said::Ack(Ack::read(header, body)?)),
            Kind::Watch if self.greeted && !self.watching => {
                self.watching = true;
                Ok(Said::Watch)
            }
            // Once for each time that it was asked: more would cost whoever listens, and say nothing.
            Kind::Pong if self.greeted && body.is_empty() && self.books.take_asked() => Ok(Said::Pong),
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
            | Kind::Roster
            | Kind::Growth
            | Kind::Ping
            | Kind::Message
            | Kind::Call
            | Kind::Reply
            | Kind::Undelivered
            | Kind::Shelf
            | Kind::Kept => Err(WireError::WrongState(header.kind)),
        }
    }

    fn greet(&self, hello: Hello) -> Result<(), WireError> {
        let expected = Hello::of(self.me);
        if hello.protocol != PROTOCOL {
            return Err(WireError::Handshake(format!("it speaks version {}, not {PROTOCOL}", hello.protocol)));
        }
        if hello != expected {
            return Err(WireError::Handshake(format!("it says that it is {hello:?}, not {}", self.me)));
        }
        Ok(())
    }

    /// Where a frame goes, and what it will say there.
    fn route(
        &self,
        header: &Header,
        frame: &[u8],
        lane: Lane,
        pick: &mut impl FnMut(Role) -> Option<Slot>,
    ) -> Result<(Key, Flags, Address), WireError> {
        if !self.greeted || matches!(header.kind, Kind::Roster | Kind::Kept) {
            return Err(WireError::WrongState(header.kind));
        }
        // Shown to operators and compared by receivers: text, or nothing that we pass on.
        frame::action(header, frame)?;
        let account = Account::of(lane, header.to).ok_or(WireError::UnknownAddress(header.to))?;
        let (destination, class, only) = self.destination(header, pick)?;
        self.books.owe(account, header.to, charge(header), self.window)?;
        let flags = Flags { raw: header.flags.raw, class, perhaps_seen: false };
        let to = match (class, destination) {
            (Class::Random, Destination::Slot(slot)) => slot.into(),
            _ => header.to,
        };
        Ok((Key { destination, lane, class, only, calls: header.kind == Kind::Call }, flags, to))
    }

    fn destination(
        &self,
        header: &Header,
        pick: &mut impl FnMut(Role) -> Option<Slot>,
    ) -> Result<(Destination, Class, Option<Incarnation>), WireError> {
        // Both ends have the same directory: an address that is not in it was made up.
        let unknown = WireError::UnknownAddress(header.to);
        let slot = |slot: Option<Slot>| slot.map(Destination::Slot).ok_or_else(|| unknown.clone());
        let member = self.directory.member(header.to);
        Ok(match (header.kind, header.to.names().ok_or(WireError::UnknownAddress(header.to))?) {
            (Kind::Reply | Kind::Undelivered, Named::Member { .. }) => {
                self.check_answer(header)?;
                let member = member.ok_or(unknown)?;
                (Destination::Slot(member.slot()), Class::Direct, Some(member.incarnation()))
            }
            (Kind::Message | Kind::Call, Named::Slot { rank, index }) => {
                (slot(self.directory.slot(rank, index))?, Class::Direct, None)
            }
            (Kind::Message | Kind::Call, Named::Member { .. }) => {
                (slot(member.map(MemberId::slot))?, Class::Direct, member.map(MemberId::incarnation))
            }
            (Kind::Message | Kind::Call, Named::Random { rank }) => {
                (slot(self.directory.role(rank).and_then(pick))?, Class::Random, None)
            }
            (Kind::Message, Named::Role { rank }) => {
                (Destination::Role(self.directory.role(rank).ok_or(unknown)?), Class::Group, None)
            }
            (Kind::Message, Named::All) => (Destination::All, Class::Group, None),
            (Kind::Shelf, Named::Shelf) => match Want::from_detail(header.detail).filter(|_| header.action_len > 0) {
                Some(_) => (Destination::Shelf, Class::Direct, None),
                // A topic has a name, and something is wanted of it.
                None => return Err(WireError::Malformed(header.kind)),
            },
            // A call has one callee, an answer one receiver, and everything else another lane.
            _ => return Err(unknown),
        })
    }

    fn check_answer(&self, header: &Header) -> Result<(), WireError> {
        let malformed = Err(WireError::Malformed(header.kind));
        match header.kind {
            Kind::Reply => {
                let Some(outcome) = Outcome::from_detail(header.detail) else { return malformed };
                let Some(caller) = self.directory.member(header.to) else { return Err(WireError::NoSuchCall) };
                match outcome.is_a_members() {
                    true => self.books.calls().close(caller, header.correlation),
                    false => malformed,
                }
            }
            _ => match Reason::from_number(header.detail).is_some_and(is_a_receivers) {
                true => Ok(()),
                false => malformed,
            },
        }
    }
}
