//! Where the tasks of a member run.

use std::future::Future;

use tokio::runtime::{EnterGuard, Handle};
use tokio::task::JoinHandle;

#[cfg(feature = "simulation")]
use super::border::Border;
use super::lookout::Lookout;

/// Spawns the tasks of one member: on the runtime of its process, or, where there is no panic
/// hook, under a lookout, or, simulated, within its border.
#[derive(Clone, Debug)]
pub(crate) enum Spawner {
    Runtime(Handle),
    Lookout(Lookout),
    #[cfg(feature = "simulation")]
    Border(Border),
}

impl Spawner {
    /// Spawns a task that ends with the member. A runtime that is shutting down takes none.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self {
            Spawner::Runtime(runtime) => runtime.spawn(task),
            Spawner::Lookout(lookout) => lookout.spawn(task),
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.spawn(task),
        }
    }

    /// For what starts tasks by itself, from wherever it is called. `None`: a simulated member's code runs in no other
    /// runtime than its own.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        match self {
            Spawner::Runtime(runtime) => Some(runtime.enter()),
            Spawner::Lookout(lookout) => Some(lookout.runtime().enter()),
            #[cfg(feature = "simulation")]
            Spawner::Border(_) => None,
        }
    }

    /// Something of this member's was started by other means, and ends with its process or with the runtime of its thread.
    /// Simulated, it has to be ended.
    pub(crate) fn adopt(&self, end: impl FnOnce() + Send + 'static) {
        match self {
            Spawner::Runtime(_) | Spawner::Lookout(_) => drop(end),
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.adopt(end),
        }
    }

    /// Code that holds this member does something that others could notice. Of a process that has ended there is no such
    /// code; simulated, there may be. What a thread leaves behind finds its link closed.
    pub(crate) fn acts(&self, deed: &'static str) {
        match self {
            Spawner::Runtime(_) | Spawner::Lookout(_) => {}
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.acts(deed),
        }
        #[cfg(not(feature = "simulation"))]
        let _ = deed;
    }

    /// A panic was caught, and has been told.
    pub(crate) fn panic_told(&self) {
        match self {
            // The hook hears of every panic.
            Spawner::Runtime(_) => {}
            Spawner::Lookout(lookout) => lookout.panic_told(),
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.panic_told(),
        }
    }

    /// Something that belongs to this member is dropped. If by a panic, that is one that the member should hear of.
    pub(crate) fn released(&self) {
        match self {
            // The hook hears of every panic.
            Spawner::Runtime(_) => {}
            Spawner::Lookout(lookout) => lookout.released(),
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.released(),
        }
    }
}

impl From<Handle> for Spawner {
    fn from(runtime: Handle) -> Spawner {
        Spawner::Runtime(runtime)
    }
}
