//! What the core was told and what it answered, step by step from a known state: enough to take every decision again.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::action::{Action, Cause};
use super::deadlines::Deadlines;
use super::dice::Dice;
use super::event::Event;
use super::history::History;
use super::moment::Moment;
use super::phases::Phase;
use super::plan::Plan;
use super::regroup::Regroup;
use super::supervisor::{RoleState, Supervisor};
use super::written;
use crate::identity::{MemberId, Role, Slot};

/// The way in which recordings are written. It changes with the core: a core of another version decides otherwise, and
/// does not read them.
pub const VERSION: u32 = 1;

/// One fact, and what followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When it was told.
    pub at: Moment,
    /// What was told.
    pub event: Event,
    /// What is to be done about it.
    pub actions: Vec<Action>,
}

/// A state, and the steps from there. Written with serde, in any format; read again, it needs the plan of its cluster, in
/// which the strategies and the names of the roles are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    version: u32,
    #[serde(with = "Written")]
    start: Supervisor,
    steps: Vec<Step>,
}

/// Where a replay came to something else than the recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Divergence {
    /// It was made by another version of the core.
    #[error("the recording is of version {found}, and this is {VERSION}")]
    Version {
        /// Which.
        found: u32,
    },
    /// The plan has other roles than the cluster that was recorded.
    #[error("the plan is not that of the recording: {0}")]
    Plan(String),
    /// The same fact has another answer. Above all: another strategy, or one that is not a function of its arguments.
    #[error("step {number}, {event} at {at}: recorded [{recorded}], replayed [{replayed}]", recorded = line(.recorded), replayed = line(.replayed))]
    Step {
        /// Which step, from 0.
        number: usize,
        /// When.
        at: Moment,
        /// What was told.
        event: Box<Event>,
        /// What had followed.
        recorded: Vec<Action>,
        /// What followed now.
        replayed: Vec<Action>,
    },
}

impl Recording {
    pub(super) fn new(start: Supervisor, steps: Vec<Step>) -> Recording {
        Recording { version: VERSION, start, steps }
    }

    /// The steps, the oldest first. Of a recording that was read from somewhere, only the agent and the workers have their
    /// names; in those that [`replay`](Recording::replay) gives all have.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Tells a core with this plan what was told, from the state at the beginning of the recording. Gives the steps as they
    /// were taken again.
    ///
    /// # Errors
    /// At the first step that comes to other actions. When the plan cannot be that of the recording, or the recording is
    /// of another version, at once.
    pub fn replay(&self, plan: Plan) -> Result<Vec<Step>, Divergence> {
        if self.version != VERSION {
            return Err(Divergence::Version { found: self.version });
        }
        let mut supervisor = self.start.clone();
        supervisor.adopt(plan).map_err(Divergence::Plan)?;
        let mut steps = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let event = step.event.clone().renamed(&|role| supervisor.name(role));
            let actions = supervisor.handle(event.clone(), step.at).into_iter().collect::<Vec<_>>();
            if actions != step.actions {
                let (at, event, recorded) = (step.at, Box::new(event), step.actions.clone());
                return Err(Divergence::Step { number, at, event, recorded, replayed: actions });
            }
            steps.push(Step { at: step.at, event, actions });
        }
        Ok(steps)
    }
}

impl Step {
    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        let text = match &self.event {
            Event::Exited(_, exit) => {
                exit.stderr.len() + exit.exception.as_ref().map_or(0, |exception| exception.message.len())
            }
            Event::Exception(_, exception) => exception.message.len(),
            Event::LinkLost(_, error) => error.to_string().len(),
            Event::Boot
            | Event::Ready(_)
            | Event::Unresponsive(..)
            | Event::Operate(..)
            | Event::Stop(_)
            | Event::DeadlinePassed => 0,
        };
        // Once in the fact, and again in each action that tells of it: few do.
        size_of::<Step>() + self.actions.len() * size_of::<Action>() + 3 * text
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} => {}", self.at, self.event, line(&self.actions))
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// Actions in one line. What members wrote may have several.
fn line(actions: &[Action]) -> String {
    actions.iter().map(|action| action.to_string().replace('\n', "\\n")).collect::<Vec<_>>().join("; ")
}

impl Event {
    /// The same, with the role's own name.
    fn renamed(self, name: &impl Fn(Role) -> Role) -> Event {
        let member = |id: MemberId| Slot::new(name(id.role()), id.slot().index()).member(id.incarnation());
        let slot = |slot: Slot| Slot::new(name(slot.role()), slot.index());
        use super::operation::Operation;
        match self {
            Event::Ready(id) => Event::Ready(member(id)),
            Event::Exception(id, exception) => Event::Exception(member(id), exception),
            Event::Unresponsive(id, span) => Event::Unresponsive(member(id), span),
            Event::LinkLost(id, error) => Event::LinkLost(member(id), error),
            Event::Exited(id, exit) => Event::Exited(member(id), exit),
            Event::Operate(id, Operation::Scale(role, count)) => {
                Event::Operate(id, Operation::Scale(name(role), count))
            }
            Event::Operate(id, Operation::Restart(at)) => Event::Operate(id, Operation::Restart(slot(at))),
            Event::Operate(id, Operation::Stop(at)) => Event::Operate(id, Operation::Stop(slot(at))),
            Event::Boot | Event::Stop(_) | Event::DeadlinePassed => self,
        }
    }
}

impl Supervisor {
    /// Takes over what was not written down: the plan, with its strategies and names.
    fn adopt(&mut self, plan: Plan) -> Result<(), String> {
        if plan.roles.len() != self.roles.len() {
            return Err(format!("it has {} roles, and there were {}", plan.roles.len(), self.roles.len()));
        }
        for (state, plan) in self.roles.iter_mut().zip(plan.roles) {
            if state.places.first().is_some_and(|place| place.slot.role() != plan.role) {
                return Err(format!("role {} is at the place of another", plan.role));
            }
            for place in &mut state.places {
                place.slot = Slot::new(plan.role, place.slot.index());
            }
            state.restart_type = plan.strategy.restart_type();
            state.significant = plan.strategy.is_significant();
            state.plan = plan;
        }
        let roles: Vec<Role> = self.roles.iter().map(|state| state.plan.role).collect();
        let name = |role: Role| roles.iter().copied().find(|&known| known == role).unwrap_or(role);
        let member = |id: MemberId| Slot::new(name(id.role()), id.slot().index()).member(id.incarnation());
        self.leftovers.iter_mut().for_each(|id| *id = member(*id));
        if let Some(regroup) = &mut self.regroup {
            regroup.first = member(regroup.first);
        }
        Ok(())
    }

    fn name(&self, role: Role) -> Role {
        self.roles.iter().map(|state| state.plan.role).find(|&known| known == role).unwrap_or(role)
    }
}

impl Cause {
    /// The same without what its process wrote to stderr, which can be long.
    pub(super) fn without_stderr(mut self) -> Cause {
        if let Some(exit) = self.exit_mut() {
            exit.stderr = String::new();
        }
        self
    }
}

/// How a supervisor is written: all of it but the plan.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Supervisor")]
struct Written {
    phase: Phase,
    roles: Vec<RoleState>,
    deadlines: Deadlines,
    #[serde(with = "written::members")]
    leftovers: Vec<MemberId>,
    stop_asked: Option<Moment>,
    regroup: Option<Regroup>,
    history: History,
    dice: Dice,
}
