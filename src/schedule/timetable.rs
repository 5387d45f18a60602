//! When: the ticks of one schedule, as a function of the one before. Pure.

use std::time::Duration;

use super::cron::CronTimes;
use super::wall::{Wall, millis};

/// What names the ticks.
#[derive(Clone, Debug)]
pub(super) enum Trigger {
    Cron(Box<CronTimes>),
    /// So long from one tick to the next.
    Every(Duration),
    /// So long from the end of one run to the next tick.
    AfterEach(Duration),
    /// None but the one at the start.
    Once,
}

/// A trigger and the time in which it holds.
#[derive(Clone, Debug)]
pub(super) struct Timetable {
    pub(super) trigger: Trigger,
    /// The first tick is when it begins, or at its start.
    pub(super) immediate: bool,
    /// No tick before this.
    pub(super) start: Option<Wall>,
    /// No tick after this.
    pub(super) end: Option<Wall>,
}

/// What ticks are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    /// When the schedule began.
    pub(super) begun: Wall,
    /// Its latest tick.
    pub(super) tick: Option<Wall>,
    /// When its latest run ended.
    pub(super) ended: Option<Wall>,
}

/// The ticks of a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The latest of them, in order.
    pub(super) latest: Vec<Wall>,
    /// How many there were before those, as far as they were counted.
    pub(super) older: u64,
}

/// So many ticks are told one by one, and, of a cron expression, counted.
pub(super) const TOLD: usize = 1_000;

impl Timetable {
    /// The next tick. `None`: there is none, or not before a run has ended.
    pub(super) fn next(&self, past: Past) -> Option<Wall> {
        let next = match past.tick {
            None if self.immediate => Some(self.start.map_or(past.begun, |start| start.max(past.begun))),
            _ => self.regular(past),
        };
        next.filter(|next| self.end.is_none_or(|end| *next <= end))
    }

    fn regular(&self, past: Past) -> Option<Wall> {
        let after = past.tick.unwrap_or(past.begun);
        match &self.trigger {
            Trigger::Once => None,
            Trigger::Cron(times) => {
                // The start itself may be a tick.
                let before_start = self.start.map(|start| Wall(start.0 - 1));
                times.next(before_start.map_or(after, |start| start.max(after)))
            }
            Trigger::Every(interval) => Some(self.on_grid(past.begun, after, *interval)),
            Trigger::AfterEach(pause) => {
                // A tick that was not run is as good as a run that took no time.
                let next = past.ended.max(past.tick).unwrap_or(past.begun).plus(*pause);
                match self.start {
                    Some(start) if past.tick.is_none() => Some(start.max(past.begun)),
                    Some(start) => Some(next.max(start)),
                    None => Some(next),
                }
            }
        }
    }

    /// The first of `anchor + n * interval` after a moment. The start, if there is one, is a tick itself; the moment at which
    /// a schedule began is none.
    fn on_grid(&self, begun: Wall, after: Wall, interval: Duration) -> Wall {
        let (anchor, interval) = (self.start.unwrap_or(begun), millis(interval).max(1));
        if after < anchor {
            return anchor;
        }
        let steps = (after.0 - anchor.0) / interval + 1;
        Wall(anchor.0.saturating_add(steps.saturating_mul(interval)))
    }

    /// The ticks from the next, which is at `next`, to `now`.
    pub(super) fn due(&self, past: Past, next: Wall, now: Wall) -> Due {
        if past.tick.is_some() || !self.immediate {
            return self.regularly_due(next, now);
        }
        // It need not be one of those that follow.
        let second = self.next(Past { tick: Some(next), ..past }).filter(|second| *second <= now);
        let mut due = match second {
            Some(second) => self.regularly_due(second, now),
            None => return Due { latest: vec![next], older: 0 },
        };
        match due.older {
            0 => due.latest.insert(0, next),
            _ => due.older += 1,
        }
        due
    }

    fn regularly_due(&self, next: Wall, now: Wall) -> Due {
        let until = self.end.map_or(now, |end| end.min(now));
        match &self.trigger {
            Trigger::Once => Due { latest: vec![next], older: 0 },
            // It is whenever somebody comes to it.
            Trigger::AfterEach(_) => Due { latest: vec![now], older: 0 },
            Trigger::Every(interval) => {
                let interval = millis(*interval).max(1);
                let count = (until.0 - next.0) / interval + 1;
                let told = count.min(TOLD as i64);
                let first = count - told;
                let latest = (first..count).map(|step| Wall(next.0 + step * interval)).collect();
                Due { latest, older: first.unsigned_abs() }
            }
            Trigger::Cron(times) => {
                let mut latest = Vec::new();
                let mut at = Wall(until.0.saturating_add(1));
                while latest.len() <= TOLD {
                    match times.previous(at).filter(|found| *found > next) {
                        Some(found) => latest.push(found),
                        None => break,
                    }
                    at = latest[latest.len() - 1];
                }
                // Of more than can be told, one is known to be older.
                let older = match latest.len() > TOLD {
                    true => 1 + u64::from(latest.pop().is_some()),
                    false => {
                        latest.push(next);
                        0
                    }
                };
                latest.reverse();
                Due { latest, older }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    const fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn table(trigger: Trigger) -> Timetable {
        Timetable { trigger, immediate: false, start: None, end: None }
    }

    fn cron(expression: &str) -> Trigger {
        Trigger::Cron(Box::new(CronTimes::parse(expression, TimeZone::UTC).expect("it is good")))
    }

    fn past(begun: i64) -> Past {
        Past { begun: Wall(begun), tick: None, ended: None }
    }

    fn ticked(begun: i64, tick: i64) -> Past {
        Past { tick: Some(Wall(tick)), ..past(begun) }
    }

    #[test]
    fn an_interval_counts_from_when_it_began_whatever_its_runs_take() {
        let every = table(Trigger::Every(secs(30)));
        assert_eq!(every.next(past(5)), Some(Wall(30_005)));
        assert_eq!(every.next(ticked(5, 30_005)), Some(Wall(60_005)));
        assert_eq!(every.next(ticked(5, 31_000)), Some(Wall(60_005)), "the grid stays");
    }

    #[test]
    fn an_interval_with_a_start_counts_from_there() {
        let from = |start| Timetable { start: Some(Wall(start)), ..table(Trigger::Every(secs(10))) };
        assert_eq!(from(50_000).next(past(5)), Some(Wall(50_000)), "the start is a tick");
        assert_eq!(from(0).next(past(12_345)), Some(Wall(20_000)), "one in the past gives the grid");
    }

    #[test]
    fn a_pause_counts_from_the_end_of_a_run() {
        let after = table(Trigger::AfterEach(secs(10)));
        assert_eq!(after.next(past(0)), Some(Wall(10_000)));
        let ended = Past { ended: Some(Wall(17_000)), ..ticked(0, 10_000) };
        assert_eq!(after.next(ended), Some(Wall(27_000)));
    }

    #[test]
    fn nothing_ticks_before_the_start_or_after_the_end() {
        let bounded = Timetable { start: Some(Wall(60_000)), end: Some(Wall(120_000)), ..table(cron("* * * * *")) };
        assert_eq!(bounded.next(past(0)), Some(Wall(60_000)));
        assert_eq!(bounded.next(ticked(0, 60_000)), Some(Wall(120_000)), "the end is a tick");
        assert_eq!(bounded.next(ticked(0, 120_000)), None);
        assert_eq!(table(Trigger::Once).next(past(0)), None);
    }

    #[test]
    fn what_is_due_is_told_up_to_a_bound_and_counted_beyond_it() {
        for trigger in [Trigger::Every(secs(60)), cron("* * * * *")] {
            let table = table(trigger);
            let due = table.due(ticked(0, 1), Wall(60_000), Wall(185_000));
            assert_eq!(due, Due { latest: [60_000, 120_000, 180_000].map(Wall).into(), older: 0 });
            assert_eq!(table.due(ticked(0, 1), Wall(60_000), Wall(60_000)).latest, [Wall(60_000)]);
            let many = table.due(ticked(0, 1), Wall(60_000), Wall(60_000 * 5_000));
            assert_eq!((many.latest.len(), many.latest.last()), (TOLD, Some(&Wall(60_000 * 5_000))));
            assert!(many.older > 0);
        }
        let many = table(Trigger::Every(secs(60))).due(ticked(0, 1), Wall(60_000), Wall(60_000 * 5_000));
        assert_eq!(many.older, 4_000);
    }

    #[test]
    fn what_was_due_before_the_end_is_due_after_it() {
        let ended = Timetable { end: Some(Wall(125_000)), ..table(Trigger::Every(secs(60))) };
        assert_eq!(ended.due(ticked(0, 1), Wall(60_000), Wall(999_000)).latest, [60_000, 120_000].map(Wall));
    }

    #[test]
    fn what_is_immediate_has_its_first_tick_when_it_begins_or_at_its_start_and_none_after_its_end() {
        let at_once = |trigger| Timetable { immediate: true, ..table(trigger) };
        let every = at_once(Trigger::Every(secs(10)));
        assert_eq!(every.next(past(5)), Some(Wall(5)));
        assert_eq!(every.next(ticked(5, 5)), Some(Wall(10_005)));
        assert_eq!(every.due(past(5), Wall(5), Wall(20_500)).latest, [5, 10_005, 20_005].map(Wall));
        assert_eq!(at_once(cron("* * * * *")).due(past(5), Wall(5), Wall(60_500)).latest, [5, 60_000].map(Wall));
        let once = at_once(Trigger::Once);
        assert_eq!((once.next(past(5)), once.next(ticked(5, 5))), (Some(Wall(5)), None));
        let later = Timetable { start: Some(Wall(70)), ..once.clone() };
        assert_eq!(later.next(past(5)), Some(Wall(70)), "once, at that time");
        assert_eq!(Timetable { end: Some(Wall(4)), ..once }.next(past(5)), None);
        let pausing = Timetable { start: Some(Wall(0)), ..at_once(Trigger::AfterEach(secs(10))) };
        assert_eq!(pausing.next(ticked(5, 5)), Some(Wall(10_005)), "a pause lies between");
    }
}
