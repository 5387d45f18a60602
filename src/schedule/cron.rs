//! Cron expressions: which moments of the calendar one names.

use croner::Cron;
use croner::parser::CronParser;
use jiff::tz::TimeZone;

use super::wall::Wall;

/// A cron expression in its time zone.
#[derive(Clone, Debug)]
pub(super) struct CronTimes {
    cron: Cron,
    zone: TimeZone,
}

/// The fields of an expression that has all of them. One of five begins with the minute, one of six with the second.
const FIELDS: [&str; 7] = ["second", "minute", "hour", "day of month", "month", "day of week", "year"];

impl CronTimes {
    /// # Errors
    /// What is wrong with it, and with which field.
    pub(super) fn parse(expression: &str, zone: TimeZone) -> Result<CronTimes, String> {
        let parser = CronParser::new();
        let cron =
            parser.parse(expression).map_err(|error| culprit(&parser, expression, &plain(&error.to_string())))?;
        let times = CronTimes { cron, zone };
        // February has no 30th day.
        match times.next(LONG_AGO) {
            Some(_) => Ok(times),
            None => Err("it names no moment that there is".to_owned()),
        }
    }

    /// The first moment after this one. `None`: there is none.
    pub(super) fn next(&self, after: Wall) -> Option<Wall> {
        // The fraction of a second is no part of what is looked for.
        let whole = Wall(after.0.div_euclid(1_000) * 1_000);
        let found = self.cron.find_next_occurrence(&whole.in_zone(&self.zone)?, false).ok()?;
        Some(Wall::from(&found))
    }

    /// The latest moment before this one. `None`: there is none.
    pub(super) fn previous(&self, before: Wall) -> Option<Wall> {
        let whole = Wall(before.0.saturating_add(999).div_euclid(1_000) * 1_000);
        let found = self.cron.find_previous_occurrence(&whole.in_zone(&self.zone)?, false).ok()?;
        Some(Wall::from(&found))
    }
}

/// The first moment of the year 2000: an expression that names none since then names none.
const LONG_AGO: Wall = Wall(946_684_800_000);

/// Which field an expression fails by: each is tried alone.
fn culprit(parser: &CronParser, expression: &str, error: &str) -> String {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let names = match fields.len() {
        5 => &FIELDS[1..6],
        6 => &FIELDS[..6],
        7 => &FIELDS[..],
        1 if expression.trim().starts_with('@') => return error.to_owned(),
        count => return format!("it has {count} fields, and there are 5 to 7: {}", FIELDS.join(", ")),
    };
    for (position, (name, field)) in names.iter().zip(&fields).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        alone[position] = field;
        if let Err(error) = parser.parse(&alone.join(" ")) {
            return format!("{name} {field:?}: {}", plain(&error.to_string()));
        }
    }
    error.to_owned()
}

/// As a part of a longer sentence.
fn plain(error: &str) -> String {
    let text = error.trim_end_matches('.');
    let text = text.strip_prefix("Component error: ").unwrap_or(text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(expression: &str, zone: &str) -> CronTimes {
        CronTimes::parse(expression, TimeZone::get(zone).expect("it is known")).expect("it is good")
    }

    fn wall(text: &str) -> Wall {
        Wall(text.parse::<jiff::Timestamp>().expect("a timestamp").as_millisecond())
    }

    #[track_caller]
    fn follow(times: &CronTimes, after: &str, expected: &[&str]) {
        let mut at = wall(after);
        for expected in expected {
            at = times.next(at).expect("there is one");
            assert_eq!(at, wall(expected), "expected {expected}, found {:?}", jiff::Timestamp::from_millisecond(at.0));
        }
        let mut back = times.next(at).expect("there is one more");
        for expected in expected.iter().rev() {
            back = times.previous(back).expect("there is one");
            assert_eq!(back, wall(expected), "backwards");
        }
    }

    #[test]
    fn what_is_wrong_with_an_expression_is_said_of_its_field() {
        let error = |expression| CronTimes::parse(expression, TimeZone::UTC).map(drop).expect_err(expression);
        let told: Vec<_> =
            ["0 25 * * *", "61 * * * * *", "* * * 13 *", "* * * * MOO", "0 0 30 2 *", "* *", ""].map(error).into();
        assert!(told[0].starts_with("hour \"25\": "), "{told:?}");
        assert!(told[1].starts_with("second \"61\": "), "{told:?}");
        assert!(told[2].starts_with("month \"13\": "), "{told:?}");
        assert!(told[3].starts_with("day of week \"MOO\": "), "{told:?}");
        assert_eq!(told[4], "it names no moment that there is");
        assert!(told[5].starts_with("it has 2 fields, and there are 5 to 7: "), "{told:?}");
        assert!(told[6].starts_with("it has 0 fields"), "{told:?}");
    }

    #[test]
    fn seconds_the_last_day_and_the_nth_weekday_are_understood() {
        let seconds = times("*/20 * * * * *", "UTC");
        follow(&seconds, "2026-01-01T00:00:39.5Z", &["2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"]);
        follow(&times("0 0 L * *", "UTC"), "2026-02-01T00:00:00Z", &["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
        let second_friday = times("0 9 * * FRI#2", "UTC");
        follow(&second_friday, "2026-01-01T00:00:00Z", &["2026-01-09T09:00:00Z", "2026-02-13T09:00:00Z"]);
    }

    #[test]
    fn a_daily_time_that_a_day_does_not_have_is_the_first_after_the_gap() {
        // In Berlin 02:00 to 03:00 of 29 March 2026 is left out.
        let daily = times("30 2 * * *", "Europe/Berlin");
        let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        follow(&daily, "2026-03-28T00:00:00Z", &expected);
    }

    #[test]
    fn a_daily_time_that_a_day_has_twice_is_the_first_of_both() {
        // In Berlin 02:00 to 03:00 of 25 October 2026 comes twice.
        let daily = times("30 2 * * *", "Europe/Berlin");
        let expected = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        follow(&daily, "2026-10-24T00:00:00Z", &expected);
    }

    #[test]
    fn what_is_every_half_hour_is_so_over_both_changes() {
        let often = times("*/30 * * * *", "Europe/Berlin");
        follow(&often, "2026-03-29T00:30:00Z", &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
        let expected = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"];
        follow(&often, "2026-10-25T00:00:00Z", &expected);
    }
}
