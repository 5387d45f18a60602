//! Cuts what was read at once into runs: one for each destination, each in its order.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::header::Class;
use super::kind::Lane;
use super::run::Run;
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// A run of this length is handed on as it was read. A shorter one is copied out: it would keep the whole buffer that it
/// was read into, which is as much as it says it is to nobody.
pub(super) const SHARE: usize = 32 * 1024;

/// Where a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Slot(Slot),
    Role(Role),
    All,
    /// What the master keeps.
    Shelf,
}

/// What frames of one run have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) destination: Destination,
    pub(super) lane: Lane,
    pub(super) class: Class,
    pub(super) only: Option<Incarnation>,
    pub(super) calls: bool,
}

/// Gathers the frames of one buffer by destination, and keeps the order of each.
#[derive(Default)]
pub(super) struct Cutter {
    spans: Vec<Span>,
}

struct Span {
    key: Key,
    range: std::ops::Range<usize>,
    frames: u32,
    charge: u32,
}

impl Cutter {
    pub(super) fn add(&mut self, key: Key, range: std::ops::Range<usize>, charge: u32) {
        match self.spans.last_mut() {
            Some(last) if last.key == key && last.range.end == range.start => {
                last.range.end = range.end;
                last.frames += 1;
                last.charge += charge;
            }
            _ => self.spans.push(Span { key, range, frames: 1, charge }),
        }
    }

    pub(super) fn cut(self, chunk: &Bytes, from: MemberId) -> Vec<(Destination, Run)> {
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.spans.len().min(64));
        // The latest piece that went to a slot. A group is everybody's latest.
        let mut latest: HashMap<Slot, usize> = HashMap::new();
        for span in self.spans {
            let Span { key, range, frames, charge } = span;
            let slot = match key.destination {
                Destination::Slot(slot) => Some(slot),
                Destination::Role(_) | Destination::All | Destination::Shelf => None,
            };
            let joined = slot.and_then(|slot| latest.get(&slot)).map(|&at| &mut pieces[at]);
            if let Some(piece) = joined.filter(|piece| piece.key == key && range.len() < SHARE)
                && let Bulk::Copied(bytes) = &mut piece.bulk
            {
                bytes.extend_from_slice(&chunk[range]);
                piece.frames += frames;
                piece.charge += charge;
                continue;
            }
            match slot {
                Some(slot) => {
                    latest.insert(slot, pieces.len());
                }
                None => latest.clear(),
            }
            let bulk = match range.len() >= SHARE {
                true => Bulk::Shared(chunk.slice(range)),
                false => Bulk::Copied(BytesMut::from(&chunk[range])),
            };
            pieces.push(Piece { key, bulk, frames, charge });
        }
        pieces.into_iter().map(|piece| piece.finish(from)).collect()
    }
}

struct Piece {
    key: Key,
    bulk: Bulk,
    frames: u32,
    charge: u32,
}

enum Bulk {
    Shared(Bytes),
    Copied(BytesMut),
}

impl Piece {
    fn finish(self, from: MemberId) -> (Destination, Run) {
        let bytes = match self.bulk {
            Bulk::Shared(bytes) => bytes,
            Bulk::Copied(bytes) => bytes.freeze(),
        };
        let Key { destination, lane, class, only, calls } = self.key;
        let (frames, charge) = (self.frames, self.charge);
        (destination, Run { bytes, frames, charge, lane, class, from, only, calls })
    }
}
