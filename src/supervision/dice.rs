//! Chance, as an argument. The master throws these dice, and a test that knows the seed knows every throw.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

/// A seeded source of chance. The same seed gives the same throws on every machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dice(Pcg64Mcg);

impl Dice {
    /// Dice whose every throw follows from `seed`.
    pub fn seeded(seed: u64) -> Dice {
        Dice(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A number below `bound`, each equally likely.
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    /// `around`, moved by up to `share` of itself in either direction, so that those who fail together do not
    /// come back together.
    pub fn jitter(&mut self, around: Duration, share: f64) -> Duration {
        if around.is_zero() || share <= 0.0 {
            return around;
        }
        let share = share.min(1.0);
        let moved = around.as_secs_f64() * self.0.random_range(1.0 - share..=1.0 + share);
        // Longer than can be told is for ever.
        Duration::try_from_secs_f64(moved).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_share_and_spreads() {
        let mut dice = Dice::seeded(7);
        let throws: Vec<_> = (0..200).map(|_| dice.jitter(Duration::from_millis(100), 0.2)).collect();
        assert!(throws.iter().all(|t| (80..=120).contains(&t.as_millis())), "{throws:?}");
        assert!(throws.iter().any(|t| t.as_millis() < 90) && throws.iter().any(|t| t.as_millis() > 110));
    }

    #[test]
    fn where_nothing_is_to_be_moved_no_dice_are_thrown() {
        let mut dice = Dice::seeded(7);
        // More digits than a float has.
        let long = Duration::from_nanos((1 << 60) + 1);
        for (around, share) in [(Duration::ZERO, 0.2), (long, 0.0), (long, -0.2)] {
            assert_eq!(dice.jitter(around, share), around, "{around:?} by {share}");
        }
        assert_eq!(dice.below(1 << 30), Dice::seeded(7).below(1 << 30));
    }

    #[test]
    fn a_time_without_end_is_none_however_it_is_moved() {
        let mut dice = Dice::seeded(7);
        let throws: Vec<_> = (0..200).map(|_| dice.jitter(Duration::MAX, 0.2)).collect();
        assert!(throws.iter().all(|&t| t >= Duration::MAX.mul_f64(0.79)), "{throws:?}");
        assert!(throws.contains(&Duration::MAX));
    }

    #[test]
    fn the_same_seed_throws_the_same() {
        let throws = |seed| {
            let mut dice = Dice::seeded(seed);
            (0..20).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
    }
}
