//! How long to wait before trying again: a count of failures in, a delay out.

use std::time::Duration;

use super::dice::Dice;

/// A delay that doubles with every failure in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub base: Duration,
    /// No delay is longer, jitter aside.
    pub max: Duration,
    /// The share of the delay by which chance moves it, 0 to 1.
    pub jitter: f64,
}

impl Backoff {
    /// Doubles from `base` up to `max`, moved by up to a fifth.
    pub const fn doubling(base: Duration, max: Duration) -> Backoff {
        Backoff { base, max, jitter: 0.2 }
    }

    /// The delay after the `failures`th failure in a row. None of them is no delay.
    pub fn delay(&self, failures: usize, dice: &mut Dice) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        // 2^31 times anything is beyond every sensible maximum.
        let factor = 1u32 << doublings.min(31);
        dice.jitter(self.base.saturating_mul(factor).min(self.max), self.jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_its_limit() {
        let backoff = Backoff { jitter: 0.0, ..Backoff::doubling(Duration::from_millis(100), Duration::from_secs(10)) };
        let delay = |failures| backoff.delay(failures, &mut Dice::seeded(0)).as_millis();
        assert_eq!([0, 1, 2, 3, 7, 8, 9, 1000].map(delay), [0, 100, 200, 400, 6_400, 10_000, 10_000, 10_000]);
    }
}
