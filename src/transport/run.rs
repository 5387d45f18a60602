//! Frames that travel together: from one sender, to one slot, in one lane. One run is one message between actors; a cast
//! per frame would cost ten times the copying.

use bytes::Bytes;

use super::account::charge;
use super::frame::Frames;
use super::header::{Class, Header};
use super::kind::Lane;
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
    pub(super) fn split_frames(&mut self, count: u32) -> Run {
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

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BytesMut;

    use super::super::frame;
    use super::super::kind::Kind;
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

    pub(crate) fn worker() -> MemberId {
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
}
