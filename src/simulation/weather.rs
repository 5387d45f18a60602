//! What happens to bytes without anybody's fault, by the dice: short reads, short writes, a moment on the way.

use std::time::Duration;

use crate::loopback::Weather;
use crate::supervision::Dice;

/// The weather of one pipe.
pub(super) struct Breeze(Dice);

impl Breeze {
    pub(super) fn of(dice: Dice) -> Box<dyn Weather> {
        Box::new(Breeze(dice))
    }
}

impl Weather for Breeze {
    fn portion(&mut self, offered: usize) -> usize {
        match self.0.below(16) {
            // The head of a frame has up to 32 bytes: cuts within it are the ones that find something.
            0 => 1 + self.0.below(offered.min(40)),
            1 => 1 + self.0.below(offered),
            _ => offered,
        }
    }

    fn delay(&mut self) -> Option<Duration> {
        (self.0.below(32) == 0).then(|| Duration::from_micros(self.0.below(3_000) as u64))
    }
}
