//! The moments at which the core has something to say unasked, in order. A scan over all slots for every event costs
//! 50 times as much at 1,000 slots.

use std::collections::{BTreeMap, BTreeSet};

use super::moment::Moment;

/// At most one deadline per key, found by moment.
#[derive(Clone, Debug)]
pub(super) struct Deadlines<K> {
    by_moment: BTreeSet<(Moment, K)>,
    by_key: BTreeMap<K, Moment>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { by_moment: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    /// From now on the deadline of `key` is `at`, whatever it was before.
    pub(super) fn set(&mut self, key: K, at: Option<Moment>) {
        let before = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if before != at {
            if let Some(before) = before {
                self.by_moment.remove(&(before, key));
            }
            if let Some(at) = at {
                self.by_moment.insert((at, key));
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.by_moment.first().map(|&(at, _)| at)
    }

    /// Takes out one whose moment has come.
    pub(super) fn pop_due(&mut self, now: Moment) -> Option<K> {
        let &(at, key) = self.by_moment.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }
}

impl<K: Copy + Ord> FromIterator<(K, Moment)> for Deadlines<K> {
    fn from_iter<I: IntoIterator<Item = (K, Moment)>>(all: I) -> Self {
        let mut deadlines = Deadlines::default();
        all.into_iter().for_each(|(key, at)| deadlines.set(key, Some(at)));
        deadlines
    }
}

/// Deadlines as a list: keys like these are none in every format.
pub(super) mod written {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Deadlines, Moment};

    pub(in super::super) fn serialize<K, S>(deadlines: &Deadlines<K>, to: S) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        S: Serializer,
    {
        to.collect_seq(&deadlines.by_key)
    }

    pub(in super::super) fn deserialize<'de, K, D>(from: D) -> Result<Deadlines<K>, D::Error>
    where
        K: Deserialize<'de> + Copy + Ord,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, Moment)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_key_has_one_deadline_and_they_come_in_order() {
        let at = |secs| Moment::from_start(Duration::from_secs(secs));
        let mut deadlines = Deadlines::default();
        for (key, secs) in [('a', 3), ('b', 1), ('c', 2), ('a', 9), ('b', 5)] {
            deadlines.set(key, Some(at(secs)));
        }
        deadlines.set('c', None);
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.pop_due(at(4)), None);
        assert_eq!(deadlines.pop_due(at(5)), Some('b'));
        assert_eq!(deadlines.pop_due(at(9)), Some('a'));
        assert_eq!((deadlines.pop_due(at(99)), deadlines.next()), (None, None));
    }
}
