//! The calls of this member that have no answer yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::identity::MemberId;
use crate::transport::Outcome;

/// What came for a call.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who has answered, or has not, where it is known.
    pub(crate) from: Option<MemberId>,
    pub(crate) outcome: Outcome,
    pub(crate) raw: bool,
    pub(crate) payload: Bytes,
}

/// Who waits for which answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    last: u32,
    open: BTreeMap<u32, oneshot::Sender<Answer>>,
    closed: bool,
}

/// A call that waits. Dropped, its answer is nobody's business any more.
#[derive(Debug)]
pub(crate) struct Pending {
    calls: Calls,
    number: u32,
    answer: oneshot::Receiver<Answer>,
}

impl Calls {
    /// Opens a call. Its number is its own among all that are open.
    pub(crate) fn open(&self) -> Pending {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = loop {
            waiting.last = waiting.last.wrapping_add(1);
            if waiting.last != 0 && !waiting.open.contains_key(&waiting.last) {
                break waiting.last;
            }
        };
        if !waiting.closed {
            waiting.open.insert(number, sender);
        }
        Pending { calls: self.clone(), number, answer }
    }

    /// An answer is here. `false`: nobody waits for it any more.
    pub(crate) fn answer(&self, number: u32, answer: Answer) -> bool {
        let sender = self.waiting().open.remove(&number);
        sender.is_some_and(|sender| sender.send(answer).is_ok())
    }

    /// The link is gone: no answer will come.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.open.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The answer. `None`: the link is gone.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.calls.waiting().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer { from: None, outcome: Outcome::Answered, raw: false, payload: Bytes::new() }
    }

    #[tokio::test]
    async fn a_call_has_one_answer_and_one_that_was_given_up_none() {
        let calls = Calls::default();
        let (mut first, second) = (calls.open(), calls.open());
        assert_ne!(first.number(), second.number());
        let given_up = second.number();
        drop(second);
        assert!(!calls.answer(given_up, answer()));
        assert!(calls.answer(first.number(), answer()));
        assert!(!calls.answer(first.number(), answer()), "twice");
        assert!(first.answer().await.is_some());
        let mut last = calls.open();
        calls.close();
        assert!(last.answer().await.is_none());
        assert!(calls.open().answer().await.is_none(), "also one that is opened later");
    }
}
