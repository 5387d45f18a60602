//! The strategy's table: a past, a fact, and the answer.

use super::super::fact::{Exception, ExceptionKind, OwnedFact};
use super::super::moment::Moment;
use super::*;
use crate::identity::Slot;

/// A slot's past as (second, ready for milliseconds) and the answer to one more failure at `now`.
struct Table {
    strategy: OneForOne,
    past: Vec<(u64, Option<u64>)>,
    role_past: usize,
    parked: usize,
}

impl Table {
    fn of(mut strategy: OneForOne) -> Table {
        // Jitter has its own test; a table wants round numbers.
        if let Some(limits) = &mut strategy.limits {
            limits.backoff.jitter = 0.0;
            limits.probe.jitter = 0.0;
        }
        Table { strategy, past: Vec::new(), role_past: 0, parked: 0 }
    }

    fn past(mut self, past: &[(u64, Option<u64>)]) -> Table {
        self.past = past.to_vec();
        self
    }

    fn role_past(mut self, failures: usize) -> Table {
        self.role_past = failures;
        self
    }

    fn parked(mut self, times: usize) -> Table {
        self.parked = times;
        self
    }

    fn answer(&self, fact: &OwnedFact, now: u64, ready_for: Option<u64>) -> Directive {
        let mut view = View::table(Slot::worker(0)).now(Moment::from_start(super::secs(now))).parked(self.parked);
        for &(secs, ready) in &self.past {
            view = view.failure(super::secs(now - secs), ready.map(Duration::from_millis));
        }
        let others = self.role_past.saturating_sub(self.past.len());
        for _ in 0..others {
            view = view.role_failure(Duration::ZERO, Some(super::secs(5)));
        }
        if let Some(ready_for) = ready_for {
            view = view.ready_for(Duration::from_millis(ready_for));
        }
        view.ask(&self.strategy, fact).directive
    }

    fn exit(&self, now: u64, ready_for: Option<u64>) -> Directive {
        self.answer(&Fact::exited(Exit::signal(9)), now, ready_for)
    }
}

fn restart(millis: u64) -> Directive {
    Directive::Restart { scope: Scope::One, after: Duration::from_millis(millis) }
}

fn park(secs: u64) -> Directive {
    Directive::Park { probe: Some(Duration::from_secs(secs)) }
}

const YOUNG: Option<u64> = Some(999);
const STABLE: Option<u64> = Some(1_000);

#[test]
fn a_worker_that_had_been_of_use_is_replaced_at_once_every_time() {
    let past: Vec<_> = (0..50).map(|secs| (secs, STABLE)).collect();
    assert_eq!(Table::of(OneForOne::worker()).past(&past).exit(50, STABLE), restart(0));
}

#[test]
fn young_deaths_are_free_once_and_then_back_off() {
    let delays = [(0, 0), (1, 100), (2, 200), (3, 400), (4, 800)];
    for (earlier, delay) in delays {
        let past: Vec<_> = (0..earlier).map(|secs| (secs, YOUNG)).collect();
        assert_eq!(Table::of(OneForOne::worker()).past(&past).exit(10, None), restart(delay), "after {earlier}");
    }
}

#[test]
fn a_healthy_life_ends_the_row() {
    let past = [(0, YOUNG), (1, YOUNG), (2, YOUNG), (3, STABLE)];
    assert_eq!(Table::of(OneForOne::worker()).past(&past).exit(10, YOUNG), restart(0));
    assert_eq!(Table::of(OneForOne::worker()).past(&past[..3]).exit(10, STABLE), restart(0));
}

#[test]
fn the_sixth_young_death_in_thirty_seconds_parks_and_no_earlier_one() {
    let past: Vec<_> = (0..5).map(|secs| (secs, YOUNG)).collect();
    let table = Table::of(OneForOne::worker()).past(&past);
    assert_eq!(table.exit(30, YOUNG), park(1), "the window includes its edge");
    assert_eq!(table.exit(31, YOUNG), restart(1_600), "the oldest has left the window");
    assert_eq!(Table::of(OneForOne::worker()).past(&past[..4]).exit(30, YOUNG), restart(800));
}

#[test]
fn old_deaths_do_not_count_towards_parking() {
    let past: Vec<_> = (0..20).map(|secs| (secs, if secs % 4 == 0 { YOUNG } else { STABLE })).collect();
    assert_eq!(Table::of(OneForOne::worker()).past(&past).exit(20, STABLE), restart(0));
}

#[test]
fn probes_grow_to_thirty_seconds_until_a_healthy_life() {
    for (parked, probe) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (60, 30)] {
        assert_eq!(Table::of(OneForOne::worker()).parked(parked).exit(999, None), park(probe), "parked {parked}");
    }
    assert_eq!(Table::of(OneForOne::worker()).parked(5).exit(999, STABLE), restart(0));
}

#[test]
fn the_agent_waits_a_second_and_doubles_while_it_fails_young() {
    let agent = || Table::of(OneForOne::agent().intensity(Intensity::new(100, secs(600))));
    assert_eq!(agent().exit(100, STABLE), restart(1_000));
    for (earlier, delay) in [(0, 1_000), (1, 2_000), (2, 4_000), (4, 16_000), (5, 30_000), (9, 30_000)] {
        let past: Vec<_> = (0..earlier).map(|secs| (secs, None)).collect();
        assert_eq!(agent().past(&past).exit(100, None), restart(delay), "after {earlier}");
    }
}

#[test]
fn a_role_over_its_limit_is_throttled_whatever_the_age_of_its_dead() {
    for (earlier, delay) in [(59, 0), (60, 100), (61, 200), (70, 10_000)] {
        let table = Table::of(OneForOne::worker()).role_past(earlier);
        assert_eq!(table.exit(10, STABLE), restart(delay), "after {earlier}");
    }
}

#[test]
fn without_limits_only_the_plain_delay_is_left() {
    let past: Vec<_> = (0..90).map(|_| (10, None)).collect();
    let table = |strategy: OneForOne| Table::of(strategy.unlimited()).past(&past).role_past(500);
    assert_eq!(table(OneForOne::worker()).exit(10, None), restart(0));
    assert_eq!(table(OneForOne::agent()).exit(10, None), restart(1_000));
}

#[test]
fn codes_that_no_restart_can_mend_park_for_good() {
    for code in [64, 78] {
        let exit = Exit::code(code);
        let table = Table::of(OneForOne::worker());
        let for_good = Directive::Park { probe: None };
        assert_eq!(table.answer(&Fact::exited(exit.clone()), 0, STABLE), for_good);
        assert_eq!(table.answer(&Fact::boot_failed(BootFailure::Ended(exit)), 0, None), for_good);
    }
    assert_eq!(Table::of(OneForOne::worker()).answer(&Fact::exited(Exit::code(65)), 0, STABLE), restart(0));
}

#[test]
fn restart_types_are_those_of_otp() {
    use RestartType::*;
    let (clean, code, signal) = (Exit::code(0), Exit::code(1), Exit::signal(9));
    let rows = [
        (Permanent, &clean, restart(0)),
        (Permanent, &code, restart(0)),
        (Permanent, &signal, restart(0)),
        (Transient, &clean, Directive::Remove),
        (Transient, &code, restart(0)),
        (Transient, &signal, restart(0)),
        (Temporary, &clean, Directive::Remove),
        (Temporary, &code, Directive::Remove),
        (Temporary, &signal, Directive::Remove),
    ];
    for (kind, exit, expected) in rows {
        let table = Table::of(OneForOne::worker().restart(kind));
        assert_eq!(table.answer(&Fact::exited(exit.clone()), 0, STABLE), expected, "{kind:?} {exit}");
    }
}

#[test]
fn an_exception_replaces_a_worker_and_leaves_the_agent_alone() {
    let fact = &Fact::exception(Exception::new(ExceptionKind::Panic, "boom"));
    let replace = Directive::Replace { drain: secs(30) };
    assert_eq!(Table::of(OneForOne::worker()).answer(fact, 0, STABLE), replace);
    assert_eq!(Table::of(OneForOne::worker()).answer(fact, 0, YOUNG), replace);
    assert_eq!(Table::of(OneForOne::agent()).answer(fact, 0, STABLE), Directive::Ignore);
    let temporary = OneForOne::worker().restart(RestartType::Temporary);
    assert_eq!(Table::of(temporary).answer(fact, 0, STABLE), Directive::Remove);
}

#[test]
fn a_worker_over_its_limit_stays_in_service() {
    let fact = &Fact::exception(Exception::new(ExceptionKind::Panic, "boom"));
    let past: Vec<_> = (0..5).map(|secs| (secs, YOUNG)).collect();
    let table = Table::of(OneForOne::worker()).past(&past);
    assert_eq!(table.answer(fact, 6, YOUNG), Directive::Ignore);
    let replace = Directive::Replace { drain: secs(30) };
    assert_eq!(table.answer(fact, 6, STABLE), replace, "a stable one always has a successor");
    assert_eq!(table.answer(fact, 60, YOUNG), replace, "the window has passed");
}

#[test]
fn a_boot_that_timed_out_counts_as_a_young_death() {
    let failure = BootFailure::TimedOut { allowed: secs(60), exit: Exit::signal(9) };
    let table = Table::of(OneForOne::worker()).past(&[(0, None)]);
    assert_eq!(table.answer(&Fact::boot_failed(failure), 5, None), restart(100));
}

#[test]
fn its_budget_is_that_of_its_settings_and_none_without_limits() {
    assert_eq!(OneForOne::worker().budget(), Some((Intensity::new(5, secs(30)), secs(1))));
    let strict = OneForOne::agent().intensity(Intensity::new(1, secs(9))).stable_after(secs(4));
    assert_eq!(strict.budget(), Some((Intensity::new(1, secs(9)), secs(4))));
    assert_eq!(strict.unlimited().budget(), None);
}
