//! The course of one schedule: what follows from a tick, from the end of a run, and from what a predecessor left behind.
//! Time is an argument, and nothing is done here: facts in, steps out.
//!
//! The state is what the master keeps (see [`keeper`](super::keeper)): written before a run is started, so that whoever comes
//! after an agent that was killed starts nothing twice.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::declared::{Missed, Overlap, Retry};
use super::status::{LastRun, RunOutcome};
use super::timetable::{Past, TOLD, Timetable, Trigger};
use super::wall::{Wall, millis};
use crate::supervision::Dice;

/// How a schedule is to be followed.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) timetable: Timetable,
    pub(super) overlap: Overlap,
    pub(super) missed: Missed,
    pub(super) retry: Option<Retry>,
    pub(super) jitter: Duration,
}

/// A tick that is later than this was missed: a busy agent is late by less, and a restarted one by about as much.
const ON_TIME: Duration = Duration::from_secs(5);

/// A calendar that is set back by no more than this repeats no tick; one that is set back by more was wrong, and what was
/// reckoned by it means nothing.
const SET_BACK: Duration = Duration::from_secs(60 * 60);

/// What is known of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    begun: Wall,
    tick: Option<Wall>,
    ended: Option<Wall>,
    waiting: VecDeque<Waiting>,
    pub(super) running: Vec<Running>,
    /// The number of the last run that was started.
    pub(super) number: u64,
    pub(super) last: Option<LastRun>,
    pub(super) counts: Counts,
}

/// How often something has happened since the schedule began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) runs: u64,
    pub(super) failures: u64,
    pub(super) skipped: u64,
    pub(super) missed: u64,
    pub(super) disabled: u64,
}

/// A run that is to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    tick: Wall,
    /// Not before.
    from: Wall,
    /// Which attempt it is, from 1.
    attempt: u32,
    turn: Turn,
    /// The members it is for. None: those that the schedule is for.
    on: Vec<String>,
}

/// What a run that waits does when others run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Turn {
    /// As the schedule says: it is skipped, or queued.
    Fresh,
    /// It waits until there is room.
    Queued,
    /// It is one more attempt of a run that counts as running meanwhile.
    Retry,
}

/// A run that was started, and has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) number: u64,
    pub(super) tick: Wall,
    pub(super) attempt: u32,
    pub(super) began: Wall,
    pub(super) on: Vec<String>,
}

/// Something that has happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Time has passed.
    Time {
        /// Whether the schedule's condition holds.
        enabled: bool,
    },
    /// A run has ended.
    Ended(Ended),
    /// The calendar was set, forwards or back, by so many milliseconds.
    CalendarSet { by: i64 },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) number: u64,
    pub(super) outcome: RunOutcome,
    /// Who ran it, where that was one.
    pub(super) by: Option<String>,
    /// The members where it failed, of several.
    pub(super) failed_on: Vec<String>,
    /// When it began and how long it took, by whoever ran it.
    pub(super) span: Option<(Wall, Duration)>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Start this run.
    Start(Running),
    /// Tell of this one, which has ended.
    Conclude(LastRun),
    /// Tell that this tick is not run, because others run.
    Skip(Wall),
    /// Tell that so many ticks were missed, and are not run.
    Miss(u64),
    /// Tell that there will be no more ticks.
    Finish,
}

/// A schedule as it is followed.
#[derive(Clone, Debug)]
pub(super) struct Course {
    rules: Rules,
    state: State,
    /// The next tick.
    next: Option<Wall>,
    /// What jitter is thrown with: that of two clusters differs.
    salt: u64,
    finished: bool,
    /// So many runs a predecessor has left. By its rules more may have been allowed.
    inherited: usize,
}

impl State {
    /// How many runs others have to make room for: those that failed and are tried again are not over.
    fn occupied(&self) -> usize {
        let retries = self.waiting.iter().filter(|waiting| waiting.turn == Turn::Retry).count();
        self.running.len() + retries
    }

    /// The calendar was set back while no agent was there: what lies ahead of it by more than can be meant is not so.
    fn forget_the_future(&mut self, rules: &Rules, now: Wall) {
        let by_calendar = matches!(rules.timetable.trigger, Trigger::Cron(_)) || rules.timetable.start.is_some();
        let slack = if by_calendar { SET_BACK } else { Duration::ZERO };
        let latest = now.plus(slack);
        let past = |at: Wall| if at > latest { now } else { at };
        let known = [Some(self.begun), self.tick, self.ended].map(|at| at.map(past));
        (self.begun, self.tick, self.ended) = (known[0].unwrap_or(now), known[1], known[2]);
        let longest = rules.jitter.max(rules.retry.map_or(Duration::ZERO, |retry| retry.delay));
        for waiting in &mut self.waiting {
            waiting.from = waiting.from.min(now.plus(longest));
        }
    }
}

impl Course {
    /// Begins now, or goes on where a predecessor was. `first`: the number before that of its first run.
    pub(super) fn new(rules: Rules, left: Option<State>, first: u64, salt: u64, now: Wall) -> Course {
        let mut state = left.unwrap_or_else(|| State {
            begun: now,
            tick: None,
            ended: None,
            waiting: VecDeque::new(),
            running: Vec::new(),
            number: first,
            last: None,
            counts: Counts::default(),
        });
        state.forget_the_future(&rules, now);
        let inherited = state.occupied();
        let mut course = Course { rules, state, next: None, salt, finished: false, inherited };
        course.next = course.reckon();
        course
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The next tick. `None`: there is none, or not before a run has ended.
    pub(super) fn next(&self) -> Option<Wall> {
        self.next
    }

    /// How many runs wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.waiting.len()
    }

    /// Whether a tick is due, and the condition of the schedule matters.
    pub(super) fn has_tick(&self, now: Wall) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// When it is to be told that time has passed.
    pub(super) fn alarm(&self, now: Wall) -> Option<Wall> {
        let waiting = self.state.waiting.iter().map(|waiting| waiting.from).filter(|from| *from > now);
        waiting.chain(self.next).min()
    }

    /// What follows from `event`.
    pub(super) fn handle(&mut self, event: Event, now: Wall) -> Vec<Step> {
        let mut steps = Vec::new();
        match event {
            Event::Time { enabled } => self.tick(enabled, now, &mut steps),
            Event::Ended(ended) => self.end(ended, now, &mut steps),
            Event::CalendarSet { by } => self.shift(by, now),
        }
        self.start(now, &mut steps);
        self.next = self.reckon();
        if self.is_over() && !std::mem::replace(&mut self.finished, true) {
            steps.push(Step::Finish);
        }
        self.check();
        steps
    }

    /// Ticks that are due become runs that wait, or are given up.
    fn tick(&mut self, enabled: bool, now: Wall, steps: &mut Vec<Step>) {
        let Some(next) = self.next.filter(|next| *next <= now) else { return };
        let due = self.rules.timetable.due(self.past(), next, now);
        let (mut ticks, older) = (due.latest, due.older);
        let latest = ticks.last().copied().unwrap_or(next);
        self.state.tick = Some(latest);
        if !enabled {
            self.state.counts.disabled += older + ticks.len() as u64;
            return;
        }
        let on_time = now.since(latest) <= ON_TIME;
        let wanted = match self.rules.missed {
            Missed::Skip => usize::from(on_time),
            Missed::RunOnce => 1,
            Missed::RunAll => TOLD.saturating_sub(self.state.waiting.len()).max(1),
        };
        let given_up = ticks.len().saturating_sub(wanted);
        ticks.drain(..given_up);
        let missed = older + given_up as u64;
        if missed > 0 {
            self.state.counts.missed += missed;
            steps.push(Step::Miss(missed));
        }
        // One that was late is not to be lost to another that was late, too.
        let in_turn = self.rules.missed == Missed::RunAll && (ticks.len() > 1 || !on_time);
        for tick in ticks {
            // They are late on purpose by more than lies between them.
            if self.state.waiting.len() >= TOLD {
                self.state.counts.skipped += 1;
                steps.push(Step::Skip(tick));
                continue;
            }
            let from = tick.plus(self.jitter(tick));
            let turn = if in_turn { Turn::Queued } else { Turn::Fresh };
            self.state.waiting.push_back(Waiting { tick, from, attempt: 1, turn, on: Vec::new() });
        }
    }

    fn end(&mut self, ended: Ended, now: Wall, steps: &mut Vec<Step>) {
        let Some(at) = self.state.running.iter().position(|run| run.number == ended.number) else { return };
        let Running { tick, attempt, began: ordered, on, .. } = self.state.running.remove(at);
        let Ended { outcome, by, failed_on, span, .. } = ended;
        self.state.ended = Some(now);
        self.state.counts.runs += 1;
        self.state.counts.failures += u64::from(!outcome.is_done());
        if let Some(retry) = self.rules.retry.filter(|retry| outcome.may_be_repeated() && attempt <= retry.times) {
            let (from, attempt) = (now.plus(retry.delay), attempt + 1);
            // Where it is not known to have failed, it is not tried again.
            let on = if failed_on.is_empty() { on } else { failed_on };
            self.state.waiting.push_front(Waiting { tick, from, attempt, turn: Turn::Retry, on });
        }
        let (began, took) = span.unwrap_or((ordered, now.since(ordered)));
        let last = LastRun::new(tick, attempt, began, took, outcome, by);
        self.state.last = Some(last.clone());
        steps.push(Step::Conclude(last));
    }

    /// Intervals and pauses go by what has passed, and not by what the calendar shows.
    fn shift(&mut self, by: i64, now: Wall) {
        let moved = |at: Wall| Wall(at.0.saturating_add(by));
        for waiting in &mut self.state.waiting {
            waiting.from = moved(waiting.from);
        }
        let state = &mut self.state;
        match &self.rules.timetable.trigger {
            Trigger::Every(_) | Trigger::AfterEach(_) if self.rules.timetable.start.is_none() => {
                state.begun = moved(state.begun);
                (state.tick, state.ended) = (state.tick.map(moved), state.ended.map(moved));
            }
            Trigger::Every(_) | Trigger::AfterEach(_) | Trigger::Cron(_) | Trigger::Once => {
                let was_wrong = by < -millis(SET_BACK);
                state.begun = if was_wrong { state.begun.min(now) } else { state.begun };
                state.tick = if was_wrong { state.tick.map(|tick| tick.min(now)) } else { state.tick };
                state.ended = state.ended.map(moved);
            }
        }
    }

    /// Starts what may start.
    fn start(&mut self, now: Wall, steps: &mut Vec<Step>) {
        let most = self.rules.overlap.most();
        let mut at = 0;
        while let Some(waiting) = self.state.waiting.get(at) {
            if waiting.from > now {
                at += 1;
                continue;
            }
            let room = match waiting.turn {
                Turn::Retry => self.state.running.len() < most,
                Turn::Fresh | Turn::Queued => self.state.occupied() < most,
            };
            match (waiting.turn, room) {
                (Turn::Fresh | Turn::Queued | Turn::Retry, true) => {
                    let Some(Waiting { tick, attempt, on, .. }) = self.state.waiting.remove(at) else { return };
                    self.state.number += 1;
                    let run = Running { number: self.state.number, tick, attempt, began: now, on };
                    self.state.running.push(run.clone());
                    steps.push(Step::Start(run));
                }
                (Turn::Queued | Turn::Retry, false) => at += 1,
                (Turn::Fresh, false) if self.may_queue() => {
                    self.state.waiting[at].turn = Turn::Queued;
                    at += 1;
                }
                (Turn::Fresh, false) => {
                    let skipped = self.state.waiting.remove(at);
                    self.state.counts.skipped += 1;
                    steps.extend(skipped.map(|waiting| Step::Skip(waiting.tick)));
                }
            }
        }
    }

    /// Whether one for which there is no room may wait for it.
    fn may_queue(&self) -> bool {
        self.rules.overlap == Overlap::QueueOne && !self.has_queued()
    }

    fn has_queued(&self) -> bool {
        self.state.waiting.iter().any(|waiting| waiting.turn == Turn::Queued)
    }

    fn reckon(&self) -> Option<Wall> {
        // From the end of a run: while there is one, nothing is due.
        let open = !self.state.running.is_empty() || !self.state.waiting.is_empty();
        if open && matches!(self.rules.timetable.trigger, Trigger::AfterEach(_)) {
            return None;
        }
        self.rules.timetable.next(self.past())
    }

    fn past(&self) -> Past {
        Past { begun: self.state.begun, tick: self.state.tick, ended: self.state.ended }
    }

    /// Whether nothing will ever happen again.
    fn is_over(&self) -> bool {
        self.next.is_none() && self.state.running.is_empty() && self.state.waiting.is_empty()
    }

    /// By how much a tick is late on purpose.
    fn jitter(&self, tick: Wall) -> Duration {
        let most = usize::try_from(millis(self.rules.jitter)).unwrap_or(0);
        let mut dice = Dice::seeded(self.salt ^ tick.0.unsigned_abs());
        Duration::from_millis(dice.below(most.saturating_add(1)) as u64)
    }

    fn check(&self) {
        let most = self.rules.overlap.most().max(self.inherited);
        debug_assert!(self.state.running.len() <= most, "more runs than may overlap");
        debug_assert!(self.state.occupied() <= most, "a run was started in place of one that is tried again");
        debug_assert!(self.state.waiting.len() <= TOLD + most + 1, "more wait than may");
        let numbers = self.state.running.windows(2).all(|pair| pair[0].number < pair[1].number);
        debug_assert!(numbers, "two runs have one number, or they are out of order");
        debug_assert!(self.state.running.iter().all(|run| run.number <= self.state.number));
    }
}
