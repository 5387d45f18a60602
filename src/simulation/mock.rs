//! Members that follow a script, for those who test a strategy or the master's side and have no code of a member to run.
//! To the master they are like any other: their process speaks the real protocol.

use std::fmt;
use std::time::Duration;

use crate::context::Context;
use crate::error::BoxError;
use crate::hatchery::Hatchery;
use crate::identity::{Incarnation, Role};
use crate::member::{Deed, Spawner};

/// What a member does, step after step: `MockProcess::script().boot(ms(50)).ready().crash_after(secs(3))`.
///
/// At the end of its script a member does what a good one does: it serves until it is to stop, and stops. See
/// [`Hatchery::worker_mocks`](crate::Hatchery::worker_mocks).
#[derive(Clone, Default)]
pub struct MockProcess {
    steps: Vec<Step>,
    /// Scripts of the processes with these numbers, in place of this one.
    others: Vec<(Incarnation, MockProcess)>,
}

#[derive(Clone)]
enum Step {
    Sleep(Duration),
    Ready,
    /// Something that only a process can do.
    Does(Deed),
    Exception(String),
    Return(Result<(), String>),
    Broadcast(String),
}

impl MockProcess {
    /// An empty script. A member without a single step is never ready.
    pub fn script() -> MockProcess {
        MockProcess::default()
    }

    fn then(mut self, step: Step) -> MockProcess {
        self.steps.push(step);
        self
    }

    /// Takes this long to boot.
    pub fn boot(self, time: Duration) -> MockProcess {
        self.then(Step::Sleep(time))
    }

    /// Does nothing for this long.
    pub fn sleep(self, time: Duration) -> MockProcess {
        self.then(Step::Sleep(time))
    }

    /// Says that it is ready.
    pub fn ready(self) -> MockProcess {
        self.then(Step::Ready)
    }

    /// Exits with this code.
    pub fn exit(self, code: i32) -> MockProcess {
        self.then(Step::Does(Deed::Exit(code)))
    }

    /// Gets this signal, which most of them are the end of. See [`Fault::Signal`](super::Fault::Signal).
    pub fn signal(self, number: i32) -> MockProcess {
        self.then(Step::Does(Deed::Signal(number)))
    }

    /// Dies of a segmentation fault after this time.
    pub fn crash_after(self, time: Duration) -> MockProcess {
        const SEGV: i32 = 11;
        self.sleep(time).signal(SEGV)
    }

    /// Reports an exception, and goes on.
    pub fn exception(self, text: impl Into<String>) -> MockProcess {
        self.then(Step::Exception(text.into()))
    }

    /// Returns from its role function.
    pub fn returns(self, result: Result<(), &str>) -> MockProcess {
        self.then(Step::Return(result.map_err(str::to_owned)))
    }

    /// Does nothing any more, and hears nothing.
    pub fn hang(self) -> MockProcess {
        self.then(Step::Does(Deed::Hang))
    }

    /// Asked to end, it finishes what it has begun, and stays until it is killed.
    pub fn ignore_stop(self) -> MockProcess {
        self.then(Step::Does(Deed::Stay))
    }

    /// Sends an empty message of this action to all members.
    pub fn broadcast(self, action: impl Into<String>) -> MockProcess {
        self.then(Step::Broadcast(action.into()))
    }

    /// Has the nth process of each slot (from 1) follow another script.
    pub fn on(mut self, incarnation: u32, script: MockProcess) -> MockProcess {
        self.others.push((Incarnation::new(incarnation), script));
        self
    }

    fn of(&self, incarnation: Incarnation) -> &MockProcess {
        self.others.iter().find(|(number, _)| *number == incarnation).map_or(self, |(_, script)| script)
    }
}

impl fmt::Debug for MockProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockProcess").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

impl Hatchery {
    /// Declares workers that follow a script. In a simulation only; a real member says so, and ends.
    pub fn worker_mocks(self, count: usize, script: MockProcess) -> Hatchery {
        self.role_mocks(Role::WORKER.name(), count, script)
    }

    /// Declares an agent that follows a script. See [`worker_mocks`](Hatchery::worker_mocks).
    pub fn agent_mock(self, script: MockProcess) -> Hatchery {
        self.role_mocks(Role::AGENT.name(), 1, script)
    }

    /// Declares a role whose members follow a script. See [`worker_mocks`](Hatchery::worker_mocks).
    pub fn role_mocks(self, name: impl Into<String>, count: usize, script: MockProcess) -> Hatchery {
        self.role(name, count, move |context| play(script.of(context.incarnation()).clone(), context))
    }
}

/// Plays a script.
async fn play(script: MockProcess, context: Context) -> Result<(), BoxError> {
    let Spawner::Border(border) = context.member().spawner.clone() else {
        return Err("members that follow a script exist in simulations only".into());
    };
    for step in script.steps {
        match step {
            Step::Sleep(time) => tokio::time::sleep(time).await,
            Step::Ready => context.ready(),
            Step::Does(deed) => border.does(deed),
            Step::Exception(text) => context.report_exception(text),
            Step::Return(result) => return result.map_err(BoxError::from),
            Step::Broadcast(action) => context.messenger().broadcast(&action, &()).await?,
        }
        // Whoever has ended or hangs gets no further than here.
        tokio::task::yield_now().await;
    }
    context.stopping().await;
    Ok(())
}
