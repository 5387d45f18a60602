//! The member's end of the link: reads what comes and hands it on, at once and without waiting for anybody.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::calls::Answer;
use super::dispatch::Delivery;
use super::life::Event;
use super::shared::Member;
use super::undelivered::{KEPT, Lost, Undelivered};
use crate::transport::{
    Directory, Growth, Header, Kind, Lane, Limits, Order, Outcome, Peek, Reason, WireError, action, payload_start,
    peek, read_credits, read_roster,
};

/// How much is read at once.
const READ: usize = 64 * 1024;

/// A frame shorter than this is copied out of the buffer that it was read into: one that waits for its handler would
/// keep all of it.
const SHARE: usize = 2 * 1024;

/// Reads until the link ends, and says so.
pub(crate) async fn listen(member: Arc<Member>, mut link: impl AsyncRead + Unpin) {
    let end = read(&member, &mut link).await;
    if let Err(error) = end {
        tracing::error!(%error, "the link to the master failed");
    }
    member.disconnect();
    member.tell(Event::Orphaned);
}

async fn read(member: &Arc<Member>, link: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    // A roster may be longer than any payload.
    let limits = Limits { payload: member.limits.payload.max(crate::transport::PAYLOAD_CEILING) };
    let mut buffer = BytesMut::with_capacity(READ);
    let mut ear = Ear { member, messages: 0, returns: 0 };
    loop {
        buffer.reserve(READ / 4);
        if link.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        loop {
            match peek(&buffer, limits).map_err(io::Error::other)? {
                Peek::Needs(_) => break,
                Peek::Whole(header) => {
                    let frame = take(&mut buffer, header.frame_len());
                    ear.hear(header, frame).await.map_err(io::Error::other)?;
                }
            }
        }
    }
}

fn take(buffer: &mut BytesMut, length: usize) -> Bytes {
    let frame = buffer.split_to(length);
    match length < SHARE {
        true => Bytes::copy_from_slice(&frame),
        false => frame.freeze(),
    }
}

/// Hands on what has come.
struct Ear<'a> {
    member: &'a Arc<Member>,
    /// How many messages have come. Each is acknowledged by its number.
    messages: u64,
    /// How many returns have come since others had their turn.
    returns: usize,
}

/// After so many returns those who listen for them have their turn: they keep no more than twice as many.
const RETURNS: usize = KEPT / 2;

impl Ear<'_> {
    async fn hear(&mut self, header: Header, frame: Bytes) -> Result<(), WireError> {
        let member = self.member;
        match header.kind {
            Kind::Message | Kind::Call => {
                let Some(from) = member.directory.member(header.from) else {
                    return Err(WireError::UnknownAddress(header.from));
                };
                member.dispatch.deliver(Delivery::new(from, header, frame, member.clone(), self.messages));
                self.messages += 1;
            }
            Kind::Reply => {
                let outcome = Outcome::from_detail(header.detail).ok_or(WireError::Malformed(header.kind))?;
                let from = member.directory.member(header.from);
                let (raw, payload) = (header.flags.raw, frame.slice(payload_start(&header)..));
                let answer = Answer { from, outcome, raw, payload };
                // A call that was given up: its answer is nobody's.
                member.calls.answer(header.correlation, answer);
            }
            Kind::Undelivered => {
                take_back(member, &header, &frame)?;
                self.returns += 1;
                if self.returns == RETURNS {
                    self.returns = 0;
                    tokio::task::yield_now().await;
                }
            }
            Kind::Roster => {
                let roster = read_roster(&frame[payload_start(&header)..], &member.directory)
                    .map_err(|_| WireError::Malformed(header.kind))?;
                member.roster.post(Some(roster));
            }
            Kind::Kept => {
                let payload = &frame[payload_start(&header)..];
                member.topics.hear(&header, action(&header, &frame)?, payload, member.topic_window());
            }
            Kind::Credit => {
                for (account, charge) in read_credits(&frame[payload_start(&header)..])? {
                    member.credit.give_back(account, charge);
                }
            }
            Kind::Growth => member.directory.grow(Growth::read(&header)?),
            Kind::Ping => member.pinged.notify_one(),
            Kind::ClusterReady | Kind::Stay | Kind::Drain | Kind::Stop => {
                if let Some(order) = Order::read(&header) {
                    member.tell(Event::Order(order));
                }
            }
            Kind::Hello | Kind::Ready | Kind::Exception | Kind::Ack | Kind::Watch | Kind::Pong | Kind::Shelf => {
                return Err(WireError::WrongState(header.kind));
            }
        }
        // Messages are acknowledged when their handler has them; what is dealt with here, now.
        if header.kind.lane() == Some(Lane::Answers) {
            member.line.ack_answer();
        }
        Ok(())
    }
}

fn take_back(member: &Member, header: &Header, frame: &Bytes) -> Result<(), WireError> {
    let Some(reason) = Reason::from_number(header.detail) else {
        member.returns.omit(header.correlation.into());
        return Ok(());
    };
    member.returns.add(Undelivered {
        to: lost(&member.directory, header).ok_or(WireError::UnknownAddress(header.from))?,
        reason,
        perhaps_seen: header.flags.perhaps_seen,
        action: action(header, frame)?.to_owned(),
        payload: frame.slice(payload_start(header)..),
        omitted: 0,
    });
    Ok(())
}

fn lost(directory: &Directory, header: &Header) -> Option<Lost> {
    match directory.member(header.from) {
        Some(member) => Some(Lost::Member(member)),
        None => directory.slot_of(header.from).map(Lost::Slot),
    }
}
