//! The board by the door: who is here and how they are, as the core sees it and with what only the world knows of them,
//! the pids.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::messages::SlotMsg;
use super::observe::Beat;
use super::routes::{Prospect, Routes};
use crate::identity::{Incarnation, MemberId, Slot};
use crate::roster::{Life, MemberState, MemberStatus, Roster};
use crate::supervision::{Moment, Record, Seat, Supervisor};
use crate::transport::{Books, roster_frame};

/// What is known of every slot and its processes.
#[derive(Debug)]
pub(crate) struct Board {
    master_pid: u32,
    slots: BTreeMap<Slot, Entry>,
    /// Of processes that have not been heard to end.
    processes: HashMap<MemberId, Process>,
    exceptions: HashMap<MemberId, u32>,
    /// Those that are not heard although they should be.
    silent: BTreeSet<MemberId>,
    watchers: BTreeSet<MemberId>,
    /// How the last process ended of slots that there are not for now.
    closed: BTreeMap<Slot, String>,
    changed: bool,
    /// Slots whose prospects for a random message have changed since they were last taken.
    moved: BTreeMap<Slot, Prospect>,
}

/// A process, since when it exists, and what is kept of its link.
#[derive(Debug)]
struct Process {
    pid: u32,
    since: Moment,
    books: Arc<Books>,
}

#[derive(Debug)]
struct Entry {
    members: Vec<(Incarnation, MemberState)>,
    /// When it is tried again, if it is.
    retry_at: Option<Moment>,
    last_exit: Option<String>,
}

impl Default for Entry {
    /// Of a slot that has had no process.
    fn default() -> Entry {
        Entry { members: vec![(Incarnation::new(0), MemberState::Waiting)], retry_at: None, last_exit: None }
    }
}

impl Entry {
    fn prospect(&self) -> Prospect {
        let is = |wanted: MemberState| self.members.iter().any(|(_, state)| *state == wanted);
        if is(MemberState::Ready) {
            Prospect::Ready
        } else if is(MemberState::Parked) || is(MemberState::Stopped) {
            Prospect::None
        } else {
            Prospect::Hopeful
        }
    }
}

impl Board {
    pub(crate) fn new(slots: impl Iterator<Item = Slot>, master_pid: u32) -> Board {
        let mut board = Board {
            master_pid,
            slots: slots.map(|slot| (slot, Entry::default())).collect(),
            processes: HashMap::new(),
            exceptions: HashMap::new(),
            silent: BTreeSet::new(),
            watchers: BTreeSet::new(),
            closed: BTreeMap::new(),
            changed: false,
            moved: BTreeMap::new(),
        };
        board.moved = board.slots.keys().map(|slot| (*slot, Prospect::Hopeful)).collect();
        board
    }

    /// A role has grown by this slot.
    pub(crate) fn open(&mut self, slot: Slot) {
        let entry = self.slots.entry(slot).or_default();
        entry.last_exit = self.closed.remove(&slot).or(entry.last_exit.take());
        self.moved.insert(slot, entry.prospect());
        self.changed = true;
    }

    /// A role has become smaller by this slot.
    pub(crate) fn close(&mut self, slot: Slot) {
        if let Some(last_exit) = self.slots.remove(&slot).and_then(|entry| entry.last_exit) {
            self.closed.insert(slot, last_exit);
        }
        self.moved.insert(slot, Prospect::None);
        self.changed = true;
    }

    pub(crate) fn pid(&self, id: MemberId) -> Option<u32> {
        self.processes.get(&id).map(|process| process.pid)
    }

    pub(crate) fn started(&mut self, id: MemberId, pid: u32, since: Moment, books: Arc<Books>) {
        self.processes.insert(id, Process { pid, since, books });
        self.changed = true;
    }

    pub(crate) fn exception(&mut self, id: MemberId) {
        *self.exceptions.entry(id).or_default() += 1;
        self.changed = true;
    }

    /// The end of a process is in the record of what follows from it.
    pub(crate) fn record(&mut self, record: &Record) {
        if record.cause.exit().is_none() {
            return;
        }
        let id = record.member;
        self.processes.remove(&id);
        self.exceptions.remove(&id);
        self.silent.remove(&id);
        self.watchers.remove(&id);
        if let Some(entry) = self.slots.get_mut(&id.slot()) {
            entry.last_exit = Some(record.cause.to_string());
        }
        self.changed = true;
    }

    /// A member has become unresponsive, or is heard again. `false`: that was known, or it does not serve any more, and has
    /// its time to go.
    pub(crate) fn beat(&mut self, id: MemberId, beat: Beat, supervisor: &Supervisor) -> bool {
        let serves = match supervisor.stand(id.slot()) {
            Some((Seat::Ready { incarnation, .. }, ..)) => *incarnation == id.incarnation(),
            Some(_) | None => false,
        };
        let is_news = match beat {
            Beat::Silent(_) => serves && self.silent.insert(id),
            Beat::Heard => self.silent.remove(&id) && serves,
        };
        self.update(id.slot(), supervisor);
        is_news
    }

    /// Takes over where a slot stands.
    pub(crate) fn update(&mut self, slot: Slot, supervisor: &Supervisor) {
        let (Some(entry), Some((seat, last, outgoing))) = (self.slots.get_mut(&slot), supervisor.stand(slot)) else {
            return;
        };
        let last = last.unwrap_or(Incarnation::new(0));
        let seated = match seat {
            Seat::Starting { incarnation, .. } => (*incarnation, MemberState::Starting),
            Seat::Ready { incarnation, .. } if self.silent.contains(&slot.member(*incarnation)) => {
                (*incarnation, MemberState::Unresponsive)
            }
            Seat::Ready { incarnation, .. } => (*incarnation, MemberState::Ready),
            Seat::Leaving { .. } => (last, MemberState::Draining),
            Seat::Unstarted | Seat::Waiting { .. } => (last, MemberState::Waiting),
            Seat::Parked { .. } => (last, MemberState::Parked),
            Seat::Vacant | Seat::Stopped | Seat::Closed => (last, MemberState::Stopped),
        };
        let retry_at = match seat {
            Seat::Waiting { restart_at } => Some(*restart_at),
            Seat::Parked { probe_at } => *probe_at,
            Seat::Unstarted
            | Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => None,
        };
        let draining = outgoing.map(|incarnation| (incarnation, MemberState::Draining));
        let members: Vec<_> = draining.chain([seated]).collect();
        if (&entry.members, entry.retry_at) != (&members, retry_at) {
            let before = entry.prospect();
            (entry.members, entry.retry_at) = (members, retry_at);
            if entry.prospect() != before {
                self.moved.insert(slot, entry.prospect());
            }
            self.changed = true;
        }
    }

    /// Whether anything has changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Of whom something else can be hoped for a random message than at the last call.
    pub(crate) fn take_moved(&mut self) -> BTreeMap<Slot, Prospect> {
        std::mem::take(&mut self.moved)
    }

    pub(crate) fn watch(&mut self, id: MemberId) {
        if self.processes.contains_key(&id) {
            self.watchers.insert(id);
        }
    }

    /// Tells one who watches.
    pub(crate) fn tell(&self, id: MemberId, now: Moment, routes: &Routes) {
        if let Some(frame) = self.frame(now) {
            routes.tell(id.slot(), SlotMsg::Roster(id, frame));
        }
    }

    /// Tells all who watch.
    pub(crate) fn tell_all(&self, now: Moment, routes: &Routes) {
        if self.watchers.is_empty() {
            return;
        }
        let Some(frame) = self.frame(now) else { return };
        for &id in &self.watchers {
            routes.tell(id.slot(), SlotMsg::Roster(id, frame.clone()));
        }
    }

    fn frame(&self, now: Moment) -> Option<Bytes> {
        roster_frame(&self.roster(now))
            .inspect_err(|error| tracing::error!(%error, "the roster cannot be written"))
            .ok()
    }

    /// The processes that there are, in the order of the plan.
    pub(crate) fn lives(&self, now: Moment) -> Vec<Life> {
        let life = |(id, process): (&MemberId, &Process)| Life {
            id: *id,
            pid: process.pid,
            age: now - process.since,
            messages: process.books.passed(),
        };
        let mut lives: Vec<Life> = self.processes.iter().map(life).collect();
        lives.sort_by_key(|life| life.id);
        lives
    }

    pub(crate) fn roster(&self, now: Moment) -> Roster {
        let mut members = Vec::new();
        for (slot, entry) in &self.slots {
            for (incarnation, state) in &entry.members {
                let id = slot.member(*incarnation);
                let mut status = MemberStatus::new(id, *state);
                status.pid = self.pid(id);
                status.exceptions = self.exceptions.get(&id).copied().unwrap_or(0);
                status.last_exit = entry.last_exit.clone();
                status.retry_in = match state {
                    MemberState::Waiting | MemberState::Parked => entry.retry_at.map(|at| at - now),
                    MemberState::Starting
                    | MemberState::Ready
                    | MemberState::Unresponsive
                    | MemberState::Draining
                    | MemberState::Stopped => None,
                };
                members.push(status);
            }
        }
        Roster { master_pid: self.master_pid, members }
    }
}
