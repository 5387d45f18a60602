//! The schedules of an agent, as they lie before whoever follows them and whoever asks how they are. Nothing is awaited here but
//! that they are known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::course::{Course, Event, Running, State, Step};
use super::declared::{Checked, Condition, ScheduleError};
use super::status::ScheduleStatus;
use super::wall::Wall;
use crate::bulletin::Bulletin;

/// The most schedules.
const MOST: usize = 65_536;

/// The schedules of an agent.
pub(super) struct Desk {
    table: Mutex<Table>,
    /// Rings when a schedule comes or goes.
    pub(super) bell: Notify,
    /// What predecessors have left is known.
    informed: Bulletin<bool>,
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Those for which something is due at a time.
    alarms: BTreeSet<(Wall, Arc<str>)>,
    coming: VecDeque<Arc<Plan>>,
    /// The names of those.
    announced: BTreeSet<Arc<str>>,
    going: Vec<Arc<Plan>>,
    /// The highest number of a run whose schedule was removed.
    highest: u64,
    /// Somebody follows them.
    kept: bool,
}

/// A schedule, whether or not it has begun.
pub(super) struct Plan {
    pub(super) name: Arc<str>,
    pub(super) checked: Checked,
    /// It is of the cluster's plan: each agent comes with it.
    pub(super) lasting: bool,
}

/// A schedule that is followed.
struct Entry {
    plan: Arc<Plan>,
    course: Course,
    alarm: Option<Wall>,
    /// What the master has.
    written: Option<State>,
}

/// What follows from a step.
pub(super) struct Outcome {
    pub(super) plan: Arc<Plan>,
    pub(super) steps: Vec<Step>,
    /// What is to be written down first. `None`: it is.
    pub(super) state: Option<State>,
}

impl Default for Desk {
    fn default() -> Desk {
        Desk { table: Mutex::default(), bell: Notify::new(), informed: Bulletin::new(false) }
    }
}

impl Desk {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, from now on.
    pub(super) fn add(&self, name: &str, checked: Checked, lasting: bool) -> Result<(), ScheduleError> {
        let mut table = self.table();
        if table.entries.contains_key(name) || table.announced.contains(name) {
            return Err(ScheduleError::Twice);
        }
        if table.entries.len() + table.coming.len() >= MOST {
            return Err(ScheduleError::TooMany);
        }
        let name: Arc<str> = name.into();
        table.announced.insert(name.clone());
        table.coming.push_back(Arc::new(Plan { name, checked, lasting }));
        self.bell.notify_one();
        Ok(())
    }

    /// `false`: there was none.
    pub(super) fn remove(&self, name: &str) -> bool {
        let mut table = self.table();
        let plan = match table.entries.remove_entry(name) {
            Some((name, entry)) => {
                if let Some(alarm) = entry.alarm {
                    table.alarms.remove(&(alarm, name));
                }
                table.highest = table.highest.max(entry.course.state().number);
                entry.plan
            }
            None => {
                let Some(at) = table.coming.iter().position(|coming| *coming.name == *name) else { return false };
                let Some(plan) = table.coming.remove(at) else { return false };
                table.announced.remove(name);
                plan
            }
        };
        table.going.push(plan);
        self.bell.notify_one();
        true
    }

    /// Whoever is told `true` is to follow them.
    pub(super) fn take_charge(&self) -> bool {
        !std::mem::replace(&mut self.table().kept, true)
    }

    /// So many of those behind this one, in the order of their names. Resolves when it is known how they are.
    pub(super) async fn page(&self, after: Option<&str>, most: usize) -> Vec<ScheduleStatus> {
        // It is closed with this, and not before.
        let _ = self.informed.reader().wait_for(|informed| *informed).await;
        let table = self.table();
        let behind = table.entries.iter().filter(|(name, _)| after.is_none_or(|after| &***name > after));
        behind.take(most).map(|(name, entry)| ScheduleStatus::of(name, &entry.course)).collect()
    }

    /// It is known how they are.
    pub(super) fn inform(&self) {
        self.informed.post(true);
    }

    /// One that was removed, and is to be forgotten.
    pub(super) fn next_gone(&self) -> Option<Arc<Plan>> {
        self.table().going.pop()
    }

    /// One that is to begin.
    pub(super) fn next_coming(&self) -> Option<Arc<Plan>> {
        self.table().coming.front().cloned()
    }

    /// It does not begin.
    pub(super) fn turn_away(&self, plan: &Arc<Plan>) {
        self.table().take_up(plan);
    }

    /// It begins, or goes on from what was left. Returns the runs that a predecessor has ordered.
    pub(super) fn begin(&self, plan: &Arc<Plan>, left: Option<State>, salt: u64, now: Wall) -> Vec<Running> {
        let mut table = self.table();
        if !table.take_up(plan) {
            return Vec::new();
        }
        // So that none of its runs has the number of one of a schedule of that name that was removed.
        let first = table.highest.max(now.0.unsigned_abs());
        let course = Course::new(plan.checked.rules.clone(), left.clone(), first, salt, now);
        let runs = course.state().running.clone();
        // What waits may start now.
        table.alarms.insert((now, plan.name.clone()));
        let entry = Entry { plan: plan.clone(), course, alarm: Some(now), written: left };
        table.entries.insert(plan.name.clone(), entry);
        runs
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.table().entries.keys().cloned().collect()
    }

    /// When the first of them is due.
    pub(super) fn alarm(&self) -> Option<Wall> {
        self.table().alarms.first().map(|(at, _)| *at)
    }

    /// The first that is due.
    pub(super) fn due(&self, now: Wall) -> Option<Arc<str>> {
        self.table().alarms.first().filter(|(at, _)| *at <= now).map(|(_, name)| name.clone())
    }

    /// What holds whether its tick counts, if one is due.
    pub(super) fn condition(&self, name: &str, now: Wall) -> Option<Condition> {
        let table = self.table();
        let entry = table.entries.get(name).filter(|entry| entry.course.has_tick(now))?;
        entry.plan.checked.condition.clone()
    }

    /// One step of one schedule. `None`: it is followed no more.
    pub(super) fn step(&self, name: &str, event: Event, now: Wall) -> Option<Outcome> {
        let mut table = self.table();
        let entry = table.entries.get_mut(name)?;
        let steps = entry.course.handle(event, now);
        let state = (entry.written.as_ref() != Some(entry.course.state())).then(|| entry.course.state().clone());
        if state.is_some() {
            entry.written.clone_from(&state);
        }
        let plan = entry.plan.clone();
        table.arm(&plan.name, now);
        Some(Outcome { plan, steps, state })
    }
}

impl Table {
    /// One that was coming is here. `false`: it was removed meanwhile.
    fn take_up(&mut self, plan: &Arc<Plan>) -> bool {
        let is_next = self.coming.front().is_some_and(|first| Arc::ptr_eq(first, plan));
        if is_next {
            self.coming.pop_front();
            self.announced.remove(&plan.name);
        }
        is_next
    }

    fn arm(&mut self, name: &Arc<str>, now: Wall) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let alarm = entry.course.alarm(now);
        let before = std::mem::replace(&mut entry.alarm, alarm);
        if before == alarm {
            return;
        }
        if let Some(before) = before {
            self.alarms.remove(&(before, name.clone()));
        }
        if let Some(alarm) = alarm {
            self.alarms.insert((alarm, name.clone()));
        }
    }
}
