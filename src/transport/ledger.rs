//! What is counted of one slot's queue: how much of each sender waits there, and where every message is.

use std::collections::HashMap;
use std::time::Instant;

use super::header::Class;
use super::reason::Reason;
use super::returns::{self, Effect};
use super::run::Run;
use crate::identity::Slot;

/// Messages that wait.
#[derive(Debug)]
pub(super) struct Queued {
    /// Its place among all that came for the slot.
    pub(super) place: u64,
    pub(super) at: Instant,
    pub(super) run: Run,
}

/// What is counted of a slot.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) slot: Slot,
    /// The bound of every part of the queue, in bytes charged.
    pub(super) window: u32,
    /// What waits here of each sender, by the slot of the sender and the way it was addressed.
    used: HashMap<(Slot, Class), u32>,
    /// What waits here that might as well wait elsewhere.
    random: u32,
    pub(super) tally: Tally,
}

/// Where every message that came for this slot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) arrived: u64,
    /// Handed on by a receiver's dispatcher.
    pub(crate) delivered: u64,
    /// Gone back, or answered by the master in place of the callee.
    pub(crate) returned: u64,
    /// Waiting here, or passed on and not acknowledged.
    pub(crate) queued: u64,
}

impl Ledger {
    pub(super) fn new(slot: Slot, window: u32) -> Ledger {
        Ledger { slot, window, used: HashMap::new(), random: 0, tally: Tally::default() }
    }

    /// Whether much waits here that might as well wait elsewhere.
    pub(super) fn is_crowded(&self) -> bool {
        self.random > self.window / 8
    }

    pub(super) fn arrive(&mut self, run: &Run) {
        self.tally.arrived += u64::from(run.frames);
    }

    pub(super) fn room(&self, run: &Run) -> u32 {
        let used = self.used.get(&(run.from.slot(), run.class)).copied().unwrap_or(0);
        self.window.saturating_sub(used)
    }

    pub(super) fn hold(&mut self, run: &Run) {
        *self.used.entry((run.from.slot(), run.class)).or_default() += run.charge;
        if run.class == Class::Random {
            self.random += run.charge;
        }
    }

    /// Messages leave the queue.
    pub(super) fn release(&mut self, run: &Run) {
        let key = (run.from.slot(), run.class);
        if let Some(used) = self.used.get_mut(&key) {
            *used -= run.charge;
            if *used == 0 {
                self.used.remove(&key);
            }
            if run.class == Class::Random {
                self.random -= run.charge;
            }
        }
    }

    /// Messages leave the queue and go back.
    pub(super) fn refuse(&mut self, run: &Run, reason: Reason, out: &mut Vec<Effect>) {
        self.release(run);
        self.turn_away(run, reason, out);
    }

    /// Messages go back that never were in the queue.
    pub(super) fn turn_away(&mut self, run: &Run, reason: Reason, out: &mut Vec<Effect>) {
        self.tally.returned += u64::from(run.frames);
        out.push(returns::refuse(run, self.slot, reason));
    }
}
