//! What has changed since somebody looked last: how busy a process is, from how long it has been busy in all. Pure: time is
//! an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Two looks that are closer than this are one: of a shorter span the kernel's ticks, of a hundredth of a second, would say
/// little. Whoever looks meanwhile is told what the look before was told.
const SHORTEST: Duration = Duration::from_millis(500);

/// What had been counted of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counted {
    /// How long it had been there.
    pub(super) age: Duration,
    /// `None`: it has no processor time of its own.
    pub(super) cpu: Option<Duration>,
    pub(super) messages: u64,
}

/// How busy it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// Percent of one processor.
    pub(super) cpu: Option<f64>,
    pub(super) messages_per_second: f64,
}

/// The look before, of each.
#[derive(Debug)]
pub(super) struct Samples<K>(HashMap<K, (Counted, Rates)>);

impl<K> Default for Samples<K> {
    fn default() -> Samples<K> {
        Samples(HashMap::new())
    }
}

impl<K: Eq + Hash> Samples<K> {
    /// Another look at one. The first is told of its whole life.
    pub(super) fn look(&mut self, key: K, now: Counted) -> Rates {
        let begin = Counted { age: Duration::ZERO, cpu: Some(Duration::ZERO), messages: 0 };
        let before = match self.0.get(&key) {
            Some((before, rates)) if now.age.saturating_sub(before.age) < SHORTEST => return Rates { ..*rates },
            Some((before, _)) => *before,
            None => begin,
        };
        let rates = Rates::between(before, now);
        self.0.insert(key, (now, rates));
        rates
    }

    /// Forgets those of whom this does not hold: they are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| is_there(key));
    }
}

impl Rates {
    fn between(before: Counted, now: Counted) -> Rates {
        // Of one that was started this very moment nothing can be said but that it is not less than nothing.
        let span = now.age.saturating_sub(before.age).max(Duration::from_millis(1)).as_secs_f64();
        let rounded = |value: f64| (value * 10.0).round() / 10.0;
        let cpu = match (before.cpu, now.cpu) {
            (Some(before), Some(now)) => Some(rounded(now.saturating_sub(before).as_secs_f64() / span * 100.0)),
            (None, _) | (_, None) => None,
        };
        Rates { cpu, messages_per_second: rounded(now.messages.saturating_sub(before.messages) as f64 / span) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(age: u64, cpu: u64, messages: u64) -> Counted {
        Counted { age: Duration::from_millis(age), cpu: Some(Duration::from_millis(cpu)), messages }
    }

    #[test]
    fn the_first_look_is_at_the_whole_life_and_each_other_one_at_what_came_after_the_one_before() {
        let mut samples = Samples::default();
        let is = |cpu: f64, messages_per_second: f64| Rates { cpu: Some(cpu), messages_per_second };
        assert_eq!(samples.look(1, counted(10_000, 1_000, 500)), is(10.0, 50.0));
        assert_eq!(samples.look(1, counted(11_000, 2_500, 500)), is(150.0, 0.0));
        assert_eq!(samples.look(1, counted(11_499, 2_500, 900)), is(150.0, 0.0), "too soon");
        assert_eq!(samples.look(1, counted(13_000, 2_500, 1_000)), is(0.0, 250.0), "since the last that counted");
        assert_eq!(samples.look(2, counted(0, 0, 0)), is(0.0, 0.0), "another one");
    }

    #[test]
    fn who_has_no_processor_time_of_its_own_has_no_share() {
        let mut samples = Samples::default();
        let thread = Counted { cpu: None, ..counted(1_000, 0, 10) };
        assert_eq!(samples.look(1, thread), Rates { cpu: None, messages_per_second: 10.0 });
        samples.retain(|_| false);
        assert_eq!(
            samples.look(1, counted(10_000, 100, 10)).messages_per_second,
            1.0,
            "nothing is remembered of the gone"
        );
    }
}
