//! Runs, where they are done: in a member, when the agent orders one. What has run, and what still does, is remembered for an
//! agent that comes after the one that ordered it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tracing::Instrument;

use super::status::RunOutcome;
use super::wall::Wall;
use crate::bulletin::{Bulletin, Closed, Reader};
use crate::context::Context;
use crate::error::{BoxError, chain};
use crate::identity::{Incarnation, MemberId};
use crate::member::{Delivery, Reply, Task};
use crate::messenger::{Answer, Answerer, Reason, decode};
use crate::process::clock;
use crate::text::cut;

/// The action by which runs are ordered.
pub(super) const RUN: &str = "hatchery:schedule/run";

/// What is run at a tick, without its types.
pub(crate) type Job = dyn Fn(Context, Tick) -> JobFuture + Send + Sync;

type JobFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A job without its types.
pub(crate) fn job<F, Fut, E>(work: F) -> Arc<Job>
where
    F: Fn(Context, Tick) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    Arc::new(move |cx, tick| {
        let work = work(cx, tick);
        Box::pin(async move { work.await.map_err(|error| chain(&*error.into())) })
    })
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// What the schedule is called.
    pub schedule: String,
    /// The time of the calendar that it is for. With [jitter](super::Schedule::jitter), or made up for later, it is begun after
    /// that.
    pub due: SystemTime,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// The number of this run among those of its schedule. No two have the same while the cluster lives.
    pub number: u64,
}

/// What a member is to do about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verb {
    /// Do it, if it can be begun by then: whoever has ordered it gives it up later.
    Run { by: Wall },
    /// It was ordered by a predecessor: tell what is known of it.
    Ask,
    /// Tell how it ends.
    Await,
}

/// From the agent: a run is to be done, or told of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) verb: Verb,
    pub(super) schedule: String,
    pub(super) number: u64,
    pub(super) tick: Wall,
    pub(super) attempt: u32,
    /// How long it may take.
    pub(super) deadline: Duration,
}

/// To the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// It has ended here.
    Ended(End),
    /// It has not, here.
    Runs,
    /// It is not known here.
    Stranger,
}

/// How a run ended where it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) outcome: RunOutcome,
    /// When it began, and how long it took. `None`: it did not.
    pub(super) span: Option<(Wall, Duration)>,
}

/// An order waits so long for a member that can take it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// An order that has not waited for anything is here within this.
const PROMPT: Duration = Duration::from_secs(1);

/// So many runs of each schedule are remembered when they have ended.
const REMEMBERED: usize = 64;

/// Longer texts of errors are cut. A page of statuses is to fit into a message.
pub(super) const TEXT: usize = 512;

/// The jobs of one member, and their runs.
#[derive(Default)]
pub(super) struct Jobs(Mutex<Table>);

#[derive(Default)]
struct Table {
    jobs: BTreeMap<String, Arc<Job>>,
    runs: BTreeMap<String, Runs>,
    /// The latest agent that has ordered anything.
    agent: Option<Incarnation>,
}

/// The runs of one schedule.
#[derive(Default)]
struct Runs {
    present: BTreeMap<u64, Reader<Option<End>>>,
    past: VecDeque<(u64, End)>,
}

/// What comes of an order.
enum Answering {
    Now(Told),
    Later(Reader<Option<End>>),
    Run(Arc<Job>, Underway),
}

impl Jobs {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: there is one of that name.
    pub(super) fn add(&self, name: &str, job: Arc<Job>) -> bool {
        let mut table = self.table();
        let is_new = !table.jobs.contains_key(name);
        table.jobs.entry(name.to_owned()).or_insert(job);
        is_new
    }

    /// `agent_ended`: whoever has ordered it has, as far as is known here.
    fn take(self: &Arc<Self>, order: &Order, from: MemberId, agent_ended: bool, now: Wall) -> Answering {
        let mut table = self.table();
        // Its successor has asked for what runs, and knows nothing of this.
        if table.agent.is_some_and(|agent| agent > from.incarnation()) {
            return Answering::Now(Told::Stranger);
        }
        table.agent = Some(from.incarnation());
        let by = match order.verb {
            Verb::Run { by } => by,
            Verb::Ask | Verb::Await => {
                let Some(runs) = table.runs.get(&order.schedule) else { return Answering::Now(Told::Stranger) };
                return match (runs.present.get(&order.number), order.verb) {
                    (Some(run), Verb::Await) => Answering::Later(run.clone()),
                    (Some(_), Verb::Ask | Verb::Run { .. }) => Answering::Now(Told::Runs),
                    (None, _) => {
                        let past = runs.past.iter().find(|(number, _)| *number == order.number);
                        Answering::Now(past.map_or(Told::Stranger, |(_, end)| Told::Ended(end.clone())))
                    }
                };
            }
        };
        let not_begun = |outcome| Answering::Now(Told::Ended(End { outcome, span: None }));
        if now > by {
            return not_begun(RunOutcome::NoMember);
        }
        // It has waited for longer than an order takes, and by now somebody else may have been told to forget it.
        if agent_ended && now.plus(PATIENCE).since(by) > PROMPT {
            return Answering::Now(Told::Stranger);
        }
        let Some(job) = table.jobs.get(&order.schedule).cloned() else { return not_begun(RunOutcome::NoJob) };
        let end = Bulletin::new(None);
        let runs = table.runs.entry(order.schedule.clone()).or_default();
        runs.present.insert(order.number, end.reader());
        let (jobs, schedule) = (self.clone(), order.schedule.clone());
        Answering::Run(
            job,
            Underway { jobs, schedule, number: order.number, began: now, at: clock::now(), outcome: None, end },
        )
    }

    /// Takes orders, from now on.
    pub(super) fn reply(self: &Arc<Self>, cx: Context) -> Arc<Reply> {
        let jobs = self.clone();
        Arc::new(move |delivery: Delivery| -> Task {
            let answerer = Answerer::to(&delivery);
            let Some(order) = decode::<Order>(delivery.header.flags.raw, &delivery.payload()) else {
                return Box::pin(answerer.give(Answer::without(Reason::Undecodable)));
            };
            let member = &delivery.member;
            let ended =
                member.roster.look(|known| known.as_ref().is_some_and(|known| known.has_seen_end_of(delivery.from)));
            match jobs.take(&order, delivery.from, ended, cx.calendar().into()) {
                Answering::Now(told) => Box::pin(give(answerer, told)),
                Answering::Later(mut run) => Box::pin(async move {
                    match run.wait_for(Option::is_some).await {
                        Ok(Some(end)) => give(answerer, Told::Ended(end)).await,
                        // It is told before it is closed.
                        Ok(None) | Err(Closed) => give(answerer, Told::Stranger).await,
                    }
                }),
                Answering::Run(job, underway) => {
                    let cx = cx.clone();
                    Box::pin(async move {
                        let end = underway.carry_out(&order, &*job, cx).await;
                        give(answerer, Told::Ended(end)).await;
                    })
                }
            }
        })
    }
}

async fn give(answerer: Answerer, told: Told) {
    let limit = answerer.member.limits.payload;
    answerer.give(Answer::of::<_, &str>(Ok(told), limit)).await;
}

/// A run that is being done. However it ends, that is remembered.
struct Underway {
    jobs: Arc<Jobs>,
    schedule: String,
    number: u64,
    began: Wall,
    at: Instant,
    /// `None`: it is dropped on the way out of a panic.
    outcome: Option<RunOutcome>,
    end: Bulletin<Option<End>>,
}

impl Underway {
    async fn carry_out(mut self, order: &Order, job: &Job, cx: Context) -> End {
        let tick = Tick {
            schedule: order.schedule.clone(),
            due: order.tick.into(),
            attempt: order.attempt,
            number: order.number,
        };
        let span =
            tracing::info_span!("run", schedule = order.schedule, number = order.number, attempt = order.attempt);
        // Also what it does before it first waits is within the span, and a panic in that is one of the run.
        let work = async move { job(cx, tick).await }.instrument(span);
        let outcome = match tokio::time::timeout(order.deadline, work).await {
            Ok(Ok(())) => RunOutcome::Done,
            Ok(Err(error)) => RunOutcome::Failed(cut(&error, TEXT).to_owned()),
            Err(_) => RunOutcome::TimedOut,
        };
        self.outcome = Some(outcome);
        self.as_it_is()
    }

    fn as_it_is(&self) -> End {
        let took = clock::now().saturating_duration_since(self.at);
        End { outcome: self.outcome.clone().unwrap_or(RunOutcome::Panicked), span: Some((self.began, took)) }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let end = self.as_it_is();
        let mut table = self.jobs.table();
        if let Some(runs) = table.runs.get_mut(&self.schedule) {
            runs.present.remove(&self.number);
            runs.past.push_back((self.number, end.clone()));
            if runs.past.len() > REMEMBERED {
                runs.past.pop_front();
            }
        }
        drop(table);
        self.end.post(Some(end));
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.table().jobs.keys()).finish()
    }
}
