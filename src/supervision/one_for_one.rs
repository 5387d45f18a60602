//! The built-in strategy: each member stands for itself. Restarts at once those who had been of use, slows down those
//! who were not, and puts aside the hopeless.

use std::time::Duration;

use super::backoff::Backoff;
use super::dice::Dice;
use super::fact::{BootFailure, Exit, ExitStatus, Fact};
use super::history::Intensity;
use super::strategy::{Directive, Strategy, View};

/// When a member that ended is started again. OTP's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartType {
    /// Always.
    Permanent,
    /// Unless it exited with code 0.
    Transient,
    /// Never.
    Temporary,
}

/// What follows an exception of a member that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnException {
    /// A new process at once; the old one stops accepting, finishes, and is killed with its descendants after `drain`.
    Replace {
        /// How long it has to finish.
        drain: Duration,
    },
    /// It is logged and counted; the member stays.
    Ignore,
}

/// Exit codes that no restart can mend: `EX_USAGE` and `EX_CONFIG` of sysexits.
const PERMANENT: [i32; 2] = [64, 78];

/// Restarts the member that failed, and nobody else.
#[derive(Clone, Debug)]
pub struct OneForOne {
    restart: RestartType,
    exception: OnException,
    /// A failure of one who had been ready for this long is bad luck; of a younger one, a sign.
    stable_after: Duration,
    /// The delay before every restart.
    delay: Duration,
    limits: Option<Limits>,
}

/// What happens to those who fail again and again.
#[derive(Clone, Debug)]
struct Limits {
    /// The delay of a young failure: its first in a row waits for `OneForOne::delay` only, if `first_free`.
    backoff: Backoff,
    first_free: bool,
    /// How many young failures of a slot are too many.
    slot: Intensity,
    /// How long a slot stays parked, by how often in a row.
    probe: Backoff,
    /// How many failures of any age of a whole role are too many.
    role: Intensity,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl OneForOne {
    /// What workers have unless told otherwise: an exception is replaced at once and drained for 30 s; the end of one
    /// that had been ready for a second is followed by a restart at once, however often; younger ones back off from
    /// 100 ms to 10 s after the first, and are parked when more than 5 fail within 30 s.
    pub fn worker() -> OneForOne {
        OneForOne {
            restart: RestartType::Permanent,
            exception: OnException::Replace { drain: secs(30) },
            stable_after: secs(1),
            delay: Duration::ZERO,
            limits: Some(Limits {
                backoff: Backoff::doubling(Duration::from_millis(100), secs(10)),
                first_free: true,
                ..Limits::usual()
            }),
        }
    }

    /// What the agent has unless told otherwise: an exception is logged, no more; its end is followed by a restart
    /// after a second, which doubles to 30 s while it fails young.
    pub fn agent() -> OneForOne {
        OneForOne {
            restart: RestartType::Permanent,
            exception: OnException::Ignore,
            stable_after: secs(1),
            delay: secs(1),
            limits: Some(Limits {
                backoff: Backoff::doubling(secs(1), secs(30)),
                first_free: false,
                ..Limits::usual()
            }),
        }
    }

    /// When a member that ended is started again.
    pub fn restart(mut self, restart: RestartType) -> OneForOne {
        self.restart = restart;
        self
    }

    /// What follows an exception.
    pub fn on_exception(mut self, exception: OnException) -> OneForOne {
        self.exception = exception;
        self
    }

    /// From when on a member counts as having been of use. Measured from its ready.
    pub fn stable_after(mut self, stable_after: Duration) -> OneForOne {
        self.stable_after = stable_after;
        self
    }

    /// The delay before every restart.
    pub fn delay(mut self, delay: Duration) -> OneForOne {
        self.delay = delay;
        self
    }

    /// The delays of those who fail young again and again.
    pub fn backoff(mut self, backoff: Backoff) -> OneForOne {
        self.limits.get_or_insert_with(Limits::usual).backoff = backoff;
        self
    }

    /// How many young failures of one slot are too many. One more, and it is parked.
    pub fn intensity(mut self, intensity: Intensity) -> OneForOne {
        self.limits.get_or_insert_with(Limits::usual).slot = intensity;
        self
    }

    /// How long a parked slot waits for its next chance.
    pub fn probe(mut self, probe: Backoff) -> OneForOne {
        self.limits.get_or_insert_with(Limits::usual).probe = probe;
        self
    }

    /// How many failures of any age of the whole role are too many. Beyond, every restart of the role backs off.
    pub fn role_intensity(mut self, intensity: Intensity) -> OneForOne {
        self.limits.get_or_insert_with(Limits::usual).role = intensity;
        self
    }

    /// No limit: every end is followed by a restart after the plain delay, for ever. For those who would rather burn a
    /// core than wait.
    pub fn unlimited(mut self) -> OneForOne {
        self.limits = None;
        self
    }

    fn after_exit(&self, exit: Option<&Exit>, view: &View<'_>, dice: &mut Dice) -> Directive {
        let clean = exit.is_some_and(Exit::is_clean);
        match self.restart {
            RestartType::Temporary => return Directive::Remove,
            RestartType::Transient if clean => return Directive::Remove,
            RestartType::Transient | RestartType::Permanent => {}
        }
        if exit.is_some_and(|exit| PERMANENT.iter().any(|&code| exit.status == ExitStatus::Code(code))) {
            return Directive::Park { probe: None };
        }
        let Some(limits) = &self.limits else {
            return Directive::Restart { after: self.delay };
        };
        if self.is_over(limits, view) {
            return Directive::Park { probe: Some(limits.probe.delay(view.parked + 1, dice)) };
        }
        let young = self.young_in_a_row(view);
        let own = match limits.first_free {
            true => self.delay.max(limits.backoff.delay(young.saturating_sub(1), dice)),
            false => self.delay.max(limits.backoff.delay(young, dice)),
        };
        Directive::Restart { after: own.max(limits.throttle(view, dice)) }
    }

    /// Whether this failure, a young one, is one too many. Who was parked and fails young again has no new credit.
    fn is_over(&self, limits: &Limits, view: &View<'_>) -> bool {
        if !view.failure.is_young(self.stable_after) {
            return false;
        }
        let earlier = view.history.within(limits.slot.period, view.now);
        let young = 1 + earlier.filter(|failure| failure.is_young(self.stable_after)).count();
        view.parked > 0 || young > limits.slot.restarts
    }

    /// How many young failures this one makes without a healthy life between them.
    fn young_in_a_row(&self, view: &View<'_>) -> usize {
        if !view.failure.is_young(self.stable_after) {
            return 0;
        }
        1 + view.history.iter().rev().take_while(|failure| failure.is_young(self.stable_after)).count()
    }
}

impl Limits {
    fn usual() -> Limits {
        Limits {
            backoff: Backoff::doubling(Duration::from_millis(100), secs(10)),
            first_free: true,
            slot: Intensity::new(5, secs(30)),
            probe: Backoff::doubling(secs(1), secs(30)),
            role: Intensity::new(60, secs(60)),
        }
    }

    /// The delay that a role over its limit puts on every restart: its members fall one after the other, and a new
    /// one would only be the next.
    fn throttle(&self, view: &View<'_>, dice: &mut Dice) -> Duration {
        let failures = 1 + view.role_history.within(self.role.period, view.now).count();
        self.backoff.delay(failures.saturating_sub(self.role.restarts), dice)
    }
}

impl Strategy for OneForOne {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Directive {
        match fact {
            Fact::Exception(_) => match (self.exception, &self.limits) {
                (OnException::Ignore, _) => Directive::Ignore,
                // A sick worker beats none: over its limit it stays in service.
                (OnException::Replace { .. }, Some(limits)) if self.is_over(limits, view) => Directive::Ignore,
                (OnException::Replace { drain }, _) => match self.restart {
                    RestartType::Temporary => Directive::Remove,
                    RestartType::Permanent | RestartType::Transient => Directive::Replace { drain },
                },
            },
            Fact::Exited(exit) => self.after_exit(Some(exit), view, dice),
            Fact::BootFailed(BootFailure::Ended(exit)) => self.after_exit(Some(exit), view, dice),
            // Its status says how we ended it, not how it was.
            Fact::BootFailed(BootFailure::TimedOut { .. } | BootFailure::LinkLost { .. }) | Fact::LinkLost(_) => {
                self.after_exit(None, view, dice)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fact::{Exception, ExceptionKind};
    use super::super::history::{Failure, History};
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

        fn answer(&self, fact: Fact<'_>, now: u64, ready_for: Option<u64>) -> Directive {
            let failure = |secs: u64, ready: Option<u64>| Failure {
                at: Moment::from_start(super::secs(secs)),
                ready_for: ready.map(Duration::from_millis),
            };
            let (mut history, mut role_history) = (History::default(), History::default());
            for &(secs, ready) in &self.past {
                history.record(failure(secs, ready));
            }
            for _ in 0..self.role_past {
                role_history.record(failure(now, Some(5_000)));
            }
            let view = View {
                now: Moment::from_start(super::secs(now)),
                slot: Slot::worker(0),
                failure: failure(now, ready_for),
                history: &history,
                role_history: &role_history,
                parked: self.parked,
            };
            self.strategy.decide(&fact, &view, &mut Dice::seeded(0))
        }

        fn exit(&self, now: u64, ready_for: Option<u64>) -> Directive {
            self.answer(Fact::Exited(&Exit::signal(9)), now, ready_for)
        }
    }

    fn restart(millis: u64) -> Directive {
        Directive::Restart { after: Duration::from_millis(millis) }
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
            assert_eq!(table.answer(Fact::Exited(&exit), 0, STABLE), for_good);
            assert_eq!(table.answer(Fact::BootFailed(&BootFailure::Ended(exit)), 0, None), for_good);
        }
        assert_eq!(Table::of(OneForOne::worker()).answer(Fact::Exited(&Exit::code(65)), 0, STABLE), restart(0));
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
            assert_eq!(table.answer(Fact::Exited(exit), 0, STABLE), expected, "{kind:?} {exit}");
        }
    }

    #[test]
    fn an_exception_replaces_a_worker_and_leaves_the_agent_alone() {
        let exception = Exception::new(ExceptionKind::Panic, "boom");
        let fact = Fact::Exception(&exception);
        let replace = Directive::Replace { drain: secs(30) };
        assert_eq!(Table::of(OneForOne::worker()).answer(fact, 0, STABLE), replace);
        assert_eq!(Table::of(OneForOne::worker()).answer(fact, 0, YOUNG), replace);
        assert_eq!(Table::of(OneForOne::agent()).answer(fact, 0, STABLE), Directive::Ignore);
        let temporary = OneForOne::worker().restart(RestartType::Temporary);
        assert_eq!(Table::of(temporary).answer(fact, 0, STABLE), Directive::Remove);
    }

    #[test]
    fn a_worker_over_its_limit_stays_in_service() {
        let exception = Exception::new(ExceptionKind::Panic, "boom");
        let past: Vec<_> = (0..5).map(|secs| (secs, YOUNG)).collect();
        let table = Table::of(OneForOne::worker()).past(&past);
        assert_eq!(table.answer(Fact::Exception(&exception), 6, YOUNG), Directive::Ignore);
        let replace = Directive::Replace { drain: secs(30) };
        assert_eq!(
            table.answer(Fact::Exception(&exception), 6, STABLE),
            replace,
            "a stable one always has a successor"
        );
        assert_eq!(table.answer(Fact::Exception(&exception), 60, YOUNG), replace, "the window has passed");
    }

    #[test]
    fn a_boot_that_timed_out_counts_as_a_young_death() {
        let failure = BootFailure::TimedOut { allowed: secs(60), exit: Exit::signal(9) };
        let table = Table::of(OneForOne::worker()).past(&[(0, None)]);
        assert_eq!(table.answer(Fact::BootFailed(&failure), 5, None), restart(100));
    }
}
