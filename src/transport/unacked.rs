//! What a member was given and has not handed on.

use std::collections::BTreeMap;

use super::control::Span;
use super::header::WireError;
use super::run::Run;

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

#[cfg(test)]
mod tests {
    use super::super::run::tests::{numbers, run, worker};
    use super::*;

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
}
