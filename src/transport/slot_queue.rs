//! What waits for one slot: the whole of flow control at the receiving end.
//!
//! A message waits here only, bound to its slot, until a process of the slot is ready and has room; it survives the
//! process it was waiting for. What was passed on belongs to the process that got it: if that dies, it goes back to its
//! sender and never to a successor. Answers have a queue of their own, in step with the messages as long as both move,
//! and ahead of them when a member has no room for messages: the handler that would make room may be waiting for the
//! answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::account::Account;
use super::books::Books;
use super::control::Ack;
use super::header::WireError;
use super::kind::Lane;
use super::ledger::{Ledger, Queued, Tally};
use super::line::Line;
use super::reason::Reason;
use super::returns::{self, Effect};
use super::run::Run;
use super::station::Station;
use crate::identity::{MemberId, Slot};

/// The queue of one slot.
#[derive(Debug)]
pub(crate) struct SlotQueue {
    door: Door,
    /// How much has come: the place of what comes next.
    arrivals: u64,
    /// Messages for whoever fills the slot, and for the present process alone.
    waiting: VecDeque<Queued>,
    current: Option<Station>,
    /// Processes that have been replaced and still finish.
    outgoing: Vec<Station>,
    ledger: Ledger,
}

/// Whether messages may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    Shut(Reason),
}

impl SlotQueue {
    pub(crate) fn new(slot: Slot, window: u32) -> SlotQueue {
        SlotQueue {
            door: Door::Open,
            arrivals: 0,
            waiting: VecDeque::new(),
            current: None,
            outgoing: Vec::new(),
            ledger: Ledger::new(slot, window),
        }
    }

    /// A process of the slot has a link.
    pub(crate) fn open(&mut self, id: MemberId, line: Arc<Line>, books: Arc<Books>) {
        self.door = Door::Open;
        self.current = Some(Station::new(id, line, books));
    }

    /// The process is ready: what waits goes to it.
    pub(crate) fn admit(&mut self, id: MemberId, now: Instant, out: &mut Vec<Effect>) {
        if let Some(station) = self.current.as_mut().filter(|station| station.id == id) {
            station.admitted = true;
        }
        self.pump(now, out);
    }

    /// The process finishes what it was given. What waits for the slot waits for the next.
    pub(crate) fn replace(&mut self, id: MemberId) {
        let Some(mut station) = self.current.take_if(|station| station.id == id) else { return };
        station.messages = self.take_own(id);
        self.outgoing.push(station);
    }

    /// The slot has no process for now, or for good: what waits goes back.
    pub(crate) fn shut(&mut self, reason: Reason, out: &mut Vec<Effect>) {
        self.door = Door::Shut(reason);
        for queued in std::mem::take(&mut self.waiting) {
            self.ledger.refuse(&queued.run, reason, out);
        }
        self.check();
    }

    /// Frames have come for the slot.
    pub(crate) fn arrive(&mut self, run: Run, now: Instant, out: &mut Vec<Effect>) {
        match run.lane {
            Lane::Messages => self.arrive_messages(run, now, out),
            Lane::Answers => {
                let place = self.next_place();
                match self.station_for(&run) {
                    Some(station) => station.answer(place, run),
                    // Whoever asked is gone.
                    None => out.extend(returns::passed(&run, self.ledger.slot)),
                }
            }
        }
        self.pump(now, out);
    }

    fn arrive_messages(&mut self, mut run: Run, now: Instant, out: &mut Vec<Effect>) {
        self.ledger.arrive(&run);
        let place = self.next_place();
        let outgoing = self.outgoing.iter().position(|station| run.only == Some(station.id.incarnation()));
        let is_current = self.current.as_ref().is_some_and(|station| run.only == Some(station.id.incarnation()));
        let queue = match (run.only, self.door, outgoing) {
            (Some(_), _, Some(position)) => &mut self.outgoing[position].messages,
            (Some(_), _, None) if is_current => &mut self.waiting,
            (Some(_), _, None) => return self.ledger.turn_away(&run, Reason::Gone, out),
            (None, Door::Shut(reason), _) => return self.ledger.turn_away(&run, reason, out),
            (None, Door::Open, _) => &mut self.waiting,
        };
        // A single sender always has room for what it has credit for, unless an earlier incarnation of it has left
        // messages here. A group takes the room there is.
        if let Some(fits) = run.split_charged(self.ledger.room(&run)) {
            self.ledger.hold(&fits);
            queue.push_back(Queued { place, at: now, run: fits });
        }
        if run.frames > 0 {
            self.ledger.turn_away(&run, Reason::Full, out);
        }
    }

    /// Frames of a member of this slot have come back.
    pub(crate) fn take_back(&mut self, run: Run, refund: Option<(Account, u32)>, now: Instant, out: &mut Vec<Effect>) {
        let (place, window) = (self.next_place(), self.ledger.window);
        // If it is gone, so is everybody who could be told.
        if let Some(station) = self.station_for(&run) {
            station.take_back(place, run, refund, window);
            self.pump(now, out);
        }
    }

    /// The news of who is who, for a member of this slot that watches.
    pub(crate) fn roster(&mut self, id: MemberId, frame: Bytes, now: Instant, out: &mut Vec<Effect>) {
        let (place, window) = (self.next_place(), self.ledger.window);
        if let Some(station) = self.station(id) {
            station.roster(place, frame, window);
            self.pump(now, out);
        }
    }

    /// Of what the master keeps, for a member of this slot. One that is gone is not waited for.
    pub(crate) fn shelved(&mut self, id: MemberId, run: Run, now: Instant, out: &mut Vec<Effect>) {
        let place = self.next_place();
        if let Some(station) = self.station(id) {
            station.shelved(place, run);
            self.pump(now, out);
        }
    }

    /// Credit comes back to a member of this slot.
    pub(crate) fn credit(&mut self, to: MemberId, account: Account, charge: u32) {
        if let Some(station) = self.station(to) {
            station.give_credit(account, charge);
        }
    }

    /// A member's dispatcher has handed frames on.
    pub(crate) fn ack(
        &mut self,
        id: MemberId,
        ack: &Ack,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Result<(), WireError> {
        let Some(station) = self.station(id) else { return Ok(()) };
        let delivered = station.ack(ack)?;
        let news = station.due_news();
        self.ledger.tally.delivered += u64::from(delivered);
        if let Some(frame) = news {
            self.roster(id, frame, now, out);
        }
        self.pump(now, out);
        Ok(())
    }

    /// The process has ended, and all that it sent has been read.
    pub(crate) fn gone(&mut self, id: MemberId, out: &mut Vec<Effect>) {
        let current = self.current.take_if(|station| station.id == id);
        let outgoing = self.outgoing.iter().position(|station| station.id == id);
        let Some(station) = current.or_else(|| outgoing.map(|position| self.outgoing.remove(position))) else { return };
        for queued in self.take_own(id) {
            self.ledger.refuse(&queued.run, Reason::Died, out);
        }
        station.end(&mut self.ledger, out);
        self.check();
    }

    /// Whether random messages had better go elsewhere: their sender's credit, which is for all of the role, waits here.
    pub(crate) fn is_crowded(&self) -> bool {
        self.ledger.is_crowded()
    }

    /// Where every message is.
    pub(crate) fn tally(&self) -> Tally {
        let count = |queue: &VecDeque<Queued>| queue.iter().map(|queued| u64::from(queued.run.frames)).sum::<u64>();
        let stations = self.current.iter().chain(&self.outgoing);
        let with_members: u64 = stations.map(|station| count(&station.messages) + station.unacked()).sum();
        Tally { queued: count(&self.waiting) + with_members, ..self.ledger.tally }
    }

    /// Passes on what has room. Nothing waits in here: what has none is passed on when an acknowledgement makes some.
    fn pump(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for station in &mut self.outgoing {
            let mut own = std::mem::take(&mut station.messages);
            station.pump(&mut own, &mut self.ledger, now, out);
            station.messages = own;
        }
        if let Some(station) = &mut self.current {
            station.pump(&mut self.waiting, &mut self.ledger, now, out);
        }
        self.check();
    }

    /// Takes out what waits for this process and no other.
    fn take_own(&mut self, id: MemberId) -> VecDeque<Queued> {
        let mine = |queued: &Queued| queued.run.only == Some(id.incarnation());
        let (own, rest) = std::mem::take(&mut self.waiting).into_iter().partition(mine);
        self.waiting = rest;
        own
    }

    fn station(&mut self, id: MemberId) -> Option<&mut Station> {
        self.current.iter_mut().chain(&mut self.outgoing).find(|station| station.id == id)
    }

    fn station_for(&mut self, run: &Run) -> Option<&mut Station> {
        let only = run.only?;
        self.current.iter_mut().chain(&mut self.outgoing).find(|station| station.id.incarnation() == only)
    }

    fn next_place(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    #[cfg(test)]
    pub(super) fn knows(&mut self, id: MemberId) -> bool {
        self.station(id).is_some()
    }

    fn check(&self) {
        if cfg!(debug_assertions) {
            let tally = self.tally();
            debug_assert_eq!(
                tally.arrived,
                tally.delivered + tally.returned + tally.queued,
                "{} has lost or doubled a message: {tally:?}",
                self.ledger.slot
            );
        }
    }
}
