//! What users say of a schedule, and what is wrong with it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

use super::course::Rules;
use super::cron::CronTimes;
use super::timetable::{Timetable, Trigger};
use crate::identity::Role;

/// When something is to be done, where, and what happens when that cannot be: to be given to
/// [`Hatchery::schedule`](crate::Hatchery::schedule) with what is to be done, or to [`Schedules::add`](super::Schedules::add).
///
/// Unless it says otherwise, a schedule runs on one ready worker, which the master chooses; no two of its runs overlap; a run
/// may take an hour; one that fails is not repeated; and of the ticks that were missed while the agent was away, the last is
/// made up for.
#[derive(Clone)]
#[must_use = "a schedule does nothing until it is given to a plan"]
pub struct Schedule {
    when: When,
    zone: Zone,
    start: Option<SystemTime>,
    end: Option<SystemTime>,
    immediate: bool,
    place: Place<String>,
    overlap: Overlap,
    missed: Missed,
    deadline: Duration,
    retry: Option<Retry>,
    jitter: Duration,
    condition: Option<Condition>,
}

#[derive(Clone, Debug)]
enum When {
    Cron(String),
    Every(Duration),
    AfterEach(Duration),
    Once,
}

#[derive(Clone, Debug)]
enum Zone {
    Utc,
    Local,
    Named(String),
}

/// Where runs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<R> {
    /// One ready member of the role, chosen by the master.
    One(R),
    /// Every member of the role that is ready.
    All(R),
}

/// What holds whether ticks count.
pub(super) type Condition = Arc<dyn Fn() -> bool + Send + Sync>;

/// What becomes of a tick while a run of the same schedule has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is not run.
    #[default]
    Skip,
    /// It is run when there is room; a second one is not.
    QueueOne,
    /// It is run beside the others, as long as there are no more than so many.
    Allow(usize),
}

impl Overlap {
    /// How many may run at once.
    pub(super) fn most(self) -> usize {
        match self {
            Overlap::Skip | Overlap::QueueOne => 1,
            Overlap::Allow(most) => most,
        }
    }
}

/// What becomes of ticks that came while the agent was away, or while the machine slept: of all but the latest, and of that
/// one if it is more than five seconds old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are counted.
    Skip,
    /// The latest is run, the others are counted.
    #[default]
    RunOnce,
    /// They are run, one after the other, as [`Overlap`] allows. At most 1,000; of those before, it is counted that there were
    /// some.
    RunAll,
}

/// Whether a run that failed is tried again. One of which nobody knows what became is not: it may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often, after the first attempt.
    pub times: u32,
    /// From the end of an attempt to the next one.
    pub delay: Duration,
}

/// What is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A setting of it cannot be meant.
    #[error("{setting}: {why}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// There is one of that name.
    #[error("there are two of that name")]
    Twice,
    /// There are 65,536.
    #[error("there are 65,536 schedules already")]
    TooMany,
    /// Only the agent has schedules.
    #[error("schedules are the agent's: this is another member")]
    NotTheAgent,
}

/// How long a run may take, if nothing else is said.
const DEADLINE: Duration = Duration::from_secs(60 * 60);

/// Longer than this nobody means, and no call waits for.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// So many runs of one schedule at once.
const MOST_AT_ONCE: usize = 1_000;

impl Schedule {
    fn new(when: When) -> Schedule {
        Schedule {
            when,
            zone: Zone::Utc,
            start: None,
            end: None,
            immediate: false,
            place: Place::One(Role::WORKER.name().to_owned()),
            overlap: Overlap::default(),
            missed: Missed::default(),
            deadline: DEADLINE,
            retry: None,
            jitter: Duration::ZERO,
            condition: None,
        }
    }

    /// At the times of a cron expression: minute, hour, day of month, month, day of week; with seconds before them, if there
    /// are six fields, and a year behind them, if there are seven. `L` and `#` are understood (`0 0 L * *`, `0 9 * * FRI#2`), and
    /// so are `@daily` and its like. In UTC, unless a [zone](Schedule::time_zone) is named.
    ///
    /// Where the clocks go forward, a time of day that is left out is the first moment after the gap, and repeated times in it
    /// are left out. Where they go back, a time of day that comes twice is the first of both, and repeated times go on. A time of
    /// day is one second, one minute and one hour: a list of hours (`0 2,14 * * *`) is repeated times.
    pub fn cron(expression: impl Into<String>) -> Schedule {
        Schedule::new(When::Cron(expression.into()))
    }

    /// So long from one tick to the next, however long a run takes. The first is one interval after the cluster was ready.
    pub fn every(interval: Duration) -> Schedule {
        Schedule::new(When::Every(interval))
    }

    /// So long from the end of one run to the beginning of the next. The first is so long after the cluster was ready.
    pub fn after_each(pause: Duration) -> Schedule {
        Schedule::new(When::AfterEach(pause))
    }

    /// Once: when the cluster is ready for the first time, or at its [start](Schedule::starting), if that is later. Not again when
    /// the agent is started again.
    pub fn once() -> Schedule {
        Schedule { immediate: true, ..Schedule::new(When::Once) }
    }

    /// Has it run when the cluster is ready for the first time, too.
    pub fn immediate(mut self) -> Schedule {
        self.immediate = true;
        self
    }

    /// The time zone of a cron expression, by its IANA name: `Europe/Berlin`. As the machine knows it, or as this library does
    /// where it knows none.
    pub fn time_zone(mut self, name: impl Into<String>) -> Schedule {
        self.zone = Zone::Named(name.into());
        self
    }

    /// The time zone of a cron expression is that of the machine (`TZ`, `/etc/localtime`).
    pub fn local_time(mut self) -> Schedule {
        self.zone = Zone::Local;
        self
    }

    /// No tick before this. An interval has one at this, and counts from there.
    pub fn starting(mut self, at: SystemTime) -> Schedule {
        self.start = Some(at);
        self
    }

    /// No tick after this.
    pub fn ending(mut self, at: SystemTime) -> Schedule {
        self.end = Some(at);
        self
    }

    /// Runs on one ready member of a role, chosen by the master for each run. Default: of the workers.
    pub fn on_one(mut self, role: impl Into<String>) -> Schedule {
        self.place = Place::One(role.into());
        self
    }

    /// Runs on every member of a role that is ready.
    pub fn on_all(mut self, role: impl Into<String>) -> Schedule {
        self.place = Place::All(role.into());
        self
    }

    /// Runs on the agent.
    pub fn on_agent(self) -> Schedule {
        self.on_one(Role::AGENT.name())
    }

    /// What becomes of a tick while a run has not ended. Default [`Overlap::Skip`].
    pub fn overlap(mut self, overlap: Overlap) -> Schedule {
        self.overlap = overlap;
        self
    }

    /// What becomes of ticks that were missed. Default [`Missed::RunOnce`].
    pub fn missed(mut self, missed: Missed) -> Schedule {
        self.missed = missed;
        self
    }

    /// How long a run may take: then it is dropped where it waits, and has failed. Default an hour, at most 30 days.
    pub fn deadline(mut self, deadline: Duration) -> Schedule {
        self.deadline = deadline;
        self
    }

    /// Has runs that failed tried again. While one waits for that it counts as running. On all members of a role, it is tried
    /// again where it failed.
    pub fn retry(mut self, times: u32, delay: Duration) -> Schedule {
        self.retry = Some(Retry { times, delay });
        self
    }

    /// Has each run begin later than its tick, by up to so much: so that those of many clusters do not come at once.
    pub fn jitter(mut self, most: Duration) -> Schedule {
        self.jitter = most;
        self
    }

    /// Ticks count only while this holds. It is asked in the agent, at each tick, and is not to block.
    pub fn enabled_if(mut self, condition: impl Fn() -> bool + Send + Sync + 'static) -> Schedule {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// The role that it runs on.
    pub(crate) fn role(&self) -> &str {
        match &self.place {
            Place::One(role) | Place::All(role) => role,
        }
    }

    /// What it comes to, if all of it can be meant. `role`: the one that it names.
    pub(crate) fn check(&self, role: Role) -> Result<Checked, ScheduleError> {
        let wrong = |setting, why: String| Err(ScheduleError::Setting { setting, why });
        let trigger = match &self.when {
            When::Cron(expression) => {
                let times = CronTimes::parse(expression, self.zone.find()?)
                    .map_err(|why| ScheduleError::Setting { setting: "the cron expression", why })?;
                Trigger::Cron(Box::new(times))
            }
            When::Every(interval) => Trigger::Every(span("the interval", *interval)?),
            When::AfterEach(pause) => Trigger::AfterEach(span("the pause", *pause)?),
            When::Once => Trigger::Once,
        };
        if let (Some(start), Some(end)) = (self.start, self.end)
            && start > end
        {
            return wrong("the end", "it is before the start".to_owned());
        }
        match self.overlap {
            Overlap::Allow(0) => return wrong("overlap", "none at once is no schedule".to_owned()),
            Overlap::Allow(most) if most > MOST_AT_ONCE => {
                return wrong("overlap", format!("{most} at once are more than {MOST_AT_ONCE}"));
            }
            Overlap::Allow(_) | Overlap::Skip | Overlap::QueueOne => {}
        }
        if self.jitter > LONGEST {
            return wrong("jitter", "it is longer than 30 days".to_owned());
        }
        if self.retry.is_some_and(|retry| retry.delay > LONGEST) {
            return wrong("the delay of a retry", "it is longer than 30 days".to_owned());
        }
        let (start, end) = (self.start.map(Into::into), self.end.map(Into::into));
        let timetable = Timetable { trigger, immediate: self.immediate, start, end };
        let rules =
            Rules { timetable, overlap: self.overlap, missed: self.missed, retry: self.retry, jitter: self.jitter };
        let place = match self.place {
            Place::One(_) => Place::One(role),
            Place::All(_) => Place::All(role),
        };
        Ok(Checked { rules, place, deadline: span("the deadline", self.deadline)?, condition: self.condition.clone() })
    }
}

/// A schedule that can be followed.
#[derive(Clone)]
pub(crate) struct Checked {
    pub(super) rules: Rules,
    pub(super) place: Place<Role>,
    pub(super) deadline: Duration,
    pub(super) condition: Option<Condition>,
}

impl Zone {
    fn find(&self) -> Result<TimeZone, ScheduleError> {
        let unknown = |error: jiff::Error| ScheduleError::Setting { setting: "the time zone", why: error.to_string() };
        match self {
            Zone::Utc => Ok(TimeZone::UTC),
            Zone::Local => TimeZone::try_system().map_err(unknown),
            Zone::Named(name) => TimeZone::get(name).map_err(unknown),
        }
    }
}

fn span(setting: &'static str, span: Duration) -> Result<Duration, ScheduleError> {
    let why = match span {
        Duration::ZERO => "it is no time at all",
        span if span > LONGEST => "it is longer than 30 days",
        _ => return Ok(span),
    };
    Err(ScheduleError::Setting { setting, why: why.to_owned() })
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("when", &self.when).field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wrong(schedule: Schedule, expected: &str) {
        match schedule.check(Role::WORKER) {
            Ok(_) => panic!("nothing is wrong, and should be: {expected}"),
            Err(error) => assert!(error.to_string().starts_with(expected), "{error}"),
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        let now = SystemTime::UNIX_EPOCH;
        let every = || Schedule::every(Duration::from_secs(1));
        wrong(Schedule::cron("0 25 * * *"), "the cron expression: hour \"25\": ");
        wrong(Schedule::cron("0 3 * * *").time_zone("Mars/Olympus"), "the time zone: ");
        wrong(Schedule::every(Duration::ZERO), "the interval: it is no time at all");
        wrong(Schedule::after_each(Duration::ZERO), "the pause: ");
        wrong(every().deadline(Duration::ZERO), "the deadline: ");
        wrong(every().starting(now + LONGEST).ending(now), "the end: it is before the start");
        wrong(every().overlap(Overlap::Allow(0)), "overlap: ");
        wrong(every().overlap(Overlap::Allow(1_001)), "overlap: ");
        wrong(every().jitter(LONGEST * 2), "jitter: ");
        wrong(every().retry(1, LONGEST * 2), "the delay of a retry: ");
        assert!(Schedule::cron("0 3 * * *").time_zone("Europe/Berlin").check(Role::WORKER).is_ok());
        assert!(Schedule::once().check(Role::AGENT).is_ok());
    }
}
