//! The member's end of the link: reads what comes and hands it on, at once and without waiting for anybody.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::calls::Answer;
use super::dispatch::Delivery;
use super::life::Event;
use super::shared::Member;
use super::undelivered::{Lost, Undelivered};
use crate::transport::{
    Ack, Directory, Header, Kind, Lane, Limits, Order, Outcome, Peek, Reason, WireError, action, payload_start, peek,
    read_credits, read_roster,
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
    member.tell_surely(Event::Orphaned).await;
}

async fn read(member: &Arc<Member>, link: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    // A roster may be longer than any payload.
    let limits = Limits { payload: member.limits.payload.max(crate::transport::PAYLOAD_CEILING) };
    let mut buffer = BytesMut::with_capacity(READ);
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
                    hear(member, header, frame).await.map_err(io::Error::other)?;
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

async fn hear(member: &Arc<Member>, header: Header, frame: Bytes) -> Result<(), WireError> {
    match header.kind {
        Kind::Message | Kind::Call => {
            let Some(from) = member.directory.member(header.from) else {
                return Err(WireError::UnknownAddress(header.from));
            };
            member.dispatch.deliver(Delivery::new(from, header, frame, member.clone()));
        }
        Kind::Reply => {
            let outcome = Outcome::from_detail(header.detail).ok_or(WireError::Malformed(header.kind))?;
            let answer = Answer { outcome, raw: header.flags.raw, payload: frame.slice(payload_start(&header)..) };
            // A call that was given up: its answer is nobody's.
            member.calls.answer(header.correlation, answer);
        }
        Kind::Undelivered => take_back(member, &header, &frame)?,
        Kind::Roster => {
            let roster = read_roster(&frame[payload_start(&header)..], &member.directory)
                .map_err(|_| WireError::Malformed(header.kind))?;
            member.roster.send_replace(Some(roster));
        }
        Kind::Credit => {
            for (account, charge) in read_credits(&frame[payload_start(&header)..])? {
                member.credit.give_back(account, charge);
            }
        }
        Kind::ClusterReady | Kind::Stay | Kind::Drain | Kind::Stop => {
            if let Some(order) = Order::read(&header) {
                member.tell_surely(Event::Order(order)).await;
            }
        }
        Kind::Hello | Kind::Ready | Kind::Exception | Kind::Ack | Kind::Watch => {
            return Err(WireError::WrongState(header.kind));
        }
    }
    // Messages are acknowledged when their handler has them; what is dealt with here, now.
    if header.kind.lane() == Some(Lane::Answers) {
        member.line.ack(Ack { messages: 0, answers: 1 });
    }
    Ok(())
}

fn take_back(member: &Member, header: &Header, frame: &Bytes) -> Result<(), WireError> {
    let Some(reason) = Reason::from_number(header.detail) else {
        member.returns.omit(header.correlation.into());
        return Ok(());
    };
    member.returns.add(Undelivered {
        to: lost(&member.directory, header),
        reason,
        perhaps_seen: header.flags.perhaps_seen,
        action: action(header, frame)?.to_owned(),
        payload: frame.slice(payload_start(header)..),
        omitted: 0,
    });
    Ok(())
}

fn lost(directory: &Directory, header: &Header) -> Lost {
    match (directory.member(header.from), directory.slot_of(header.from)) {
        (Some(member), _) => Lost::Member(member),
        (None, Some(slot)) => Lost::Slot(slot),
        (None, None) => Lost::Nobody,
    }
}
