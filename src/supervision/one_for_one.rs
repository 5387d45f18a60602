//! The built-in strategy: each member stands for itself. Restarts at once those who had been of use, slows down those
//! who were not, and puts aside the hopeless.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::answer::{Answer, Directive, Scope};
use super::backoff::Backoff;
use super::dice::Dice;
use super::fact::{BootFailure, Exit, ExitStatus, Fact};
use super::history::Intensity;
use super::restart_type::RestartType;
use super::strategy::{Misfit, Strategy};
use super::view::View;

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
const PERMANENT: &[i32] = &[64, 78];

/// Restarts the member that failed, and nobody else.
#[derive(Clone, Debug)]
pub struct OneForOne {
    restart: RestartType,
    exception: OnException,
    /// A failure of one who had been ready for this long is bad luck; of a younger one, a sign.
    stable_after: Duration,
    /// The delay before every restart.
    delay: Duration,
    /// Who exits with one of these is parked for good.
    permanent: Vec<i32>,
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
            permanent: PERMANENT.to_vec(),
            limits: Some(Limits::usual()),
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
            permanent: PERMANENT.to_vec(),
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

    /// The exit codes that no restart can mend: who exits with one of them is parked, and not tried again. Default 64 and
    /// 78, `EX_USAGE` and `EX_CONFIG` of sysexits.
    pub fn permanent_codes(mut self, codes: impl IntoIterator<Item = i32>) -> OneForOne {
        self.permanent = codes.into_iter().collect();
        self
    }

    /// No limit: every end is followed by a restart after the plain delay, for ever. For those who would rather burn a
    /// core than wait.
    pub fn unlimited(mut self) -> OneForOne {
        self.limits = None;
        self
    }

    /// The times that it was set to, with the names of their settings. No delay before a restart is none of them.
    pub(crate) fn times(&self) -> Vec<(&'static str, Duration)> {
        let mut times = vec![("stable_after", self.stable_after)];
        if !self.delay.is_zero() {
            times.push(("restart_delay", self.delay));
        }
        match self.exception {
            OnException::Replace { drain } => times.push(("the drain of on_exception", drain)),
            OnException::Ignore => {}
        }
        if let Some(Limits { backoff, first_free: _, slot, probe, role }) = &self.limits {
            times.extend([
                ("the base of backoff", backoff.base),
                ("the max of backoff", backoff.max),
                ("the period of restart_limit", slot.period),
                ("the base of probe", probe.base),
                ("the max of probe", probe.max),
                ("the period of role_restart_limit", role.period),
            ]);
        }
        times
    }

    /// How many young failures of a slot it follows with a restart, and from when on a failure is not young. `None`: it has
    /// no limits. For those who hold it to that.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn budget(&self) -> Option<(Intensity, Duration)> {
        self.limits.as_ref().map(|limits| (limits.slot, self.stable_after))
    }

    fn after_exit(&self, exit: Option<&Exit>, view: &View<'_>, dice: &mut Dice) -> Directive {
        if !self.restart.restarts(exit) {
            return Directive::Remove;
        }
        if exit.is_some_and(|exit| self.permanent.iter().any(|&code| exit.status == ExitStatus::Code(code))) {
            return Directive::Park { probe: None };
        }
        let Some(limits) = &self.limits else {
            return Directive::Restart { scope: Scope::One, after: self.delay };
        };
        if self.is_over(limits, view) {
            return Directive::Park { probe: Some(limits.probe.delay(view.parked + 1, dice)) };
        }
        let young = self.young_in_a_row(view);
        let own = match limits.first_free {
            true => self.delay.max(limits.backoff.delay(young.saturating_sub(1), dice)),
            false => self.delay.max(limits.backoff.delay(young, dice)),
        };
        Directive::Restart { scope: Scope::One, after: own.max(limits.throttle(view, dice)) }
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
        let failures = 1 + view.role_history.count_within(self.role.period, view.now);
        self.backoff.delay(failures.saturating_sub(self.role.restarts), dice)
    }
}

impl Strategy for OneForOne {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        let directive = match fact {
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
            // Its status says how we ended it, or will, and not how it was.
            Fact::BootFailed(BootFailure::TimedOut { .. } | BootFailure::LinkLost { .. })
            | Fact::LinkLost(_)
            | Fact::Unresponsive(_) => self.after_exit(None, view, dice),
        };
        directive.into()
    }

    fn restart_type(&self) -> Option<RestartType> {
        Some(self.restart)
    }

    fn check(&self) -> Result<(), Misfit> {
        match self.times().into_iter().find(|(_, time)| time.is_zero()) {
            Some((setting, _)) => Err(Misfit::new(setting, "it must be longer than nothing")),
            None => Ok(()),
        }
    }
}
