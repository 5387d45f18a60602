//! Hears of the panics of a member that has no panic hook, because it shares its process with others: at the poll of a
//! task of its own, and where a panic drops something that it was given.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::shared::Member;
use crate::process::{catch_future, is_contained};
use crate::transport::What;

/// The lookout of one member. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub(crate) struct Lookout(Arc<Inner>);

struct Inner {
    runtime: Handle,
    /// Known as soon as there is one. It holds its lookout, so not the other way round.
    member: OnceLock<Weak<Member>>,
    /// A panic has dropped something of the member's, and nobody has told of it yet.
    untold: AtomicBool,
    /// What it logs goes somewhere of its own.
    subscribed: AtomicBool,
}

/// All that is known of a panic that was only noticed. The process's own hook has printed the rest.
const NOTICED: &str = "a panic in a task that was not started with cx.spawn: its text is on stderr";

impl Lookout {
    pub(crate) fn new(runtime: Handle) -> Lookout {
        Lookout(Arc::new(Inner {
            runtime,
            member: OnceLock::new(),
            untold: AtomicBool::new(false),
            subscribed: AtomicBool::new(false),
        }))
    }

    pub(crate) fn belongs_to(&self, member: &Arc<Member>) {
        let _ = self.0.member.set(Arc::downgrade(member));
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Spawns a task. A panic in it is an exception of the member, and ends the task for whoever joins it.
    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let lookout = self.clone();
        self.0.runtime.spawn(async move {
            match catch_future(Box::pin(task)).await {
                Ok(output) => output,
                Err(panicked) => {
                    let text = panicked.untold.unwrap_or_else(|| "a panic".to_owned());
                    lookout.panic_told();
                    lookout.tell(text.clone());
                    // No hook is called again.
                    resume_unwind(Box::new(text))
                }
            }
        })
    }

    /// Has what this thread logs go to `subscriber`. The thread is the member's own, and ends with it.
    pub(super) fn subscribe(&self, subscriber: tracing::Dispatch) -> bool {
        let is_first = !self.0.subscribed.swap(true, Ordering::Relaxed);
        if is_first {
            std::mem::forget(tracing::dispatcher::set_default(&subscriber));
        }
        is_first
    }

    /// A panic was caught, and has been told.
    pub(super) fn panic_told(&self) {
        self.0.untold.store(false, Ordering::Relaxed);
    }

    /// Something of the member's is dropped. By a panic, it is told: unless whoever catches that does it, who is on the
    /// way up, and there before any other task of this thread.
    pub(super) fn released(&self) {
        if !std::thread::panicking() || is_contained() || self.0.untold.swap(true, Ordering::Relaxed) {
            return;
        }
        let lookout = self.clone();
        self.0.runtime.spawn(async move {
            if lookout.0.untold.swap(false, Ordering::Relaxed) {
                lookout.tell(NOTICED.to_owned());
            }
        });
    }

    fn tell(&self, text: String) {
        if let Some(member) = self.0.member.get().and_then(Weak::upgrade) {
            member.exception(What::Panic, text);
        }
    }
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookout")
    }
}
