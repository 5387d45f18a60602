//! Moments as lines and files are dated by.

use std::cell::RefCell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// By whose clock.
#[derive(Debug)]
pub(super) struct Stamp {
    zone: TimeZone,
}

thread_local! {
    /// The last second that was written on this thread, as which text, and of which zone: looking one up takes ten times as long
    /// as writing it down again.
    static SECOND: RefCell<Option<Second>> = const { RefCell::new(None) };
}

struct Second {
    zone: TimeZone,
    at: i64,
    /// Up to the second.
    text: String,
    /// `Z`, or how far it is from UTC.
    offset: String,
}

impl Second {
    fn write(&self, millis: u32, out: &mut impl fmt::Write) -> fmt::Result {
        let digit = |n: u32| char::from(b'0' + (n % 10) as u8);
        out.write_str(&self.text)?;
        out.write_char('.')?;
        out.write_char(digit(millis / 100))?;
        out.write_char(digit(millis / 10))?;
        out.write_char(digit(millis))?;
        out.write_str(&self.offset)
    }
}

impl Stamp {
    pub(super) fn new(zone: TimeZone) -> Stamp {
        Stamp { zone }
    }

    pub(super) fn utc() -> Stamp {
        Stamp::new(TimeZone::UTC)
    }

    /// Writes a moment as RFC 3339 has it, to the millisecond.
    pub(super) fn write(&self, at: SystemTime, out: &mut impl fmt::Write) -> fmt::Result {
        let (second, millis) = split(at);
        let mut wrote = None;
        // A thread that is ending may have none any more.
        let _ = SECOND.try_with(|last| {
            let mut last = last.try_borrow_mut().ok()?;
            let known = match &mut *last {
                Some(known) if known.at == second && known.zone == self.zone => known,
                other => other.insert(self.second(second)),
            };
            wrote = Some(known.write(millis, out));
            Some(())
        });
        wrote.unwrap_or_else(|| self.second(second).write(millis, out))
    }

    fn second(&self, at: i64) -> Second {
        let (text, offset) = match Timestamp::from_second(at) {
            Ok(moment) if self.zone == TimeZone::UTC => {
                (moment.strftime("%Y-%m-%dT%H:%M:%S").to_string(), "Z".to_owned())
            }
            Ok(moment) => {
                let shown = moment.to_zoned(self.zone.clone());
                (shown.strftime("%Y-%m-%dT%H:%M:%S").to_string(), shown.strftime("%:z").to_string())
            }
            // No calendar goes so far.
            Err(_) => (at.to_string(), "s".to_owned()),
        };
        Second { zone: self.zone.clone(), at, text, offset }
    }

    /// The day.
    pub(super) fn day(&self, at: SystemTime) -> Date {
        let (second, _) = split(at);
        let moment = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        moment.to_zoned(self.zone.clone()).date()
    }
}

/// Seconds since the beginning of 1970, and what there is of the next one in milliseconds.
fn split(at: SystemTime) -> (i64, u32) {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_millis()),
        // A clock that was never set.
        Err(_) => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(stamp: &Stamp, millis: u64) -> String {
        let mut text = String::new();
        stamp.write(UNIX_EPOCH + Duration::from_millis(millis), &mut text).expect("a string takes all");
        text
    }

    #[test]
    fn a_moment_is_dated_by_its_zone_and_two_zones_do_not_mix() {
        let utc = Stamp::new(TimeZone::UTC);
        let shanghai = Stamp::new(TimeZone::get("Asia/Shanghai").expect("it is in the database"));
        let late = 1_772_323_200_000 + 20 * 3_600_000 + 7;
        assert_eq!(written(&utc, late), "2026-03-01T20:00:00.007Z");
        assert_eq!(written(&shanghai, late), "2026-03-02T04:00:00.007+08:00");
        assert_eq!(written(&utc, late + 991), "2026-03-01T20:00:00.998Z");
        assert_eq!(written(&utc, late + 1_000), "2026-03-01T20:00:01.007Z");
        let at = UNIX_EPOCH + Duration::from_millis(late);
        assert_eq!((utc.day(at).to_string(), shanghai.day(at).to_string()), ("2026-03-01".into(), "2026-03-02".into()));
        assert_eq!(
            utc.day(UNIX_EPOCH - Duration::from_secs(9)).to_string(),
            "1970-01-01",
            "a clock that was never set"
        );
    }
}
