//! The way to the schedules: for the plan before, and for members while they run.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::declared::{Checked, Schedule, ScheduleError};
use super::desk::Desk;
use super::jobs::{Job, Jobs, RUN, Tick, job};
use super::keeper;
use super::status::ScheduleStatus;
use crate::context::Context;
use crate::error::BoxError;
use crate::identity::{Role, Slot};
use crate::messenger::{CallError, Messenger, Reason, Request, SendError};

/// The action by which the agent is asked how its schedules are.
const STATUS: &str = "hatchery:schedule/status";

/// So many statuses fit into the smallest message that a plan with schedules may have.
const PAGE: usize = 32;

/// The least that the payload limit of a plan with schedules may be, in bytes: what is known of one of them fits into it, and
/// a page of statuses.
pub(crate) const PAYLOAD: usize = 64 * 1024;

/// The longest name of a schedule, in bytes. With what the library puts before it, it names a topic.
const NAME: usize = 200;

/// The schedules of a plan, checked.
#[derive(Clone, Default)]
pub(crate) struct Program {
    pub(crate) schedules: Vec<(String, Checked)>,
    pub(crate) jobs: Vec<(String, Arc<Job>)>,
}

/// What a member has to do with schedules.
#[derive(Clone, Default)]
struct Local {
    jobs: Arc<Jobs>,
    desk: Arc<Desk>,
}

/// Gives a member what the plan says of schedules, before its function runs.
pub(crate) fn install(cx: &Context, program: &Program) {
    if program.jobs.is_empty() {
        return;
    }
    let schedules = cx.schedules();
    for (name, job) in &program.jobs {
        schedules.local.jobs.add(name, job.clone());
    }
    if cx.role() == Role::AGENT {
        for (name, checked) in &program.schedules {
            // They were checked to differ, and to be few enough.
            let _ = schedules.begin(name, checked.clone(), true);
        }
    }
}

/// Whether a schedule can be called so.
pub(crate) fn check_name(name: &str) -> Result<(), ScheduleError> {
    let why = match name.len() {
        0 => "it has none".to_owned(),
        len if len > NAME => format!("it is {len} bytes long, and {NAME} are the most"),
        _ => return Ok(()),
    };
    Err(ScheduleError::Setting { setting: "the name", why })
}

impl Context {
    /// The schedules, as far as this member has to do with them: what it runs, and, in the agent, what is run when.
    pub fn schedules(&self) -> Schedules {
        let (mut local, mut is_new) = (Local::default(), false);
        // `None`: the link is lost, and nothing comes of it.
        self.member().keep.visit(|kept: &mut Option<Local>| {
            is_new = kept.is_none();
            local = kept.get_or_insert_with(|| std::mem::take(&mut local)).clone();
        });
        if is_new {
            let member = self.member();
            // Who is gone, is known to whoever takes orders.
            member.watch();
            // Nobody else takes that action.
            let _ = member.dispatch.set_reply(member, RUN, local.jobs.reply(self.clone()));
        }
        Schedules { cx: self.clone(), local }
    }
}

/// What a member can say of schedules. From [`Context::schedules`].
#[derive(Clone)]
pub struct Schedules {
    cx: Context,
    local: Local,
}

impl Schedules {
    /// What is to be done in this member when a schedule of that name has it run here. Before
    /// [`ready`](crate::Context::ready), or a run that comes in between fails with [`RunOutcome::NoJob`](super::RunOutcome::NoJob).
    ///
    /// # Errors
    /// [`ScheduleError::Twice`]: there is such a job already.
    pub fn job<F, Fut, E>(&self, name: &str, work: F) -> Result<(), ScheduleError>
    where
        F: Fn(Context, Tick) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        check_name(name)?;
        match self.local.jobs.add(name, job(work)) {
            true => Ok(()),
            false => Err(ScheduleError::Twice),
        }
    }

    /// Begins a schedule, in the agent: at once, or when the cluster is ready. What it has run, and what it has not, is known
    /// to the master: an agent that adds it again after its predecessor has ended goes on where that was.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn add(&self, name: &str, schedule: &Schedule) -> Result<(), ScheduleError> {
        check_name(name)?;
        if self.cx.role() != Role::AGENT {
            return Err(ScheduleError::NotTheAgent);
        }
        let limit = self.cx.member().limits.payload;
        if limit < PAYLOAD {
            let why = format!("it is {limit} bytes, and schedules need {PAYLOAD}");
            return Err(ScheduleError::Setting { setting: "the payload limit", why });
        }
        let role = self.cx.messenger().role(schedule.role());
        let role = role.map_err(|error| ScheduleError::Setting { setting: "the role", why: error.to_string() })?;
        self.begin(name, schedule.check(role)?, false)
    }

    fn begin(&self, name: &str, checked: Checked, lasting: bool) -> Result<(), ScheduleError> {
        self.local.desk.add(name, checked, lasting)?;
        if self.local.desk.take_charge() {
            let desk = self.local.desk.clone();
            let cx = self.cx.clone();
            let page = move |request: Request<Option<String>>| {
                let (desk, stopping) = (desk.clone(), cx.stopping());
                async move {
                    tokio::select! {
                        biased;
                        page = desk.page(request.body.as_deref(), PAGE) => Ok(page),
                        // What is not known yet will not be: whoever asks must not keep the agent from leaving.
                        () = stopping => Err("the agent is leaving"),
                    }
                }
            };
            // Nobody else answers that.
            let _ = self.cx.messenger().serve(STATUS, page);
            self.cx.spawn(keeper::keep(self.cx.clone(), self.local.desk.clone()));
        }
        Ok(())
    }

    /// Ends a schedule, in the agent. Runs that have begun are finished, and nobody hears how. One of the plan does not come back
    /// with the next agent; of any other nothing is known any more. `false`: there is none.
    pub fn remove(&self, name: &str) -> bool {
        self.local.desk.remove(name)
    }
}

impl Messenger {
    /// How the schedules are, in the order of their names. The agent is asked: while it is not there, or the cluster has not
    /// been ready yet, this waits.
    ///
    /// `deadline` covers all of it. Cancel-safe.
    ///
    /// # Errors
    /// As of [`call_within`](Messenger::call_within).
    pub async fn schedules(&self, deadline: Duration) -> Result<Vec<ScheduleStatus>, CallError> {
        let all = async {
            let mut known: Vec<ScheduleStatus> = Vec::new();
            loop {
                let after = known.last().map(|status| status.name.clone());
                match self.request::<Vec<ScheduleStatus>>(deadline, Slot::agent().into(), STATUS, &after).await {
                    Ok(page) if page.is_empty() => return Ok(known),
                    Ok(page) => known.extend(page),
                    // An agent without schedules has nobody to answer that, and without an agent there are none.
                    Err(CallError::Undelivered(Reason::NoHandler) | CallError::Send(SendError::NoSuchMember(_))) => {
                        return Ok(Vec::new());
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        tokio::time::timeout(deadline, all).await.unwrap_or(Err(CallError::Undelivered(Reason::TimedOut)))
    }
}

impl fmt::Debug for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules").field("jobs", &self.local.jobs).finish_non_exhaustive()
    }
}
