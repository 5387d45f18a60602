//! What is under way in a member: connections that are open, handlers that run. A member that leaves waits for it.

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
    changed: Notify,
}

/// One connection, as long as it is open.
#[derive(Debug)]
pub(crate) struct Connection(Busy);

/// One handler, as long as it runs.
#[derive(Debug)]
pub(crate) struct Handler(Busy);

impl Busy {
    pub(crate) fn connection(&self) -> Connection {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Connection(self.clone())
    }

    pub(crate) fn handler(&self) -> Handler {
        self.0.handlers.fetch_add(1, Ordering::Relaxed);
        Handler(self.clone())
    }

    /// Resolves when nothing is under way. Cancel-safe.
    pub(crate) async fn quiet(&self) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Registered before the look: an end between the two is not missed.
            changed.as_mut().enable();
            if self.0.connections.load(Ordering::Acquire) + self.0.handlers.load(Ordering::Acquire) == 0 {
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

impl Drop for Handler {
    fn drop(&mut self) {
        if self.0.0.handlers.fetch_sub(1, Ordering::AcqRel) == 1 {
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
        drop(handler);
        waiter.await.expect("it is quiet");
    }
}
