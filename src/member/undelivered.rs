//! What came back: messages of this member that were not delivered.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::identity::{MemberId, Role, Slot};
use crate::transport::Reason;

/// How many wait for one who listens. Older ones are given up for younger, and counted.
pub(super) const KEPT: usize = 1024;

/// A message that was not delivered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Undelivered {
    /// Whom it would have reached: of a group, this one.
    pub to: Lost,
    /// Why not.
    pub reason: Reason,
    /// The receiver that died had been given it: it may have acted on it. Otherwise nobody has seen it.
    pub perhaps_seen: bool,
    /// What it was about.
    pub action: String,
    /// What it said, as it was encoded. Empty for a copy of a group message.
    pub payload: Bytes,
    /// So many more came back before this one for which there was no room.
    pub omitted: u64,
}

/// Whom a message was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Whoever filled this slot.
    Slot(Slot),
    /// This process and no other.
    Member(MemberId),
    /// Any ready member of this role: it had not been chosen yet.
    Role(Role),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lost::Slot(slot) => write!(f, "{slot}"),
            Lost::Member(member) => write!(f, "{member}"),
            Lost::Role(role) => write!(f, "any {role}"),
        }
    }
}

/// Where returns are given to those who listen.
#[derive(Debug, Default)]
pub(crate) struct Returns {
    /// Made for the first who listens: most never do, and the room for those that wait is a hundred kilobytes.
    listeners: OnceLock<broadcast::Sender<Undelivered>>,
    omitted: AtomicU64,
    count: AtomicU64,
}

impl Returns {
    /// The master had no room for so many.
    pub(crate) fn omit(&self, count: u64) {
        self.omitted.fetch_add(count, Ordering::Relaxed);
        self.count.fetch_add(count, Ordering::Relaxed);
        tracing::warn!(count, "messages came back for which there was no room");
    }

    pub(crate) fn add(&self, mut undelivered: Undelivered) {
        undelivered.omitted = self.omitted.swap(0, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(to = %undelivered.to, action = undelivered.action, reason = %undelivered.reason,
            "message not delivered");
        // Nobody listens: it is counted.
        if let Some(listeners) = self.listeners.get() {
            let _ = listeners.send(undelivered);
        }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Undelivered> {
        self.listeners.get_or_init(|| broadcast::Sender::new(KEPT)).subscribe()
    }

    /// How many have come back.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
