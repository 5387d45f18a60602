//! What happens to bytes without anybody's fault, by the dice: short reads, short writes, a moment on the way. And a sum of
//! all that is sent, which two runs of a seed must have in common.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::world::mix;
use crate::loopback::Weather;
use crate::supervision::Dice;

/// The weather of one pipe.
pub(super) struct Breeze {
    dice: Dice,
    of: Carrier,
    traffic: Arc<Traffic>,
}

/// What a pipe is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// A link, which carries what members say.
    Link,
    /// A connection of a client. Its bytes may be dated: HTTP servers write the time of day into each answer. So only their
    /// number counts.
    Connection,
}

/// The sum of what has been sent, in order.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<u64>);

impl Traffic {
    pub(super) fn sum(&self) -> u64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, of: Carrier, bytes: &[u8]) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = mix(*sum ^ bytes.len() as u64);
        match of {
            Carrier::Link => *sum = folded(*sum, bytes),
            Carrier::Connection => {}
        }
    }
}

/// Goes on with a sum, eight bytes at a time: it is made of every byte of every link, also in builds without optimization.
fn folded(sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(sum, |sum, word| mix(sum ^ u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mix(sum ^ u64::from(*byte)))
}

impl Breeze {
    pub(super) fn of(dice: Dice, of: Carrier, traffic: &Arc<Traffic>) -> Box<dyn Weather> {
        Box::new(Breeze { dice, of, traffic: traffic.clone() })
    }
}

impl Weather for Breeze {
    fn portion(&mut self, offered: usize) -> usize {
        match self.dice.below(16) {
            // The head of a frame has up to 32 bytes: cuts within it are the ones that find something.
            0 => 1 + self.dice.below(offered.min(40)),
            1 => 1 + self.dice.below(offered),
            _ => offered,
        }
    }

    fn delay(&mut self) -> Option<Duration> {
        (self.dice.below(32) == 0).then(|| Duration::from_micros(self.dice.below(3_000) as u64))
    }

    fn carries(&mut self, bytes: &[u8]) {
        self.traffic.add(self.of, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_of_every_byte_of_a_link_in_order_and_of_the_number_of_those_of_a_connection() {
        let sum = |of: Carrier, sent: &[&[u8]]| {
            let traffic = Traffic::default();
            sent.iter().for_each(|bytes| traffic.add(of, bytes));
            traffic.sum()
        };
        let (link, connection) = (Carrier::Link, Carrier::Connection);
        let whole: [&[u8]; 1] = [b"0123456789"];
        for other in [[&b"0123456780"[..]], [b"1123456789"], [b"012345678"]] {
            assert_ne!(sum(link, &whole), sum(link, &other));
        }
        assert_eq!(sum(link, &whole), sum(link, &whole));
        assert_ne!(sum(link, &[b"a", b"b"]), sum(link, &[b"b", b"a"]));
        assert_eq!(sum(connection, &whole), sum(connection, &[b"9876543210"]));
        assert_ne!(sum(connection, &whole), sum(connection, &[b"98765", b"43210"]));
    }
}
