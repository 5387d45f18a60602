//! How a thread is told to end: said once, heard at its next yield.

use std::sync::Arc;

use tokio::sync::watch;

use crate::process::ExitStatus;

/// The reins of one thread. Cheap to clone; every clone holds the same thread.
#[derive(Clone)]
pub(super) struct Reins(Arc<watch::Sender<Option<ExitStatus>>>);

impl Reins {
    pub(super) fn new() -> Reins {
        Reins(Arc::new(watch::Sender::new(None)))
    }

    /// Ends it as a signal would.
    pub(super) fn kill(&self) {
        const KILL: i32 = 9;
        self.end(ExitStatus::Signal { number: KILL, core_dumped: false });
    }

    /// Ends it in this way, if nobody has before.
    pub(super) fn end(&self, status: ExitStatus) {
        self.0.send_if_modified(|ordered| match ordered {
            Some(_) => false,
            None => {
                *ordered = Some(status);
                true
            }
        });
    }

    /// How it was told to end, when it is.
    pub(super) async fn ended(&self) -> ExitStatus {
        let mut orders = self.0.subscribe();
        loop {
            if let Some(status) = self.order() {
                return status;
            }
            // Its other end is this.
            let _ = orders.changed().await;
        }
    }

    /// How it was told to end. `None`: it was not.
    pub(super) fn order(&self) -> Option<ExitStatus> {
        *self.0.borrow()
    }
}
