//! Where the tasks of a member run.

use std::future::Future;
use std::sync::Arc;
#[cfg(feature = "schedule")]
use std::time::Duration;
use std::time::SystemTime;

use tokio::runtime::{EnterGuard, Handle};
use tokio::task::JoinHandle;

#[cfg(feature = "simulation")]
use super::border::Border;
use super::lookout::Lookout;
use crate::process::clock;
#[cfg(any(feature = "log", feature = "schedule"))]
use crate::process::random;

/// How late it is noticed that the calendar was set. The kernel would tell at once, by a timer of its own that every
/// schedule in every agent would pay for with a descriptor.
#[cfg(feature = "schedule")]
const CALENDAR_HOLDS: Duration = Duration::from_secs(10);

/// What the calendar shows, to whoever asks.
pub(crate) type Calendar = Arc<dyn Fn() -> SystemTime + Send + Sync>;

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

    /// What the calendar shows.
    pub(crate) fn calendar(&self) -> SystemTime {
        match self {
            Spawner::Runtime(_) | Spawner::Lookout(_) => clock::calendar(),
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.calendar(),
        }
    }

    /// Resolves when the calendar may have been set, or the machine may have slept: it is to be looked at again.
    #[cfg(feature = "schedule")]
    pub(crate) fn calendar_set(&self) -> impl Future<Output = ()> + Send + use<> {
        #[cfg(feature = "simulation")]
        let sets = match self {
            Spawner::Runtime(_) | Spawner::Lookout(_) => None,
            Spawner::Border(border) => Some(border.calendar_sets()),
        };
        async move {
            #[cfg(feature = "simulation")]
            if let Some(mut sets) = sets {
                if sets.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                return;
            }
            tokio::time::sleep(CALENDAR_HOLDS).await;
        }
    }

    /// A number by chance.
    #[cfg(any(feature = "log", feature = "schedule"))]
    pub(crate) fn random(&self) -> u64 {
        match self {
            // A kernel without chance makes all schedules late by the same time, and does no other harm.
            Spawner::Runtime(_) | Spawner::Lookout(_) => random().unwrap_or_default(),
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.random(),
        }
    }

    /// Does what may wait for a disk, where nobody else waits for it. `None`: the runtime is shutting down. Simulated, it is done
    /// at once: a thread of its own would make every run another.
    #[cfg(feature = "log")]
    pub(crate) async fn blocking<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
        let runtime = match self {
            Spawner::Runtime(runtime) => runtime,
            Spawner::Lookout(lookout) => lookout.runtime(),
            #[cfg(feature = "simulation")]
            Spawner::Border(_) => return Some(work()),
        };
        runtime.spawn_blocking(work).await.ok()
    }

    /// Has what the member logs go to `subscriber`, from here on. `false`: it goes to another one already.
    pub(crate) fn subscribe(&self, subscriber: tracing::Dispatch) -> bool {
        match self {
            Spawner::Runtime(_) => tracing::dispatcher::set_global_default(subscriber).is_ok(),
            Spawner::Lookout(lookout) => lookout.subscribe(subscriber),
            #[cfg(feature = "simulation")]
            Spawner::Border(border) => border.subscribe(subscriber),
        }
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
