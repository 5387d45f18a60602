//! What operators have asked for and not heard of: each is told once how it ended.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::supervision::{Conclusion, OperationId};

/// Operations that are under way, and who waits for each. The core ends each within its deadlines, so there are no more
/// than are asked for in that time.
#[derive(Debug, Default)]
pub(super) struct Operations {
    last: u64,
    open: BTreeMap<OperationId, oneshot::Sender<Conclusion>>,
}

impl Operations {
    /// Gives an operation its number.
    pub(super) fn open(&mut self, asker: oneshot::Sender<Conclusion>) -> OperationId {
        self.last += 1;
        let id = OperationId(self.last);
        self.open.insert(id, asker);
        id
    }

    /// It has ended. One who does not wait any more need not be told.
    pub(super) fn conclude(&mut self, id: OperationId, conclusion: Conclusion) {
        if let Some(asker) = self.open.remove(&id) {
            let _ = asker.send(conclusion);
        }
    }
}
