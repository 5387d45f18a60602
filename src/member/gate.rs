//! Whether this member accepts connections. One gate for all its listeners, and shut from the panic hook on any thread
//! without a lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Whether to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Position {
    Open = 0,
    /// Until the master has decided about an exception.
    Paused = 1,
    /// What is queued is accepted, and nothing after it: others will, or may.
    Emptying = 2,
    /// The same, and the socket is shut for all: nobody will.
    Sweeping = 3,
    Closed = 4,
}

/// The gate and those who wait at it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    position: AtomicU8,
    /// One for each listener that waits.
    wakers: Mutex<BTreeMap<usize, Waker>>,
    tickets: AtomicUsize,
}

impl Gate {
    pub(crate) fn position(&self) -> Position {
        match self.position.load(Ordering::Acquire) {
            0 => Position::Open,
            1 => Position::Paused,
            2 => Position::Emptying,
            3 => Position::Sweeping,
            _ => Position::Closed,
        }
    }

    /// Stops accepting, now, from wherever this is called: no lock, nobody is woken. Does not open what is closed.
    pub(crate) fn pause_at_once(&self) {
        let (open, paused) = (Position::Open as u8, Position::Paused as u8);
        let _ = self.position.compare_exchange(open, paused, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Opens what is paused.
    pub(crate) fn resume(&self) {
        let (open, paused) = (Position::Open as u8, Position::Paused as u8);
        if self.position.compare_exchange(paused, open, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.wake_all();
        }
    }

    /// Closes for good, at once or when what is queued has been accepted.
    pub(crate) fn close(&self, position: Position) {
        // Closed wins over sweeping, whoever comes first.
        self.position.fetch_max(position as u8, Ordering::AcqRel);
        self.wake_all();
    }

    /// A place to wait at, for one listener.
    pub(crate) fn ticket(&self) -> usize {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Wakes `waker` at the next change, in place of the one that was registered for this ticket.
    pub(crate) fn register(&self, ticket: usize, waker: &Waker) {
        let mut wakers = self.wakers();
        match wakers.get_mut(&ticket) {
            Some(registered) => registered.clone_from(waker),
            None => {
                wakers.insert(ticket, waker.clone());
            }
        }
    }

    pub(crate) fn forget(&self, ticket: usize) {
        self.wakers().remove(&ticket);
    }

    fn wake_all(&self) {
        for waker in self.wakers().values() {
            waker.wake_by_ref();
        }
    }

    fn wakers(&self) -> MutexGuard<'_, BTreeMap<usize, Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_can_be_taken_back_and_a_close_cannot() {
        let gate = Gate::default();
        gate.pause_at_once();
        assert_eq!(gate.position(), Position::Paused);
        gate.resume();
        assert_eq!(gate.position(), Position::Open);
        gate.close(Position::Sweeping);
        gate.pause_at_once();
        gate.resume();
        assert_eq!(gate.position(), Position::Sweeping);
        gate.close(Position::Closed);
        gate.close(Position::Sweeping);
        assert_eq!(gate.position(), Position::Closed);
    }
}
