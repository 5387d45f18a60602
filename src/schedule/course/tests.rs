//! The course of a schedule as tables, and a seeded walk: time and ends of runs at random, and the agent killed at any step.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;

use super::*;
use crate::schedule::timetable::Trigger;

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn rules(trigger: Trigger) -> Rules {
    Rules {
        timetable: Timetable { trigger, immediate: false, start: None, end: None },
        overlap: Overlap::Skip,
        missed: Missed::RunOnce,
        retry: None,
        jitter: Duration::ZERO,
    }
}

fn immediate(trigger: Trigger) -> Rules {
    let rules = rules(trigger);
    Rules { timetable: Timetable { immediate: true, ..rules.timetable.clone() }, ..rules }
}

fn every_ten() -> Rules {
    rules(Trigger::Every(secs(10)))
}

/// A schedule, and what it has said.
struct Table {
    course: Course,
    now: Wall,
}

impl Table {
    fn of(rules: Rules) -> Table {
        Table { course: Course::new(rules, None, 0, 7, Wall(0)), now: Wall(0) }
    }

    /// Time passes, up to this second.
    fn at(&mut self, second: u64) -> Vec<Step> {
        self.now = Wall(second as i64 * 1_000);
        self.course.handle(Event::Time { enabled: true }, self.now)
    }

    fn ends(&mut self, number: u64, outcome: RunOutcome) -> Vec<Step> {
        let ended = Ended { number, outcome, by: None, failed_on: Vec::new(), span: None };
        self.course.handle(Event::Ended(ended), self.now)
    }

    /// The agent is killed, and its successor is there at this second.
    fn succeeded(self, second: u64) -> Table {
        let now = Wall(second as i64 * 1_000);
        let Course { rules, state, .. } = self.course;
        Table { course: Course::new(rules, Some(state), 0, 7, now), now }
    }

    fn counts(&self) -> Counts {
        self.course.state().counts
    }
}

/// The ticks of the runs that are to be started, in seconds, and their numbers.
#[track_caller]
fn starts(steps: &[Step]) -> Vec<(i64, u64)> {
    let start = |step: &Step| match step {
        Step::Start(run) => Some((run.tick.0 / 1_000, run.number)),
        Step::Conclude(_) | Step::Skip(_) | Step::Miss(_) | Step::Finish => None,
    };
    steps.iter().filter_map(start).collect()
}

fn failed() -> RunOutcome {
    RunOutcome::Failed("no".into())
}

#[test]
fn a_tick_starts_a_run_and_the_next_is_an_interval_later() {
    let mut table = Table::of(every_ten());
    assert_eq!(table.course.alarm(table.now), Some(Wall(10_000)));
    assert_eq!(table.at(9), []);
    assert_eq!(starts(&table.at(10)), [(10, 1)]);
    assert_eq!(table.course.alarm(table.now), Some(Wall(20_000)));
    assert!(matches!(&table.ends(1, RunOutcome::Done)[..], [Step::Conclude(last)] if last.outcome.is_done()));
    assert_eq!(table.ends(1, RunOutcome::Done), [], "told again, it is old news");
    assert_eq!(starts(&table.at(20)), [(20, 2)]);
}

#[test]
fn no_two_runs_overlap_unless_that_is_said() {
    let mut skipping = Table::of(every_ten());
    skipping.at(10);
    assert_eq!(skipping.at(20), [Step::Skip(Wall(20_000))]);
    assert_eq!((skipping.counts().skipped, starts(&skipping.ends(1, RunOutcome::Done))), (1, vec![]));

    let mut queueing = Table::of(Rules { overlap: Overlap::QueueOne, ..every_ten() });
    queueing.at(10);
    assert_eq!(queueing.at(20), []);
    assert_eq!(queueing.at(30), [Step::Skip(Wall(30_000))], "one waits already");
    assert_eq!(starts(&queueing.ends(1, RunOutcome::Done)), [(20, 2)]);

    let mut two = Table::of(Rules { overlap: Overlap::Allow(2), ..every_ten() });
    assert_eq!(starts(&two.at(10)), [(10, 1)]);
    assert_eq!(starts(&two.at(20)), [(20, 2)]);
    assert_eq!(two.at(30), [Step::Skip(Wall(30_000))]);
    two.ends(1, RunOutcome::Done);
    assert_eq!(starts(&two.at(40)), [(40, 3)]);
}

#[test]
fn a_failed_run_is_tried_again_and_counts_as_running_meanwhile() {
    let retry = Some(Retry { times: 2, delay: secs(4) });
    let mut table = Table::of(Rules { retry, ..every_ten() });
    table.at(10);
    let ended = Ended { number: 1, outcome: failed(), by: None, failed_on: vec!["worker/2".into()], span: None };
    table.course.handle(Event::Ended(ended), table.now);
    assert_eq!(table.course.alarm(table.now), Some(Wall(14_000)));
    let steps = table.at(14);
    assert!(matches!(&steps[..], [Step::Start(run)] if run.attempt == 2 && run.on == ["worker/2"] && run.number == 2));
    table.ends(2, failed());
    assert_eq!(table.at(17), [], "its third attempt is at 18");
    assert_eq!(starts(&table.at(18)), [(10, 3)]);
    let steps = table.ends(3, failed());
    assert!(matches!(&steps[..], [Step::Conclude(last)] if last.attempt == 3), "it has had its attempts: {steps:?}");
    assert_eq!(starts(&table.at(20)), [(20, 4)]);
    table.ends(4, failed());
    let steps = table.at(30);
    assert_eq!((starts(&steps), steps.last()), (vec![(20, 5)], Some(&Step::Skip(Wall(30_000)))));
    assert_eq!((table.counts().runs, table.counts().failures), (4, 4));
}

#[test]
fn what_may_have_been_done_is_not_tried_again() {
    for outcome in [RunOutcome::Unknown, RunOutcome::NoJob, RunOutcome::Done] {
        let mut table = Table::of(Rules { retry: Some(Retry { times: 9, delay: secs(0) }), ..every_ten() });
        table.at(10);
        assert_eq!(starts(&table.ends(1, outcome.clone())), [], "{outcome:?}");
    }
    for outcome in
        [failed(), RunOutcome::Panicked, RunOutcome::TimedOut, RunOutcome::Died("x".into()), RunOutcome::NoMember]
    {
        let mut table = Table::of(Rules { retry: Some(Retry { times: 9, delay: secs(0) }), ..every_ten() });
        table.at(10);
        assert_eq!(starts(&table.ends(1, outcome.clone())), [(10, 2)], "{outcome:?}");
    }
}

#[test]
fn a_successor_knows_what_runs_and_starts_nothing_twice() {
    let mut table = Table::of(every_ten());
    table.at(10);
    let mut next = table.succeeded(12);
    assert_eq!(next.course.state().running.len(), 1);
    assert_eq!(starts(&next.at(12)), []);
    assert_eq!(next.at(20), [Step::Skip(Wall(20_000))], "that of before has not ended");
    next.ends(1, RunOutcome::Done);
    assert_eq!(starts(&next.at(30)), [(30, 2)]);
}

#[test]
fn what_was_missed_is_skipped_or_made_up_for_once_or_all_of_it() {
    let missed = |missed, late| {
        let mut table = Table::of(Rules { missed, ..every_ten() });
        table.at(10);
        table.ends(1, RunOutcome::Done);
        // Away from 10 to 47, or to 43 and so hardly late for the last.
        let mut next = table.succeeded(late);
        let mut runs = starts(&next.at(late));
        for number in 2..9 {
            runs.extend(starts(&next.ends(number, RunOutcome::Done)));
        }
        assert_eq!(next.course.next(), Some(Wall(50_000)), "the grid stays");
        (runs, next.counts().missed)
    };
    assert_eq!(missed(Missed::Skip, 47), (vec![], 3));
    assert_eq!(missed(Missed::Skip, 43), (vec![(40, 2)], 2), "five seconds are as good as on time");
    assert_eq!(missed(Missed::RunOnce, 47), (vec![(40, 2)], 2));
    assert_eq!(missed(Missed::RunOnce, 43), (vec![(40, 2)], 2));
    assert_eq!(missed(Missed::RunAll, 47), (vec![(20, 2), (30, 3), (40, 4)], 0));
}

#[test]
fn of_what_was_missed_no_more_is_made_up_for_than_can_be_told() {
    let mut table = Table::of(Rules { missed: Missed::RunAll, ..every_ten() });
    table.at(10);
    table.ends(1, RunOutcome::Done);
    let mut next = table.succeeded(10 + 10 * 1_500);
    let steps = next.at(10 + 10 * 1_500);
    assert_eq!(steps[0], Step::Miss(500));
    assert_eq!((next.course.waiting(), next.course.state().running.len()), (999, 1));
}

#[test]
fn what_runs_at_once_runs_once_however_often_the_agent_begins() {
    let mut table = Table::of(immediate(Trigger::Once));
    assert_eq!(starts(&table.at(0)), [(0, 1)]);
    let steps = table.ends(1, RunOutcome::Done);
    assert!(matches!(&steps[..], [Step::Conclude(_), Step::Finish]), "{steps:?}");
    let mut next = table.succeeded(5);
    assert_eq!(starts(&next.at(5)), []);
    assert_eq!(next.course.alarm(next.now), None);
}

#[test]
fn a_pause_begins_when_a_run_has_ended() {
    let mut table = Table::of(rules(Trigger::AfterEach(secs(10))));
    assert_eq!(starts(&table.at(10)), [(10, 1)]);
    assert_eq!(table.course.next(), None, "not while it runs");
    assert_eq!(table.at(25), []);
    table.ends(1, RunOutcome::Done);
    assert_eq!(table.course.next(), Some(Wall(35_000)));
    // Nothing was missed by an agent that was away: nobody was to run.
    let mut next = table.succeeded(90);
    assert_eq!(starts(&next.at(90)), [(90, 2)]);
    assert_eq!(next.counts().missed, 0);
}

#[test]
fn ticks_count_only_while_the_condition_holds() {
    for trigger in [Trigger::Every(secs(10)), Trigger::AfterEach(secs(10))] {
        let mut table = Table::of(rules(trigger));
        let steps = table.course.handle(Event::Time { enabled: false }, Wall(10_000));
        assert_eq!((steps, table.counts().disabled), (vec![], 1));
        assert_eq!(table.course.next(), Some(Wall(20_000)));
        assert_eq!(starts(&table.at(20)), [(20, 1)]);
    }
}

#[test]
fn after_its_end_a_schedule_finishes_what_it_has_begun_and_says_so() {
    let mut bounded = every_ten();
    bounded.timetable.end = Some(Wall(25_000));
    let mut table = Table::of(bounded);
    table.at(10);
    table.ends(1, RunOutcome::Done);
    assert_eq!(starts(&table.at(20)), [(20, 2)]);
    assert_eq!(table.course.next(), None);
    let steps = table.ends(2, RunOutcome::Done);
    assert!(matches!(&steps[..], [Step::Conclude(_), Step::Finish]), "{steps:?}");
    assert_eq!(table.at(99), []);
}

#[test]
fn jitter_makes_a_run_late_by_up_to_so_much_and_moves_no_tick() {
    let mut late = BTreeSet::new();
    let mut table = Table::of(Rules { jitter: secs(5), ..every_ten() });
    for tick in 1..50i64 {
        let due = Wall(tick * 10_000);
        table.now = due;
        let mut steps = table.course.handle(Event::Time { enabled: true }, due);
        if steps.is_empty() {
            let at = table.course.alarm(due).expect("it waits");
            table.now = at;
            steps = table.course.handle(Event::Time { enabled: true }, at);
        }
        let [Step::Start(run)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(run.tick, due);
        assert!(run.began.since(due) <= secs(5));
        late.insert(run.began.since(due));
        let number = run.number;
        table.ends(number, RunOutcome::Done);
    }
    assert!(late.len() > 40, "they differ: {late:?}");
}

#[test]
fn an_interval_goes_by_what_has_passed_when_the_calendar_is_set() {
    for hours in [-5i64, 5] {
        let mut table = Table::of(every_ten());
        table.at(10);
        table.ends(1, RunOutcome::Done);
        let by = hours * 3_600_000;
        let now = Wall(12_000 + by);
        assert_eq!(table.course.handle(Event::CalendarSet { by }, now), []);
        assert_eq!(table.course.next(), Some(Wall(20_000 + by)), "eight seconds from now");
        assert_eq!(table.counts().missed, 0);
    }
}

#[test]
fn a_calendar_that_is_set_back_a_little_repeats_no_tick_of_a_cron_expression_and_one_that_was_wrong_means_nothing() {
    let cron = crate::schedule::cron::CronTimes::parse("* * * * *", jiff::tz::TimeZone::UTC).expect("it is good");
    let set = |by: i64| {
        let mut table = Table::of(rules(Trigger::Cron(Box::new(cron.clone()))));
        table.at(86_400);
        table.ends(1, RunOutcome::Done);
        let now = Wall(86_410_000 + by);
        table.course.handle(Event::CalendarSet { by }, now);
        table.course.next().map(|next| next.0 / 60_000)
    };
    assert_eq!(set(-600_000), Some(1_441), "ten minutes: the next is one that has not been");
    assert_eq!(set(-7_200_000), Some(1_321), "two hours: the next by what the calendar shows now");
}

/// Ends, time and kills at random. Whatever happens: no tick is run twice but by a retry, numbers only grow, and every tick is
/// run, skipped, missed, or waits.
#[test]
fn walks_at_random_start_nothing_twice_and_account_for_every_tick() {
    let seeds = std::env::var("HATCHERY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    for seed in 0..seeds {
        let mut dice = <rand_pcg::Pcg64Mcg as rand::SeedableRng>::seed_from_u64(seed);
        let overlap = [Overlap::Skip, Overlap::QueueOne, Overlap::Allow(3)][dice.random_range(0..3)];
        let missed = [Missed::Skip, Missed::RunOnce, Missed::RunAll][dice.random_range(0..3)];
        let retry = dice.random_bool(0.5).then(|| Retry { times: 2, delay: secs(dice.random_range(0..20)) });
        let jitter = secs(dice.random_range(0..3) * 4);
        let mut table = Table::of(Rules { overlap, missed, retry, jitter, ..every_ten() });
        let mut attempts: BTreeMap<(Wall, u32), u64> = BTreeMap::new();
        let (mut last, mut gone_by) = (0, 0);
        for _ in 0..200 {
            let steps = match dice.random_range(0..10) {
                0 => {
                    // What was said in the step before was written down, and perhaps not done.
                    let away = dice.random_range(0..60_000);
                    let now = Wall(table.now.0 + away);
                    let state = table.course.state().clone();
                    table = Table { course: Course::new(table.course.rules.clone(), Some(state), 0, 7, now), now };
                    Vec::new()
                }
                1..=4 => {
                    table.now = Wall(table.now.0 + dice.random_range(0..12_000));
                    table.course.handle(Event::Time { enabled: true }, table.now)
                }
                _ => {
                    let running = &table.course.state().running;
                    if running.is_empty() {
                        continue;
                    }
                    let number = running[dice.random_range(0..running.len())].number;
                    let outcome = [RunOutcome::Done, failed(), RunOutcome::Unknown][dice.random_range(0..3)].clone();
                    table.ends(number, outcome)
                }
            };
            for step in &steps {
                match step {
                    Step::Start(run) => {
                        assert!(run.number > last, "seed {seed}: number {} after {last}", run.number);
                        last = run.number;
                        let before = attempts.insert((run.tick, run.attempt), run.number);
                        assert_eq!(before, None, "seed {seed}: {run:?} is started twice");
                    }
                    Step::Skip(_) => gone_by += 1,
                    Step::Miss(count) => gone_by += count,
                    Step::Conclude(_) | Step::Finish => {}
                }
            }
            let state = table.course.state();
            let ticks = state.tick.map_or(0, |tick| tick.0.unsigned_abs() / 10_000);
            let first = attempts.keys().filter(|(_, attempt)| *attempt == 1).count() as u64;
            let wait = state.waiting.iter().filter(|waiting| waiting.turn != Turn::Retry).count() as u64;
            assert_eq!(ticks, first + gone_by + wait, "seed {seed}: a tick is unaccounted for");
        }
    }
}

#[test]
fn what_is_immediate_runs_only_while_its_condition_holds() {
    let mut table = Table::of(immediate(Trigger::Once));
    assert!(table.course.has_tick(table.now));
    let steps = table.course.handle(Event::Time { enabled: false }, table.now);
    assert_eq!((steps, table.counts().disabled), (vec![Step::Finish], 1));
}

#[test]
fn what_failed_on_some_is_never_tried_again_on_all() {
    let mut table = Table::of(Rules { retry: Some(Retry { times: 3, delay: secs(1) }), ..every_ten() });
    table.at(10);
    let ended = Ended { number: 1, outcome: failed(), by: None, failed_on: vec!["worker/1".into()], span: None };
    table.course.handle(Event::Ended(ended), table.now);
    table.at(11);
    // Nobody is there to try it.
    table.ends(2, RunOutcome::NoMember);
    let steps = table.at(12);
    assert!(matches!(&steps[..], [Step::Start(run)] if run.attempt == 3 && run.on == ["worker/1"]), "{steps:?}");
}

#[test]
fn a_calendar_that_was_set_back_while_nobody_looked_holds_up_nothing() {
    let mut table = Table::of(Rules { retry: Some(Retry { times: 3, delay: secs(30) }), ..every_ten() });
    table.at(400_000);
    table.ends(1, failed());
    let mut next = table.succeeded(100);
    assert_eq!(next.course.next(), Some(Wall(110_000)), "and not in four days");
    assert_eq!(starts(&next.at(130)).len(), 1, "the retry is half a minute away, not days");
}

#[test]
fn one_that_is_on_time_is_skipped_as_ever_also_where_late_ones_are_made_up_for() {
    let mut table = Table::of(Rules { missed: Missed::RunAll, ..every_ten() });
    table.at(10);
    table.ends(1, RunOutcome::Done);
    let mut next = table.succeeded(47);
    assert_eq!(starts(&next.at(47)), [(20, 2)]);
    assert_eq!(next.at(50), [Step::Skip(Wall(50_000))], "those of 30 and 40 wait, and are all that does");
    assert_eq!(starts(&next.ends(2, RunOutcome::Done)), [(30, 3)]);
}
