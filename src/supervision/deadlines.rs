//! The moments at which the core has something to say unasked, in order. A scan over all slots for every event costs
//! 50 times as much at 1,000 slots.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::moment::Moment;
use super::supervisor::Due;

/// A moment and what is due then, ordered by both. In one number, since the search among these is most of what the core
/// does: seconds, nanoseconds, the kind of what is due, its role and its slot, from the highest bit down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u128);

impl Entry {
    const PLACE: u8 = 0;
    const PATIENCE: u8 = 1;
    const REGROUP: u8 = 2;

    fn new(at: Moment, due: Due) -> Entry {
        let span = at.since_start();
        let (kind, role, index) = match due {
            Due::Place(role, index) => (Entry::PLACE, role, index),
            Due::Patience(role) => (Entry::PATIENCE, role, 0),
            Due::Regroup => (Entry::REGROUP, 0, 0),
        };
        let due = u32::from(kind) << 24 | u32::from(role) << 16 | u32::from(index);
        Entry(u128::from(span.as_secs()) << 64 | u128::from(span.subsec_nanos()) << 32 | u128::from(due))
    }

    fn at(self) -> Moment {
        Moment::from_start(Duration::new((self.0 >> 64) as u64, (self.0 >> 32) as u32))
    }

    fn due(self) -> Due {
        let [kind, role, high, low] = (self.0 as u32).to_be_bytes();
        match kind {
            Entry::PLACE => Due::Place(role, u16::from_be_bytes([high, low])),
            Entry::PATIENCE => Due::Patience(role),
            _ => Due::Regroup,
        }
    }
}

/// At most one deadline for each thing that can be due, found by moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    by_moment: BTreeSet<Entry>,
    /// The moments that stand there, each in the cell of what is due.
    by_cell: Vec<Vec<Option<Moment>>>,
}

impl Deadlines {
    /// From now on the deadline of `due` is `at`, whatever it was before.
    pub(super) fn set(&mut self, due: Due, at: Option<Moment>) {
        let cell = self.cell(due);
        let before = std::mem::replace(cell, at);
        if before != at {
            if let Some(before) = before {
                self.by_moment.remove(&Entry::new(before, due));
            }
            if let Some(at) = at {
                self.by_moment.insert(Entry::new(at, due));
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_moment.len()
    }

    fn cell(&mut self, due: Due) -> &mut Option<Moment> {
        let (row, column) = due.cell();
        if self.by_cell.len() <= row {
            self.by_cell.resize_with(row + 1, Vec::new);
        }
        let row = &mut self.by_cell[row];
        if row.len() <= column {
            row.resize(column + 1, None);
        }
        &mut row[column]
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.by_moment.first().map(|entry| entry.at())
    }

    /// Takes out one whose moment has come.
    pub(super) fn pop_due(&mut self, now: Moment) -> Option<Due> {
        let entry = self.by_moment.first().filter(|entry| entry.at() <= now)?;
        let due = entry.due();
        self.set(due, None);
        Some(due)
    }
}

impl FromIterator<(Moment, Due)> for Deadlines {
    fn from_iter<I: IntoIterator<Item = (Moment, Due)>>(all: I) -> Self {
        let mut deadlines = Deadlines::default();
        all.into_iter().for_each(|(at, due)| deadlines.set(due, Some(at)));
        deadlines
    }
}

impl Serialize for Deadlines {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.by_moment.iter().map(|entry| (entry.at(), entry.due())))
    }
}

impl<'de> Deserialize<'de> for Deadlines {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Deadlines, D::Error> {
        Ok(Vec::<(Moment, Due)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_deadline_and_they_come_in_order() {
        let at = |secs| Moment::from_start(Duration::from_secs(secs));
        let (a, b, c) = (Due::place((1, 7)), Due::patience(1), Due::Regroup);
        let mut deadlines = Deadlines::default();
        for (due, secs) in [(a, 3), (b, 1), (c, 2), (a, 9), (b, 5)] {
            deadlines.set(due, Some(at(secs)));
        }
        deadlines.set(c, None);
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.pop_due(at(4)), None);
        assert_eq!(deadlines.pop_due(at(5)), Some(b));
        assert_eq!(deadlines.pop_due(at(9)), Some(a));
        assert_eq!((deadlines.pop_due(at(99)), deadlines.next()), (None, None));
    }

    #[test]
    fn what_can_be_due_has_a_cell_of_its_own() {
        let roles = 0..4;
        let places = roles.clone().flat_map(|role| (0..4).map(move |index| Due::place((role, index))));
        let dues: Vec<Due> = roles.map(Due::patience).chain(places).chain([Due::Regroup]).collect();
        let mut cells: Vec<_> = dues.iter().map(|due| due.cell()).collect();
        cells.sort();
        cells.dedup();
        assert_eq!(cells.len(), dues.len(), "{cells:?}");
    }

    #[test]
    fn entries_come_by_moment_then_by_what_is_due_and_keep_both() {
        let moments = [(0, 0), (0, 1), (0, 999_999_999), (1, 0), (u64::MAX, 999_999_999)]
            .map(|(secs, nanos)| Moment::from_start(Duration::new(secs, nanos)));
        let dues =
            [Due::Place(0, 0), Due::Place(0, u16::MAX), Due::Place(u8::MAX, 0), Due::Patience(u8::MAX), Due::Regroup];
        let all: Vec<(Moment, Due)> = moments.into_iter().flat_map(|at| dues.map(|due| (at, due))).collect();
        let entries: Vec<Entry> = all.iter().map(|&(at, due)| Entry::new(at, due)).collect();
        assert!(all.is_sorted() && entries.is_sorted(), "{entries:?}");
        let back: Vec<(Moment, Due)> = entries.iter().map(|entry| (entry.at(), entry.due())).collect();
        assert_eq!(back, all);
    }
}
