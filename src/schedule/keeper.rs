//! The agent's part: follows the schedules, orders their runs, and hears how they end.
//!
//! What is known of a schedule is kept by the master. It is written before a run is ordered, over the same link, so that it
//! arrives first: an agent that is killed in between has started nothing, and its successor finds that it might have. It asks
//! those who could have the run what became of it, and starts no other for the same tick.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::course::{Course, Ended, Event, Running, State, Step};
use super::declared::{Checked, ScheduleError};
use super::errand::Errand;
use super::status::{RunOutcome, ScheduleStatus};
use super::wall::{Wall, millis};
use crate::bulletin::Bulletin;
use crate::context::Context;
use crate::messenger::{CallError, Keeping, Messenger, SendError};
use crate::process::{catch, clock};
use crate::transport::SCHEDULES;

/// By so much the calendar goes wrong by itself, and is put right, without anybody having set it.
const DRIFT: i64 = 1_000;

/// The most schedules.
const MOST: usize = 65_536;

/// The schedules of an agent.
pub(super) struct Desk {
    table: Mutex<Table>,
    /// Rings when a schedule comes or goes.
    bell: Notify,
    /// What predecessors have left is known.
    informed: Bulletin<bool>,
}

impl Default for Desk {
    fn default() -> Desk {
        Desk { table: Mutex::default(), bell: Notify::new(), informed: Bulletin::new(false) }
    }
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Those for which something is due at a time.
    alarms: BTreeSet<(Wall, Arc<str>)>,
    coming: VecDeque<Arc<Coming>>,
    /// The names of those.
    announced: BTreeSet<Arc<str>>,
    going: Vec<Gone>,
    /// The highest number of a run whose schedule was removed.
    highest: u64,
    /// Somebody follows them.
    kept: bool,
}

/// A schedule that has yet to begin.
struct Coming {
    name: Arc<str>,
    checked: Checked,
    /// It is of the plan: each agent comes with it.
    planned: bool,
}

/// A schedule that was removed.
struct Gone {
    name: Arc<str>,
    /// It is of the plan: that it was removed is to be known to the next agent.
    planned: bool,
}

/// What the master keeps of a schedule. `None`: it is of the plan, and was removed.
type Record = Option<State>;

struct Entry {
    course: Course,
    coming: Arc<Coming>,
    alarm: Option<Wall>,
    /// What the master has.
    written: Option<State>,
}

/// The topic under which the state of a schedule is kept.
fn topic(name: &str) -> String {
    format!("{SCHEDULES}{name}")
}

impl Desk {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, from now on.
    pub(super) fn add(&self, name: &str, checked: Checked, planned: bool) -> Result<(), ScheduleError> {
        let mut table = self.table();
        if table.entries.contains_key(name) || table.announced.contains(name) {
            return Err(ScheduleError::Twice);
        }
        if table.entries.len() + table.coming.len() >= MOST {
            return Err(ScheduleError::TooMany);
        }
        let name: Arc<str> = name.into();
        table.announced.insert(name.clone());
        table.coming.push_back(Arc::new(Coming { name, checked, planned }));
        self.bell.notify_one();
        Ok(())
    }

    /// `false`: there was none.
    pub(super) fn remove(&self, name: &str) -> bool {
        let mut table = self.table();
        let coming = match table.entries.remove_entry(name) {
            Some((name, entry)) => {
                if let Some(alarm) = entry.alarm {
                    table.alarms.remove(&(alarm, name));
                }
                table.highest = table.highest.max(entry.course.state().number);
                entry.coming
            }
            None => {
                let Some(at) = table.coming.iter().position(|coming| *coming.name == *name) else { return false };
                let Some(coming) = table.coming.remove(at) else { return false };
                table.announced.remove(name);
                coming
            }
        };
        table.going.push(Gone { name: coming.name.clone(), planned: coming.planned });
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
}

impl Table {
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

/// The link is lost.
struct Lost;

/// Follows the schedules until the member is to stop. Runs that have begun are not waited for: where they are, they are
/// finished.
pub(super) async fn keep(cx: Context, desk: Arc<Desk>) {
    if !cx.cluster_ready().await {
        return;
    }
    let (ends, mut ended) = mpsc::unbounded_channel();
    let mut keeper = Keeper {
        messenger: cx.messenger(),
        looked: (clock::now(), Wall::from(cx.calendar())),
        cx: cx.clone(),
        desk,
        ends,
    };
    let mut stopping = std::pin::pin!(cx.stopping());
    let mut calendar_set = Box::pin(cx.member().spawner.calendar_set());
    if keeper.come_and_go().await.is_err() {
        return;
    }
    keeper.desk.informed.post(true);
    let mut heard = None;
    loop {
        let looked_after = async {
            keeper.look_at_calendar().await?;
            if let Some((name, end)) = heard {
                keeper.apply(&name, Event::Ended(end), keeper.now()).await?;
            }
            keeper.come_and_go().await?;
            keeper.take_due().await
        };
        if looked_after.await.is_err() {
            return;
        }
        let nap = keeper.nap();
        heard = tokio::select! {
            biased;
            () = &mut stopping => return,
            Some(ended) = ended.recv() => Some(ended),
            () = keeper.desk.bell.notified() => None,
            () = &mut calendar_set => {
                calendar_set = Box::pin(cx.member().spawner.calendar_set());
                None
            }
            () = sleep(nap) => None,
        };
    }
}

async fn sleep(nap: Option<Duration>) {
    match nap {
        Some(nap) => tokio::time::sleep(nap).await,
        None => std::future::pending().await,
    }
}

struct Keeper {
    cx: Context,
    messenger: Messenger,
    desk: Arc<Desk>,
    ends: mpsc::UnboundedSender<(Arc<str>, Ended)>,
    /// What both clocks showed when they were last compared.
    looked: (Instant, Wall),
}

impl Keeper {
    fn now(&self) -> Wall {
        self.cx.calendar().into()
    }

    /// Until the next alarm.
    fn nap(&self) -> Option<Duration> {
        let first = self.desk.table().alarms.first().map(|(at, _)| *at)?;
        Some(first.since(self.now()))
    }

    /// New schedules are begun, or gone on with; removed ones are forgotten.
    async fn come_and_go(&self) -> Result<(), Lost> {
        loop {
            let gone = self.desk.table().going.pop();
            if let Some(Gone { name, planned }) = gone {
                let told = match planned {
                    true => match self.messenger.keep(&topic(&name), &None::<State>).await {
                        Ok(keeping) => keeping.done().await,
                        Err(error) => Err(error),
                    },
                    false => self.messenger.let_go(&topic(&name)).await,
                };
                self.survived(&name, told)?;
                continue;
            }
            let next = self.desk.table().coming.front().cloned();
            let Some(coming) = next else { return Ok(()) };
            let left = match self.messenger.follow::<Record>(&topic(&coming.name)).await {
                Ok(record) => record.latest(),
                Err(error) => {
                    // Without what is known of it, it could run twice.
                    self.survived(&coming.name, Err(error))?;
                    self.take_up(&coming, |_| None);
                    continue;
                }
            };
            match left {
                Some(None) if coming.planned => self.take_up(&coming, |_| None),
                Some(left) => self.begin(&coming, left),
                None => self.begin(&coming, None),
            }
        }
    }

    /// An error is said, and lives through, but for that of a link that is lost.
    fn survived(&self, name: &str, told: Result<(), CallError>) -> Result<(), Lost> {
        match told {
            Ok(()) => Ok(()),
            Err(CallError::Closed | CallError::Send(SendError::Closed)) => Err(Lost),
            Err(error) => {
                tracing::error!(schedule = name, %error, "what is known of it cannot be read or written");
                Ok(())
            }
        }
    }

    /// One that was coming is here, unless it was removed meanwhile.
    fn take_up(&self, coming: &Arc<Coming>, entry: impl FnOnce(u64) -> Option<Entry>) {
        let mut table = self.desk.table();
        if !table.coming.front().is_some_and(|first| Arc::ptr_eq(first, coming)) {
            return;
        }
        table.coming.pop_front();
        table.announced.remove(&coming.name);
        let highest = table.highest;
        let Some(entry) = entry(highest) else { return };
        let alarm = entry.alarm.map(|at| (at, coming.name.clone()));
        table.alarms.extend(alarm);
        table.entries.insert(coming.name.clone(), entry);
    }

    fn begin(&self, coming: &Arc<Coming>, left: Option<State>) {
        let (now, salt) = (self.now(), self.cx.member().spawner.random());
        let mut asked = Vec::new();
        self.take_up(coming, |highest| {
            // So that none of its runs has the number of one of a schedule of that name that was removed.
            let first = highest.max(now.0.unsigned_abs());
            let course = Course::new(coming.checked.rules.clone(), left.clone(), first, salt, now);
            asked.clone_from(&course.state().running);
            // What waits may start now.
            Some(Entry { course, coming: coming.clone(), alarm: Some(now), written: left })
        });
        for run in asked {
            tracing::info!(schedule = %coming.name, number = run.number, "a run of before is asked for");
            self.send(coming, run, true);
        }
    }

    /// All that is due.
    async fn take_due(&self) -> Result<(), Lost> {
        let now = self.now();
        let mut writing = Vec::new();
        loop {
            let first = self.desk.table().alarms.first().filter(|(at, _)| *at <= now).cloned();
            let Some((_, name)) = first else { break };
            // What the user's condition says is asked outside of the lock.
            let condition = {
                let table = self.desk.table();
                let entry = table.entries.get(&name).filter(|entry| entry.course.has_tick(now));
                entry.and_then(|entry| entry.coming.checked.condition.clone())
            };
            let enabled = condition.is_none_or(|condition| self.holds(&*condition));
            writing.extend(self.step(&name, Event::Time { enabled }, now).await?);
        }
        for writing in writing {
            writing.done().await;
        }
        Ok(())
    }

    /// A condition that panics is an exception of the agent, and does not hold.
    fn holds(&self, condition: &(dyn Fn() -> bool + Send + Sync)) -> bool {
        match catch(condition) {
            Ok(holds) => holds,
            Err(panicked) => {
                self.cx.member().panicked(panicked);
                false
            }
        }
    }

    async fn apply(&self, name: &Arc<str>, event: Event, now: Wall) -> Result<(), Lost> {
        if let Some(writing) = self.step(name, event, now).await? {
            writing.done().await;
        }
        Ok(())
    }

    /// Whether somebody has set the calendar, and what follows.
    async fn look_at_calendar(&mut self) -> Result<(), Lost> {
        let (at, showed) = self.looked;
        self.looked = (clock::now(), self.now());
        let passed = millis(self.looked.0.saturating_duration_since(at));
        let by = self.looked.1.0 - showed.0 - passed;
        if by.abs() < DRIFT {
            // What it is wrong by adds up.
            self.looked = (at, showed);
            return Ok(());
        }
        tracing::warn!(by_ms = by, "the calendar was set, or the machine has slept");
        let names: Vec<Arc<str>> = self.desk.table().entries.keys().cloned().collect();
        for name in names {
            self.apply(&name, Event::CalendarSet { by }, self.looked.1).await?;
        }
        Ok(())
    }

    /// One step of one schedule. Returns what says whether the master has written it down.
    async fn step(&self, name: &Arc<str>, event: Event, now: Wall) -> Result<Option<Writing>, Lost> {
        let (steps, coming, state) = {
            let mut table = self.desk.table();
            let Some(entry) = table.entries.get_mut(name) else { return Ok(None) };
            let steps = entry.course.handle(event, now);
            let state = (entry.written.as_ref() != Some(entry.course.state())).then(|| entry.course.state().clone());
            if let Some(state) = &state {
                entry.written = Some(state.clone());
            }
            let coming = entry.coming.clone();
            table.arm(name, now);
            (steps, coming, state)
        };
        let mut writing = None;
        let mut untold = None;
        if let Some(state) = state {
            match self.messenger.keep(&topic(name), &Some(state)).await {
                Ok(keeping) => writing = Some(keeping),
                Err(CallError::Closed | CallError::Send(SendError::Closed)) => return Err(Lost),
                Err(error) => untold = Some(error.to_string()),
            }
        }
        for step in steps {
            match step {
                Step::Start(run) => match &untold {
                    None => self.send(&coming, run, false),
                    // It could be started twice.
                    Some(error) => self.fail(name, run.number, format!("it could not be written down: {error}")),
                },
                Step::Conclude(last) => match last.outcome.is_done() {
                    true => tracing::info!(schedule = %name, took = ?last.duration(), by = last.by, "run done"),
                    false => {
                        let (outcome, attempt) = (&last.outcome, last.attempt);
                        tracing::warn!(schedule = %name, attempt, by = last.by, took = ?last.duration(), %outcome, "run failed");
                    }
                },
                Step::Skip(_) => tracing::warn!(schedule = %name, "a tick is skipped: a run of before has not ended"),
                Step::Miss(count) => tracing::warn!(schedule = %name, count, "ticks were missed"),
                Step::Finish => tracing::info!(schedule = %name, "it has no more ticks"),
            }
        }
        Ok(writing.map(|keeping| Writing { schedule: name.clone(), keeping }))
    }

    fn fail(&self, name: &Arc<str>, number: u64, why: String) {
        let ended = Ended { number, outcome: RunOutcome::Failed(why), by: None, failed_on: Vec::new(), span: None };
        let _ = self.ends.send((name.clone(), ended));
    }

    /// Has a run ordered, or what has become of one asked.
    fn send(&self, coming: &Coming, run: Running, ask: bool) {
        let errand = Errand::new(&self.cx, &coming.name, &coming.checked, run, self.now());
        let (ends, name) = (self.ends.clone(), coming.name.clone());
        self.cx.spawn(async move {
            let ended = if ask { errand.ask().await } else { errand.order().await };
            // Nobody hears it: the keeper has ended, and asks again if it has a successor.
            let _ = ends.send((name, ended));
        });
    }
}

/// What is known of a schedule is on its way to the master.
struct Writing {
    schedule: Arc<str>,
    keeping: Keeping,
}

impl Writing {
    async fn done(self) {
        match self.keeping.done().await {
            // Who goes on after the end of the link is gone as well.
            Ok(()) | Err(CallError::Closed) => {}
            Err(error) => tracing::error!(schedule = %self.schedule, %error, "what is known of it is not kept"),
        }
    }
}
