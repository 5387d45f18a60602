//! The board by the door, where others may look at it too: handles read who is who without asking the master.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::board::Board;
use crate::process::clock;
use crate::roster::{Life, Roster};
use crate::supervision::{Moment, Plan};

/// The board, and since when it hangs there. The lock is held for as long as it takes to write or copy what is on it,
/// and never over an await.
#[derive(Debug)]
pub(crate) struct SharedBoard {
    board: Mutex<Board>,
    started: Instant,
}

impl SharedBoard {
    /// An empty one for the slots of `plan`. Time begins now.
    pub(crate) fn new(plan: &Plan, master_pid: u32) -> SharedBoard {
        let slots = plan.roles().iter().flat_map(|role| role.slots());
        SharedBoard { board: Mutex::new(Board::new(slots, master_pid)), started: clock::now() }
    }

    /// When time began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The present, as the core counts it.
    pub(crate) fn now(&self) -> Moment {
        Moment::from_start(clock::now().saturating_duration_since(self.started))
    }

    /// One who panicked with it in hand has left it as it was between two entries.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is who, now.
    pub(crate) fn roster(&self) -> Roster {
        self.lock().roster(self.now())
    }

    /// The processes that there are, now.
    pub(crate) fn lives(&self) -> Vec<Life> {
        self.lock().lives(self.now())
    }
}
