//! Frames that travel together: from one sender, to one slot, in one lane. One run is one message between actors; a cast
//! per frame would cost ten times the copying.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::account::charge;
use super::control::Span;
use super::frame::Frames;
use super::header::{Class, Header, Lane, WireError};
use crate::identity::{Incarnation, MemberId};

/// Whole frames of one sender for one slot.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    pub(crate) frames: u32,
    /// The sum of what its frames are charged.
    pub(crate) charge: u32,
    pub(crate) lane: Lane,
    pub(crate) class: Class,
    pub(crate) from: MemberId,
    /// Addressed to this incarnation of the slot, and to no other.
    pub(crate) only: Option<Incarnation>,
    /// Calls, each of which is looked at on its way. Never mixed with others.
    pub(crate) calls: bool,
}

impl Run {
    /// Splits off as many frames from the front as are charged no more than `room`. `None`: not one. The rest stays.
    pub(crate) fn split_charged(&mut self, room: u32) -> Option<Run> {
        if self.charge <= room {
            return Some(std::mem::replace(self, self.empty()));
        }
        let (mut frames, mut charged, mut length) = (0, 0, 0);
        for (header, frame) in Frames(&self.bytes) {
            if charged + charge(&header) > room {
                break;
            }
            frames += 1;
            charged += charge(&header);
            length += frame.len();
        }
        (frames > 0).then(|| self.split(frames, charged, length))
    }

    /// Splits off the first frame.
    pub(crate) fn split_first(&mut self) -> Option<(Header, Run)> {
        let (header, frame) = Frames(&self.bytes).next()?;
        let length = frame.len();
        Some((header, self.split(1, charge(&header), length)))
    }

    /// Splits off the first `count` frames, all if there are no more.
    fn split_frames(&mut self, count: u32) -> Run {
        if count >= self.frames {
            return std::mem::replace(self, self.empty());
        }
        let (mut charged, mut length) = (0, 0);
        for (header, frame) in Frames(&self.bytes).take(count as usize) {
            charged += charge(&header);
            length += frame.len();
        }
        self.split(count, charged, length)
    }

    fn split(&mut self, frames: u32, charged: u32, length: usize) -> Run {
        self.frames -= frames;
        self.charge -= charged;
        Run { bytes: self.bytes.split_to(length), frames, charge: charged, ..self.empty() }
    }

    fn empty(&self) -> Run {
        Run { bytes: Bytes::new(), frames: 0, charge: 0, ..*self }
    }
}

/// What was passed on to a member and not acknowledged by it, by its number on the link. Kept whole: if it dies, its
/// senders get back what it had not handed on.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    /// Each run by the number of its first frame.
    runs: BTreeMap<u64, Run>,
    /// The number of the next frame.
    next: u64,
    charge: u32,
    frames: u64,
}

impl Unacked {
    /// A run that is acknowledged from its middle is kept in pieces of this many frames: to find a frame in a run is to
    /// walk to it.
    const PIECE: u32 = 64;

    pub(crate) fn charge(&self) -> u32 {
        self.charge
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// The number that the next frame will have.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The number of the oldest frame that is left.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.runs.first_key_value().map(|(&first, _)| first)
    }

    pub(crate) fn push(&mut self, run: Run) {
        self.charge += run.charge;
        self.frames += u64::from(run.frames);
        let first = self.next;
        self.next += u64::from(run.frames);
        self.runs.insert(first, run);
    }

    /// The oldest `count` frames have been handed on.
    pub(crate) fn ack_oldest(&mut self, count: u32) -> Result<(), WireError> {
        match (count, self.oldest()) {
            (0, _) => Ok(()),
            (count, Some(first)) => self.ack(Span { first, count }),
            (_, None) => Err(WireError::OverAck),
        }
    }

    /// These frames have been handed on.
    pub(crate) fn ack(&mut self, span: Span) -> Result<(), WireError> {
        let Span { mut first, mut count } = span;
        while count > 0 {
            let (start, mut run) = self.take_from(first)?;
            let before = (first - start) as u32;
            if before > 0 {
                self.runs.insert(start, run.split_frames(before));
            }
            let acked = run.split_frames(count);
            self.charge -= acked.charge;
            self.frames -= u64::from(acked.frames);
            first += u64::from(acked.frames);
            count -= acked.frames;
            if run.frames > 0 {
                self.runs.insert(first, run);
            }
        }
        Ok(())
    }

    /// Takes out the run that holds the frame with this number, and the number of its first.
    fn take_from(&mut self, number: u64) -> Result<(u64, Run), WireError> {
        let (start, mut run) = match self.runs.range(..=number).next_back() {
            Some((&start, run)) if number - start < u64::from(run.frames) => (start, run.clone()),
            Some(_) | None => return Err(WireError::OverAck),
        };
        self.runs.remove(&start);
        if number == start || run.frames <= Unacked::PIECE {
            return Ok((start, run));
        }
        let mut at = start;
        let mut found = None;
        while run.frames > 0 {
            let piece = run.split_frames(Unacked::PIECE);
            let next = at + u64::from(piece.frames);
            match (at..next).contains(&number) {
                true => found = Some((at, piece)),
                false => drop(self.runs.insert(at, piece)),
            }
            at = next;
        }
        found.ok_or(WireError::OverAck)
    }

    /// Takes out all that is left, oldest first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Run> + use<> {
        (self.charge, self.frames) = (0, 0);
        std::mem::take(&mut self.runs).into_values()
    }
}

/// The calls that a member was given and has not answered, each by its caller and the caller's number for it.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls(HashMap<(MemberId, u32), u32>);

impl OpenCalls {
    /// More are not passed on: as many tasks in the callee wait for something.
    pub(crate) const LIMIT: usize = 8_192;

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= OpenCalls::LIMIT
    }

    pub(crate) fn open(&mut self, caller: MemberId, correlation: u32) {
        *self.0.entry((caller, correlation)).or_default() += 1;
    }

    /// Its answer is here.
    pub(crate) fn close(&mut self, caller: MemberId, correlation: u32) -> Result<(), WireError> {
        match self.0.get_mut(&(caller, correlation)) {
            Some(1) => {
                self.0.remove(&(caller, correlation));
                Ok(())
            }
            // A caller that gave two calls one number hears of both.
            Some(times) => {
                *times -= 1;
                Ok(())
            }
            None => Err(WireError::NoSuchCall),
        }
    }

    /// Takes out all that is left.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (MemberId, u32)> + use<> {
        std::mem::take(&mut self.0).into_iter().flat_map(|(call, times)| std::iter::repeat_n(call, times as usize))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BytesMut;

    use super::super::frame;
    use super::super::header::Kind;
    use super::*;
    use crate::identity::Slot;

    /// A run of messages with payloads of these sizes, numbered from 1.
    pub(crate) fn run(from: MemberId, sizes: &[usize]) -> Run {
        let (mut bytes, mut charged) = (BytesMut::new(), 0);
        for (number, &size) in sizes.iter().enumerate() {
            let header = Header { correlation: number as u32 + 1, ..Header::bare(Kind::Message) };
            frame::put(&mut bytes, header, "a", &vec![0; size]);
            charged += charge(&Header { action_len: 1, payload_len: size as u32, ..header });
        }
        Run {
            bytes: bytes.freeze(),
            frames: sizes.len() as u32,
            charge: charged,
            lane: Lane::Messages,
            class: Class::Direct,
            from,
            only: None,
            calls: false,
        }
    }

    /// The numbers of its frames.
    pub(crate) fn numbers(run: &Run) -> Vec<u32> {
        Frames(&run.bytes).map(|(header, _)| header.correlation).collect()
    }

    fn worker() -> MemberId {
        Slot::worker(0).member(Incarnation::FIRST)
    }

    #[test]
    fn a_run_is_split_at_the_frame_that_does_not_fit() {
        let mut rest = run(worker(), &[10, 10, 999, 10]);
        let fits = rest.split_charged(300).expect("two frames fit");
        assert_eq!((numbers(&fits), fits.frames, fits.charge), (vec![1, 2], 2, 256));
        assert_eq!((numbers(&rest), rest.frames, rest.charge), (vec![3, 4], 2, 1_128));
        assert!(rest.split_charged(999).is_none(), "nothing is passed over");
        assert_eq!(numbers(&rest.split_charged(5_000).expect("all")), [3, 4]);
        assert_eq!(rest.frames, 0);
    }

    fn span(first: u64, count: u32) -> Span {
        Span { first, count }
    }

    #[test]
    fn acknowledgements_may_come_in_any_portion_but_not_for_more_than_was_sent() {
        let mut unacked = Unacked::default();
        unacked.push(run(worker(), &[1, 1, 1]));
        unacked.push(run(worker(), &[1, 500]));
        assert_eq!((unacked.charge(), unacked.frames()), (4 * 128 + 501, 5));
        assert_eq!(unacked.ack_oldest(2), Ok(()));
        assert_eq!(unacked.ack_oldest(2), Ok(()));
        assert_eq!((unacked.charge(), unacked.frames(), unacked.oldest()), (501, 1, Some(4)));
        assert_eq!(unacked.ack_oldest(2), Err(WireError::OverAck));
        unacked.push(run(worker(), &[9]));
        assert_eq!(unacked.ack(span(5, 1)), Ok(()));
        assert_eq!(unacked.ack(span(5, 1)), Err(WireError::OverAck), "twice");
    }

    #[test]
    fn what_is_handed_on_out_of_its_turn_leaves_the_others() {
        let mut unacked = Unacked::default();
        unacked.push(run(worker(), &[1, 1, 1]));
        unacked.push(run(worker(), &[1, 500]));
        assert_eq!(unacked.ack(span(3, 1)), Ok(()));
        assert_eq!(unacked.ack(span(1, 1)), Ok(()));
        assert_eq!(unacked.ack(span(2, 2)), Err(WireError::OverAck), "the second half of it");
        assert_eq!((unacked.charge(), unacked.frames()), (128 + 501, 2));
        assert_eq!(unacked.drain().map(|run| numbers(&run)).collect::<Vec<_>>(), [[1], [2]]);
        assert_eq!((unacked.charge(), unacked.frames()), (0, 0));
    }

    #[test]
    fn a_long_run_is_acknowledged_backwards() {
        let mut unacked = Unacked::default();
        unacked.push(run(worker(), &[1; 1_000]));
        for number in (0..1_000).rev().filter(|number| number % 3 > 0) {
            assert_eq!(unacked.ack(span(number, 1)), Ok(()));
        }
        let left: Vec<u32> = unacked.drain().flat_map(|run| numbers(&run)).collect();
        assert_eq!(left, (0..1_000).filter(|number| number % 3 == 0).map(|number| number + 1).collect::<Vec<u32>>());
    }

    #[test]
    fn a_call_is_answered_once() {
        let mut calls = OpenCalls::default();
        calls.open(worker(), 1);
        calls.open(worker(), 2);
        assert_eq!(calls.close(worker(), 1), Ok(()));
        assert_eq!(calls.close(worker(), 1), Err(WireError::NoSuchCall));
        assert_eq!(calls.drain().collect::<Vec<_>>(), [(worker(), 2)]);
        assert_eq!(calls.close(worker(), 2), Err(WireError::NoSuchCall));
    }
}
