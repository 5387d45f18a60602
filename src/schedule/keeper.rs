//! The agent's part: follows the schedules, orders their runs, and hears how they end.
//!
//! What is known of a schedule is kept by the master. It is written before a run is ordered, over the same link, so that it
//! arrives first: an agent that is killed in between has started nothing, and its successor finds that it might have. It asks
//! those who could have the run what became of it, and starts no other for the same tick.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::course::{Ended, Event, Running, State, Step};
use super::desk::{Desk, Outcome, Plan};
use super::errand::Errand;
use super::status::RunOutcome;
use super::wall::{Wall, millis};
use crate::context::Context;
use crate::messenger::{CallError, Keeping, Messenger, SendError};
use crate::process::{catch, clock};
use crate::transport::SCHEDULES;

/// By so much the calendar goes wrong by itself, and is put right, without anybody having set it.
const DRIFT: i64 = 1_000;

/// What the master keeps of a schedule. `None`: it is of the cluster's plan, and was removed.
type Record = Option<State>;

/// The topic under which the state of a schedule is kept.
fn topic(name: &str) -> String {
    format!("{SCHEDULES}{name}")
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
    keeper.desk.inform();
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
        Some(self.desk.alarm()?.since(self.now()))
    }

    /// New schedules are begun, or gone on with; removed ones are forgotten.
    async fn come_and_go(&self) -> Result<(), Lost> {
        while let Some(gone) = self.desk.next_gone() {
            let told = match gone.lasting {
                true => match self.messenger.keep(&topic(&gone.name), &None::<State>).await {
                    Ok(keeping) => keeping.done().await,
                    Err(error) => Err(error),
                },
                false => self.messenger.let_go(&topic(&gone.name)).await,
            };
            self.survived(&gone.name, told)?;
        }
        while let Some(coming) = self.desk.next_coming() {
            match self.messenger.follow::<Record>(&topic(&coming.name)).await.map(|record| record.latest()) {
                Ok(Some(None)) if coming.lasting => self.desk.turn_away(&coming),
                Ok(left) => self.begin(&coming, left.flatten()),
                Err(error) => {
                    // Without what is known of it, it could run twice.
                    self.survived(&coming.name, Err(error))?;
                    self.desk.turn_away(&coming);
                }
            }
        }
        Ok(())
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

    fn begin(&self, coming: &Arc<Plan>, left: Option<State>) {
        for run in self.desk.begin(coming, left, self.cx.member().spawner.random(), self.now()) {
            tracing::info!(schedule = %coming.name, number = run.number, "a run of before is asked for");
            self.send(coming, run, true);
        }
    }

    /// All that is due.
    async fn take_due(&self) -> Result<(), Lost> {
        let now = self.now();
        let mut writing = Vec::new();
        while let Some(name) = self.desk.due(now) {
            let enabled = self.desk.condition(&name, now).is_none_or(|condition| self.holds(&*condition));
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
        for name in self.desk.names() {
            self.apply(&name, Event::CalendarSet { by }, self.looked.1).await?;
        }
        Ok(())
    }

    /// One step of one schedule. Returns what says whether the master has written it down.
    async fn step(&self, name: &Arc<str>, event: Event, now: Wall) -> Result<Option<Writing>, Lost> {
        let Some(Outcome { plan, steps, state }) = self.desk.step(name, event, now) else { return Ok(None) };
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
                    None => self.send(&plan, run, false),
                    // It could be started twice.
                    Some(error) => self.fail(name, run.number, format!("it could not be written down: {error}")),
                },
                Step::Conclude(last) => match last.outcome.is_done() {
                    true => tracing::debug!(schedule = %name, took = ?last.duration(), by = last.by, "run done"),
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
    fn send(&self, plan: &Plan, run: Running, ask: bool) {
        let errand = Errand::new(&self.cx, &plan.name, &plan.checked, run, self.now());
        let (ends, name) = (self.ends.clone(), plan.name.clone());
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
