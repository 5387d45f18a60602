//! What is under way in a member: connections that are open, handlers that run. A member that leaves waits for it, and a
//! moment for its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How much is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    connections: AtomicUsize,
    handlers: AtomicUsize,
    answers: AtomicUsize,
    changed: Notify,
}

/// One connection, as long as it is open.
#[derive(Debug)]
pub(crate) struct Connection(Busy);

/// One handler, as long as it runs.
#[derive(Debug)]
pub(crate) struct Running(Busy);

/// One answer, as long as it waits to be sent.
#[derive(Debug)]
pub(crate) struct Answering(Busy);

impl Busy {
    pub(crate) fn connection(&self) -> Connection {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Connection(self.clone())
    }

    pub(crate) fn handler(&self) -> Running {
        self.0.handlers.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    pub(crate) fn answer(&self) -> Answering {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// How many connections are open.
    #[cfg(feature = "control")]
    pub(crate) fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Resolves when no connection is open and no handler runs. Cancel-safe.
    pub(crate) async fn quiet(&self) {
        let is_quiet =
            |count: &Count| count.connections.load(Ordering::Acquire) + count.handlers.load(Ordering::Acquire) == 0;
        self.wait_until(is_quiet).await;
    }

    /// Resolves when no answer waits to be sent. Cancel-safe.
    pub(crate) async fn answered(&self) {
        self.wait_until(|count| count.answers.load(Ordering::Acquire) == 0).await;
    }

    async fn wait_until(&self, is_so: impl Fn(&Count) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Registered before the look: an end between the two is not missed.
            changed.as_mut().enable();
            if is_so(&self.0) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.0.0.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.changed.notify_waiters();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.0.handlers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.changed.notify_waiters();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.0.0.answers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn quiet_is_when_the_last_one_ends() {
        let busy = Busy::default();
        busy.quiet().await;
        let (connection, handler) = (busy.connection(), busy.handler());
        let waiter = tokio::spawn({
            let busy = busy.clone();
            async move { busy.quiet().await }
        });
        drop(connection);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        let answer = busy.answer();
        drop(handler);
        waiter.await.expect("it is quiet, though somebody is still to be answered");
        let waiter = tokio::spawn(async move { busy.answered().await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(answer);
        waiter.await.expect("all is said");
    }
}
