//! Questions to those who may not answer. Each is asked one at a time: whoever wants to know the same meanwhile waits for the
//! same answer. So one who is stuck is asked once, however often somebody looks, and not a queue full.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What is being asked, by whom it is asked of.
#[derive(Debug)]
pub(super) struct Inquiries<K, T>(Arc<Mutex<HashMap<K, Inquiry<T>>>>);

/// A question that was asked.
#[derive(Clone, Debug)]
pub(super) struct Inquiry<T>(watch::Receiver<Heard<T>>);

/// What came of it.
#[derive(Clone, Debug)]
enum Heard<T> {
    Nothing,
    Answer(T),
    /// There will be no answer.
    Silence,
}

impl<K, T> Default for Inquiries<K, T> {
    fn default() -> Inquiries<K, T> {
        Inquiries(Arc::default())
    }
}

impl<K, T> Inquiries<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Asks, unless that is being asked already. `question` ends by itself, with `None` if it has no answer.
    pub(super) fn ask(&self, of: K, question: impl Future<Output = Option<T>> + Send + 'static) -> Inquiry<T> {
        let mut asked = self.asked();
        if let Some(inquiry) = asked.get(&of) {
            return inquiry.clone();
        }
        let (told, heard) = watch::channel(Heard::Nothing);
        let inquiry = Inquiry(heard);
        asked.insert(of, inquiry.clone());
        drop(asked);
        let under_way = UnderWay { all: self.0.clone(), of };
        tokio::spawn(async move {
            let answer = question.await;
            // Before it is told: whoever asks because of the answer, asks anew.
            drop(under_way);
            let _ = told.send(answer.map_or(Heard::Silence, Heard::Answer));
        });
        inquiry
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<K, Inquiry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question as long as it is under way, also where the task that asks it is dropped.
struct UnderWay<K: Eq + Hash, T> {
    all: Arc<Mutex<HashMap<K, Inquiry<T>>>>,
    of: K,
}

impl<K: Eq + Hash, T> Drop for UnderWay<K, T> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.of);
    }
}

impl<T: Clone> Inquiry<T> {
    /// Resolves when it is answered, or will not be. Cancel-safe.
    pub(super) async fn settled(&mut self) {
        // Whoever would have told is gone: nothing will come.
        let _ = self.0.wait_for(|heard| !matches!(heard, Heard::Nothing)).await;
    }

    /// The answer, as far as it has come.
    pub(super) fn answer(&self) -> Option<T> {
        match &*self.0.borrow() {
            Heard::Answer(answer) => Some(answer.clone()),
            Heard::Nothing | Heard::Silence => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn one_who_does_not_answer_is_asked_once_and_anew_when_it_has() {
        let inquiries: Inquiries<u8, usize> = Inquiries::default();
        let (asked, bell) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let question = || {
            let (asked, bell) = (asked.clone(), bell.clone());
            async move {
                let nth = asked.fetch_add(1, Ordering::Relaxed) + 1;
                bell.notified().await;
                Some(nth)
            }
        };
        let mut many: Vec<_> = (0..100).map(|_| inquiries.ask(1, question())).collect();
        tokio::task::yield_now().await;
        assert_eq!(many[0].answer(), None);
        bell.notify_one();
        for inquiry in &mut many {
            inquiry.settled().await;
            assert_eq!(inquiry.answer(), Some(1));
        }
        bell.notify_one();
        let mut next = inquiries.ask(1, question());
        next.settled().await;
        assert_eq!(next.answer(), Some(2));
    }

    #[test]
    fn a_question_that_was_dropped_with_its_runtime_is_settled() {
        let inquiries: Inquiries<u8, usize> = Inquiries::default();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let first = runtime();
        let mut inquiry = first.block_on(async { inquiries.ask(1, std::future::pending()) });
        drop(first);
        runtime().block_on(async {
            inquiry.settled().await;
            let mut next = inquiries.ask(1, async { Some(7) });
            next.settled().await;
            assert_eq!((inquiry.answer(), next.answer()), (None, Some(7)));
        });
    }
}
