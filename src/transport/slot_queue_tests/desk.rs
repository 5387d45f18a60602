//! A queue, the links of its processes, and what it told to others: what the rows are about.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::super::account::charge;
use super::super::address::Address;
use super::super::control::{Ack, Span};
use super::super::frame::{self, Frames};
use super::super::header::{Class, Header, WireError};
use super::super::kind::Kind;
use super::super::line::Line;
use super::super::reason::{Outcome, Reason};
use super::super::returns::Effect;
use super::super::run::Run;
use super::super::slot_queue::SlotQueue;
use crate::identity::{Incarnation, MemberId, Slot};

/// Room for eight of the smallest frames.
pub(super) const WINDOW: u32 = 8 * 128;

pub(super) fn member(slot: Slot, incarnation: u32) -> MemberId {
    slot.member(Incarnation::new(incarnation))
}

pub(super) fn agent() -> MemberId {
    member(Slot::agent(), 1)
}

pub(super) fn worker(incarnation: u32) -> MemberId {
    member(Slot::worker(0), incarnation)
}

/// A run of frames with these numbers.
pub(super) fn frames(kind: Kind, from: MemberId, to: impl Into<Address>, numbers: &[u32]) -> Run {
    let (to, mut bytes, mut charged) = (to.into(), BytesMut::new(), 0);
    for &correlation in numbers {
        let header = Header { to, from: from.into(), correlation, detail: 1_000, ..Header::bare(kind) };
        frame::put(&mut bytes, header, "act", &correlation.to_le_bytes());
        charged += charge(&Header { action_len: 3, payload_len: 4, ..header });
    }
    Run {
        bytes: bytes.freeze(),
        frames: numbers.len() as u32,
        charge: charged,
        lane: kind.lane().expect("it has a lane"),
        class: Class::Direct,
        from,
        only: None,
        calls: kind == Kind::Call,
    }
}

pub(super) fn message(numbers: &[u32]) -> Run {
    frames(Kind::Message, agent(), Slot::worker(0), numbers)
}

pub(super) fn only(run: Run, id: MemberId) -> Run {
    Run { only: Some(id.incarnation()), ..run }
}

/// The queue of worker/0, its links, and what it had told to others.
pub(super) struct Desk {
    pub(super) queue: SlotQueue,
    pub(super) lines: HashMap<MemberId, Arc<Line>>,
    /// What was written to each, and not looked at.
    written: RefCell<HashMap<MemberId, Vec<u8>>>,
    /// How many messages each has acknowledged.
    acked: HashMap<MemberId, u64>,
    pub(super) now: Instant,
    pub(super) out: Vec<Effect>,
}

impl Desk {
    pub(super) fn new() -> Desk {
        let queue = SlotQueue::new(Slot::worker(0), WINDOW);
        let now = crate::process::clock::now();
        let (lines, written, acked, out) = Default::default();
        Desk { queue, lines, written, acked, now, out }
    }

    /// With a process that is ready.
    pub(super) fn ready() -> Desk {
        let mut desk = Desk::new();
        desk.open(1);
        desk.admit(1);
        desk
    }

    pub(super) fn open(&mut self, incarnation: u32) {
        let line = Arc::new(Line::default());
        self.lines.insert(worker(incarnation), line.clone());
        self.queue.open(worker(incarnation), line, Arc::default());
    }

    pub(super) fn admit(&mut self, incarnation: u32) {
        self.queue.admit(worker(incarnation), self.now, &mut self.out);
    }

    pub(super) fn arrive(&mut self, run: Run) {
        self.queue.arrive(run, self.now, &mut self.out);
    }

    pub(super) fn ack(&mut self, incarnation: u32, messages: u32, answers: u32) {
        let first = self.acked.entry(worker(incarnation)).or_default();
        let span = Span { first: *first, count: messages };
        *first += u64::from(messages);
        let messages = if messages > 0 { vec![span] } else { Vec::new() };
        self.try_ack(incarnation, &Ack { messages, answers }).expect("so many were passed on");
    }

    pub(super) fn try_ack(&mut self, incarnation: u32, ack: &Ack) -> Result<(), WireError> {
        self.write(incarnation);
        self.queue.ack(worker(incarnation), ack, self.now, &mut self.out)
    }

    /// Writes what is queued.
    pub(super) fn write(&self, incarnation: u32) {
        let id = worker(incarnation);
        self.written.borrow_mut().entry(id).or_default().extend(self.lines[&id].queued());
    }

    /// The kinds and numbers of the frames that were passed on since the last look.
    pub(super) fn passed(&self, incarnation: u32) -> Vec<(Kind, u32)> {
        self.write(incarnation);
        let bytes = self.written.borrow_mut().remove(&worker(incarnation)).unwrap_or_default();
        Frames(&bytes).filter(|(header, _)| header.kind != Kind::Credit).map(|(h, _)| (h.kind, h.correlation)).collect()
    }

    pub(super) fn messages(&self, incarnation: u32) -> Vec<u32> {
        self.passed(incarnation).into_iter().map(|(_, number)| number).collect()
    }

    /// What came back to senders: number, reason, whether it may have been seen, and the refund.
    pub(super) fn returned(&mut self) -> Vec<(u32, Reason, bool, Option<u32>)> {
        let mut back = Vec::new();
        self.out.retain(|effect| match effect {
            Effect::Return { run, refund, .. } => {
                for (header, frame) in Frames(&run.bytes) {
                    let (number, reason) = match header.kind {
                        Kind::Reply => match Outcome::from_detail(header.detail) {
                            Some(Outcome::Undelivered(reason)) => (header.correlation, reason),
                            other => panic!("{other:?}"),
                        },
                        _ => {
                            let payload = &frame[frame::payload_start(&header)..];
                            let number = payload.try_into().map_or(0, u32::from_le_bytes);
                            (number, Reason::from_number(header.detail).expect("a reason"))
                        }
                    };
                    back.push((number, reason, header.flags.perhaps_seen, refund.map(|(_, charge)| charge)));
                }
                false
            }
            Effect::Credit { .. } | Effect::Shelved { .. } | Effect::Fetched { .. } => true,
        });
        back
    }

    /// The credit that went back to senders since the last look.
    pub(super) fn credited(&mut self) -> u32 {
        let credited = self.out.iter().map(|effect| match effect {
            Effect::Credit { charge, .. } => *charge,
            Effect::Return { .. } | Effect::Shelved { .. } | Effect::Fetched { .. } => 0,
        });
        let sum = credited.sum();
        self.out.retain(|effect| matches!(effect, Effect::Return { .. }));
        sum
    }
}

impl Desk {
    /// Whether the queue still knows this process.
    pub(super) fn queue_has(&mut self, incarnation: u32) -> bool {
        self.queue.knows(worker(incarnation))
    }
}
