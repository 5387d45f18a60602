//! Plans by chance: few roles with few slots, and settings that are round, so that moments meet.

use std::time::Duration;

use proptest::prelude::{any, prop, prop_oneof};
use proptest::strategy::{Just, Strategy};

use super::super::{Backoff, Intensity, OnException, OneForOne, RestartType, RolePlan};
use crate::identity::Role;

/// A role in numbers, as the model reads them.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) role: Role,
    pub(super) count: u16,
    pub(super) most: u16,
    pub(super) overlap: bool,
    pub(super) ready_timeout: Duration,
    pub(super) stop_timeout: Duration,
    pub(super) give_up_after: Duration,
    pub(super) restart: RestartType,
    /// How long one drains after an exception. `None`: exceptions are ignored.
    pub(super) drain: Option<Duration>,
    pub(super) stable_after: Duration,
    pub(super) delay: Duration,
    /// Whether the first young failure in a row costs nothing: so it is with workers, and not with agents.
    pub(super) first_free: bool,
    pub(super) backoff: (u64, u64),
    pub(super) probe: (u64, u64),
    /// In hundredths.
    pub(super) jitter: u32,
    pub(super) limit: Intensity,
    pub(super) role_limit: Intensity,
}

const ROLES: [Role; 3] = [Role::AGENT, Role::new(1, "cache"), Role::WORKER];

pub(super) fn plans() -> impl Strategy<Value = Vec<Settings>> {
    let roles = prop_oneof![2 => Just(&[2][..]), 3 => Just(&[0, 2][..]), 1 => Just(&[0, 1, 2][..])];
    roles.prop_flat_map(|roles| roles.iter().map(|&role| settings(ROLES[role])).collect::<Vec<_>>())
}

fn millis(of: &'static [u64]) -> impl Strategy<Value = Duration> + Clone {
    prop::sample::select(of).prop_map(Duration::from_millis)
}

fn settings(role: Role) -> impl Strategy<Value = Settings> {
    let size = (1..=3u16, any::<bool>(), any::<bool>());
    let patience = (millis(&[10_000, 1_000]), millis(&[5_000, 1_000]), millis(&[60_000, 10_000, 1_500]));
    let restart = prop_oneof![
        6 => Just(RestartType::Permanent),
        2 => Just(RestartType::Transient),
        1 => Just(RestartType::Temporary)
    ];
    let drain = prop_oneof![3 => millis(&[30_000, 3_000]).prop_map(Some), 1 => Just(None)];
    let ends = (restart, drain, millis(&[1_000, 500, 3_000]), millis(&[0, 1_000]));
    let backoff = (prop::sample::select(&[0, 20][..]), prop::sample::select(&[(100, 10_000), (1_000, 3_000)][..]));
    let limit = (0..=5usize, millis(&[30_000, 5_000])).prop_map(|(restarts, period)| Intensity { restarts, period });
    let role_limit = (prop::sample::select(&[60usize, 2][..]), millis(&[60_000, 5_000]))
        .prop_map(|(restarts, period)| Intensity { restarts, period });
    let probe = prop::sample::select(&[(1_000, 30_000), (500, 1_000)][..]);
    (size, patience, ends, backoff, limit, role_limit, probe).prop_map(
        move |(
            (count, overlap, first_free),
            (ready_timeout, stop_timeout, give_up_after),
            (restart, drain, stable_after, delay),
            (jitter, backoff),
            limit,
            role_limit,
            probe,
        )| Settings {
            role,
            count,
            most: 4,
            overlap,
            ready_timeout,
            stop_timeout,
            give_up_after,
            restart,
            drain,
            stable_after,
            delay,
            first_free,
            backoff,
            probe,
            jitter,
            limit,
            role_limit,
        },
    )
}

impl Settings {
    /// Between what and what a delay lies after so many failures.
    pub(super) fn after(&self, (base, max): (u64, u64), failures: usize) -> (Duration, Duration) {
        let Some(doublings) = failures.checked_sub(1) else { return (Duration::ZERO, Duration::ZERO) };
        let delay = Duration::from_millis(base.saturating_mul(1 << doublings.min(20)).min(max));
        let share = delay * self.jitter / 100;
        // What is drawn is rounded.
        let rounded = if share.is_zero() { Duration::ZERO } else { Duration::from_micros(1) };
        (delay - share - rounded, delay + share + rounded)
    }

    /// Whether one who was ready for so long, if at all, was no good yet.
    pub(super) fn is_young(&self, served: Option<Duration>) -> bool {
        served.is_none_or(|served| served < self.stable_after)
    }

    pub(super) fn plan(&self) -> RolePlan {
        let backoff = |(base, max)| Backoff {
            base: Duration::from_millis(base),
            max: Duration::from_millis(max),
            jitter: f64::from(self.jitter) / 100.0,
        };
        let strategy = if self.first_free { OneForOne::worker() } else { OneForOne::agent() };
        let strategy = strategy
            .restart(self.restart)
            .on_exception(self.drain.map_or(OnException::Ignore, |drain| OnException::Replace { drain }))
            .stable_after(self.stable_after)
            .delay(self.delay)
            .backoff(backoff(self.backoff))
            .probe(backoff(self.probe))
            .intensity(self.limit)
            .role_intensity(self.role_limit);
        RolePlan {
            max_count: self.most,
            overlap: self.overlap,
            ready_timeout: self.ready_timeout,
            stop_timeout: self.stop_timeout,
            give_up_after: self.give_up_after,
            ..RolePlan::new(self.role, self.count, strategy)
        }
    }
}
