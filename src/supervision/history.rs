//! What went wrong before, and when: the memory on which limits and backoff are counted.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// The end of a process that nobody asked for, or an exception for which it was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When the master heard of it.
    pub at: Moment,
    /// How long the process had been ready. `None`: it never was.
    pub ready_for: Option<Duration>,
}

impl Failure {
    /// Whether it failed before it had been ready for `stable_after`.
    pub fn is_young(&self, stable_after: Duration) -> bool {
        self.ready_for.is_none_or(|ready_for| ready_for < stable_after)
    }
}

/// The failures of a slot or of a role, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(VecDeque<Failure>);

impl History {
    /// Older failures are forgotten: 16 KiB at most for a slot, and no sensible limit counts further.
    pub const REMEMBERED: usize = 1024;

    pub(super) fn record(&mut self, failure: Failure) {
        if self.0.len() == Self::REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(failure);
    }

    /// The same in its place by time, wherever that is.
    pub(super) fn insert(&mut self, failure: Failure) {
        self.record(failure);
        self.0.make_contiguous().sort_by_key(|failure| failure.at);
    }

    /// The failures that are remembered, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Failure> {
        self.0.iter()
    }

    /// Those of the last `period` before `now`, the youngest first.
    pub fn within(&self, period: Duration, now: Moment) -> impl Iterator<Item = &Failure> {
        self.0.iter().rev().take_while(move |failure| now - failure.at <= period)
    }

    /// How many those are. A search, where a walk would cost a role of a thousand slots a microsecond for each failure.
    pub fn count_within(&self, period: Duration, now: Moment) -> usize {
        self.0.len() - self.0.partition_point(|failure| now - failure.at > period)
    }
}

impl FromIterator<Failure> for History {
    fn from_iter<I: IntoIterator<Item = Failure>>(failures: I) -> History {
        let mut history = History::default();
        failures.into_iter().for_each(|failure| history.record(failure));
        history
    }
}

/// How many failures in how long are too many: more than `restarts` within `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// So many are still restarted.
    pub restarts: usize,
    /// The length of the sliding window.
    pub period: Duration,
}

impl Intensity {
    /// At most `restarts` in any `period`.
    pub const fn new(restarts: usize, period: Duration) -> Intensity {
        Intensity { restarts, period }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Failure {
        Failure { at: Moment::from_start(Duration::from_secs(secs)), ready_for: None }
    }

    #[test]
    fn a_window_includes_its_edge() {
        let mut history = History::default();
        for secs in [0, 10, 20, 30] {
            history.record(at(secs));
        }
        let within = |period, now| {
            let (period, now) = (Duration::from_secs(period), at(now).at);
            assert_eq!(history.count_within(period, now), history.within(period, now).count());
            history.count_within(period, now)
        };
        assert_eq!(within(20, 30), 3);
        assert_eq!(within(19, 30), 2);
        assert_eq!(within(5, 40), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut history = History::default();
        for secs in 0..2 * History::REMEMBERED as u64 {
            history.record(at(secs));
        }
        assert_eq!(history.iter().count(), History::REMEMBERED);
        assert_eq!(history.iter().next(), Some(&at(History::REMEMBERED as u64)));
    }

    #[test]
    fn one_who_was_never_ready_is_young() {
        let secs = Duration::from_secs;
        assert!(at(0).is_young(secs(1)));
        assert!(Failure { ready_for: Some(Duration::from_millis(999)), ..at(0) }.is_young(secs(1)));
        assert!(!Failure { ready_for: Some(secs(1)), ..at(0) }.is_young(secs(1)));
    }
}
