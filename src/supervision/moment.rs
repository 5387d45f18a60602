//! Time as the core sees it: how long the master has been up. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in monotonic time, counted from the start of the master.
///
/// Not a wall clock: it does not jump, and two of them are only comparable within one cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(Duration);

impl Moment {
    /// When the master started.
    pub const START: Moment = Moment(Duration::ZERO);

    /// The moment `since_start` after the start of the master.
    pub const fn from_start(since_start: Duration) -> Moment {
        Moment(since_start)
    }

    /// This long before. The start, if that would be before it.
    pub(super) fn less(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(span))
    }

    /// How long the master had been up.
    pub const fn since_start(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    /// Saturates: a deadline of `Duration::MAX` is one that never comes.
    fn add(self, later: Duration) -> Moment {
        Moment(self.0.saturating_add(later))
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// Zero when `earlier` is the later one: reports may come out of order.
    fn sub(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}.{:06}s", self.0.as_secs(), self.0.subsec_micros())
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.0)
    }
}
