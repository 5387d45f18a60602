//! A value that is posted for all who care, and waited for.
//!
//! What tokio's `watch` is, with one difference: those who wait are woken in the order in which they came. `watch` spreads them
//! over several lists by chance, and two tasks of one member that wait for the same would run in another order each time; a
//! simulation could not be repeated.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Where it is posted. Dropped, nothing more will be.
pub(crate) struct Bulletin<T>(Arc<Board<T>>);

/// From where it is read.
pub(crate) struct Reader<T> {
    board: Arc<Board<T>>,
    /// The version that was looked at last.
    seen: u64,
}

struct Board<T> {
    posted: Mutex<Posted<T>>,
    bell: Notify,
}

struct Posted<T> {
    value: T,
    version: u64,
    closed: bool,
}

/// Nothing more will be posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<T> Board<T> {
    fn posted(&self) -> MutexGuard<'_, Posted<T>> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Bulletin<T> {
    pub(crate) fn new(value: T) -> Bulletin<T> {
        let posted = Mutex::new(Posted { value, version: 0, closed: false });
        Bulletin(Arc::new(Board { posted, bell: Notify::new() }))
    }

    /// Posts another value, also if it is the same.
    pub(crate) fn post(&self, value: T) {
        let mut posted = self.0.posted();
        posted.version += 1;
        let before = std::mem::replace(&mut posted.value, value);
        drop(posted);
        self.0.bell.notify_waiters();
        drop(before);
    }

    pub(crate) fn get(&self) -> T {
        self.0.posted().value.clone()
    }

    /// Looks at the value where it is. Nobody can post meanwhile.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.posted().value)
    }

    /// One who has seen what is posted now.
    pub(crate) fn reader(&self) -> Reader<T> {
        Reader { board: self.0.clone(), seen: self.0.posted().version }
    }
}

impl<T> Drop for Bulletin<T> {
    fn drop(&mut self) {
        self.0.posted().closed = true;
        self.0.bell.notify_waiters();
    }
}

impl<T: Clone> Reader<T> {
    pub(crate) fn get(&self) -> T {
        self.board.posted().value.clone()
    }

    /// Whether nothing more will be posted.
    pub(crate) fn is_closed(&self) -> bool {
        self.board.posted().closed
    }

    /// Resolves with the value for which `condition` holds, at once if it does. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`]: it does not, and never will.
    pub(crate) async fn wait_for(&mut self, mut condition: impl FnMut(&T) -> bool) -> Result<T, Closed> {
        self.wait(|_, value| condition(value)).await
    }

    /// Resolves with the value when it was posted after this reader has last seen one. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`]: none will be.
    pub(crate) async fn changed(&mut self) -> Result<T, Closed> {
        self.wait(|is_new, _| is_new).await
    }

    async fn wait(&mut self, mut wanted: impl FnMut(bool, &T) -> bool) -> Result<T, Closed> {
        loop {
            // Before the look: what is posted in between rings it.
            let rung = self.board.bell.notified();
            {
                let posted = self.board.posted();
                if wanted(posted.version > self.seen, &posted.value) {
                    self.seen = posted.version;
                    return Ok(posted.value.clone());
                }
                if posted.closed {
                    return Err(Closed);
                }
            }
            rung.await;
        }
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Reader<T> {
        Reader { board: self.board.clone(), seen: self.seen }
    }
}

impl<T: Clone + fmt::Debug> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_hears_what_is_posted_and_that_nothing_more_is() {
        let bulletin = Bulletin::new(1);
        let (mut reader, mut other) = (bulletin.reader(), bulletin.reader());
        assert_eq!(reader.wait_for(|value| *value == 1).await, Ok(1));
        let waiting = tokio::spawn(async move { other.wait_for(|value| *value > 2).await });
        bulletin.post(2);
        assert_eq!(reader.changed().await, Ok(2));
        tokio::task::yield_now().await;
        bulletin.post(3);
        assert_eq!(waiting.await.expect("it does not panic"), Ok(3));
        assert_eq!((reader.changed().await, reader.is_closed()), (Ok(3), false));
        drop(bulletin);
        assert_eq!((reader.changed().await, reader.is_closed(), reader.get()), (Err(Closed), true, 3));
        assert_eq!(reader.wait_for(|value| *value == 3).await, Ok(3), "what was posted last stays");
    }

    #[test]
    fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        for _ in 0..20 {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there is one");
            let order = Arc::new(Mutex::new(Vec::new()));
            runtime.block_on(async {
                let bulletin = Bulletin::new(false);
                let wait = |number: u32| {
                    let (mut reader, order) = (bulletin.reader(), order.clone());
                    tokio::spawn(async move {
                        reader.wait_for(|posted| *posted).await.expect("it is posted");
                        order.lock().expect("nobody panicked").push(number);
                    })
                };
                let waiting: Vec<_> = (0..30).map(wait).collect();
                tokio::task::yield_now().await;
                bulletin.post(true);
                for waiting in waiting {
                    waiting.await.expect("it does not panic");
                }
            });
            assert_eq!(*order.lock().expect("nobody panicked"), (0..30).collect::<Vec<_>>());
        }
    }
}
