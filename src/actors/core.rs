//! The decision core, where others may look at it too: handles read why something was decided without asking the master,
//! also when there is none any more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::supervision::{Action, Actions, Event, Moment, Plan, Recorder, Supervisor};

/// The core and what it has decided. The lock is held for one step, or for as long as it takes to copy what is looked at,
/// and never over an await.
#[derive(Debug)]
pub(crate) struct SharedCore {
    plan: Plan,
    core: Mutex<Core>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) supervisor: Supervisor,
    pub(crate) recorder: Recorder,
}

impl SharedCore {
    /// One to which nothing has been told.
    pub(crate) fn new(plan: Plan, seed: u64) -> SharedCore {
        let supervisor = Supervisor::new(plan.clone(), seed);
        let recorder = Recorder::new(&supervisor);
        SharedCore { plan, core: Mutex::new(Core { supervisor, recorder }) }
    }

    /// What it began with.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A strategy that panics is caught in the core, so that whoever holds the lock leaves it whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Tells the supervisor, and takes down what it answers.
    pub(super) fn step(&mut self, event: &Event, now: Moment) -> (Actions, Vec<Action>) {
        let actions = self.supervisor.handle(event.clone(), now);
        let told = actions.as_slice().to_vec();
        self.recorder.step(now, event, &told, &self.supervisor);
        (actions, told)
    }
}
