//! Moments of the calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

/// A moment of the calendar, in milliseconds since the beginning of 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Wall(pub(super) i64);

impl Wall {
    /// So much later. The end of all calendars is the latest.
    pub(super) fn plus(self, span: Duration) -> Wall {
        Wall(self.0.saturating_add(millis(span)))
    }

    /// How long it is since `earlier`. Nothing, if that is later.
    pub(super) fn since(self, earlier: Wall) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// What a clock on the wall shows there. `None`: no calendar goes so far.
    pub(super) fn in_zone(self, zone: &TimeZone) -> Option<Zoned> {
        Timestamp::from_millisecond(self.0).ok().map(|at| at.to_zoned(zone.clone()))
    }
}

/// Rounded up: what is to be later than now is.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Wall {
    fn from(at: SystemTime) -> Wall {
        match at.duration_since(UNIX_EPOCH) {
            Ok(after) => Wall(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Wall(-millis(before.duration())),
        }
    }
}

impl From<Wall> for SystemTime {
    fn from(Wall(millis): Wall) -> SystemTime {
        let span = Duration::from_millis(millis.unsigned_abs());
        let at = if millis < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
        at.unwrap_or(UNIX_EPOCH)
    }
}

impl From<&Zoned> for Wall {
    fn from(at: &Zoned) -> Wall {
        Wall(at.timestamp().as_millisecond())
    }
}
