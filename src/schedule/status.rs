//! How schedules are, for those who look.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::course::{Counts, Course};
use super::wall::Wall;

/// How a schedule is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// What it is called.
    pub name: String,
    /// Its next tick. `None`: there is none, or not before a run has ended.
    pub next: Option<SystemTime>,
    /// How many runs have begun and not ended.
    pub running: usize,
    /// How many runs wait: for their time, or for others to end.
    pub waiting: usize,
    /// The last run that ended.
    pub last: Option<LastRun>,
    /// How many have ended, each attempt by itself.
    pub runs: u64,
    /// How many of those failed.
    pub failures: u64,
    /// How many ticks were not run because others ran.
    pub skipped: u64,
    /// How many ticks came while nobody was there, and were not made up for.
    pub missed: u64,
    /// How many ticks came while its condition did not hold.
    pub disabled: u64,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastRun {
    /// The tick that it was for, in milliseconds of the calendar.
    tick: Wall,
    began: Wall,
    took: Duration,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Who ran it. `None`: several, or it is not known.
    pub by: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RunOutcome {
    /// It was done.
    Done,
    /// It failed, by this. On several members: those, and by what.
    Failed(String),
    /// It panicked.
    Panicked,
    /// It was not done at its deadline, and was dropped.
    TimedOut,
    /// The member that ran it ended before it: how, as far as that was known then.
    Died(String),
    /// Nobody was there to run it, for a minute.
    NoMember,
    /// The member has nothing of that name to do.
    NoJob,
    /// The agent was replaced while it ran, and whoever may have run it does not know of it.
    Unknown,
}

impl RunOutcome {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        *self == RunOutcome::Done
    }

    /// Whether it is known not to have been done. One that panicked or died may have done half of it, as one that failed.
    pub(super) fn may_be_repeated(&self) -> bool {
        match self {
            RunOutcome::Failed(_)
            | RunOutcome::Panicked
            | RunOutcome::TimedOut
            | RunOutcome::Died(_)
            | RunOutcome::NoMember => true,
            RunOutcome::Done | RunOutcome::NoJob | RunOutcome::Unknown => false,
        }
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RunOutcome::Done => "done",
            RunOutcome::Failed(text) => return write!(f, "failed: {text}"),
            RunOutcome::Panicked => "it panicked",
            RunOutcome::TimedOut => "it was not done at its deadline",
            RunOutcome::Died(cause) => return write!(f, "whoever ran it died: {cause}"),
            RunOutcome::NoMember => "nobody was ready to run it",
            RunOutcome::NoJob => "there is nothing of that name to do",
            RunOutcome::Unknown => "nobody knows what became of it",
        })
    }
}

impl LastRun {
    pub(super) fn new(
        tick: Wall,
        attempt: u32,
        began: Wall,
        took: Duration,
        outcome: RunOutcome,
        by: Option<String>,
    ) -> LastRun {
        LastRun { tick, began, took, attempt, outcome, by }
    }

    /// The tick that it was for.
    pub fn due(&self) -> SystemTime {
        self.tick.into()
    }

    /// When it began; with the same exceptions, when it was ordered.
    pub fn began(&self) -> SystemTime {
        self.began.into()
    }

    /// How long it took. Of one on several members, and of one whose member cannot tell: from its order until the agent heard.
    pub fn duration(&self) -> Duration {
        self.took
    }
}

impl ScheduleStatus {
    pub(super) fn of(name: &str, course: &Course) -> ScheduleStatus {
        let state = course.state();
        let Counts { runs, failures, skipped, missed, disabled } = state.counts;
        ScheduleStatus {
            name: name.to_owned(),
            next: course.next().map(SystemTime::from),
            running: state.running.len(),
            waiting: course.waiting(),
            last: state.last.clone(),
            runs,
            failures,
            skipped,
            missed,
            disabled,
        }
    }
}
