//! One process of a slot: what waits for it alone, what it has been given, and how much more it may be given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::account::{Account, charge};
use super::books::Books;
use super::control::Ack;
use super::frame::Frames;
use super::header::{Class, WireError};
use super::kind::Lane;
use super::ledger::{Ledger, Queued};
use super::line::Line;
use super::reason::Reason;
use super::returns::{self, Effect};
use super::run::Run;
use super::unacked::Unacked;
use crate::identity::{MemberId, Slot};

/// One process of a slot.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) id: MemberId,
    line: Arc<Line>,
    books: Arc<Books>,
    /// It said ready: messages may go to it. Answers may before.
    pub(super) admitted: bool,
    /// Messages for it alone, once it has been replaced.
    pub(super) messages: VecDeque<Queued>,
    answers: VecDeque<Answer>,
    unacked_messages: Unacked,
    unacked_answers: Unacked,
    /// What waits in `answers` on nobody's credit.
    uncredited: u32,
    /// Returns for which there was no room.
    omitted: u32,
    /// Which of the answers was the last roster.
    told: Option<u64>,
    /// A roster that came while that was under way.
    news: Option<Bytes>,
}

#[derive(Debug)]
struct Answer {
    place: u64,
    run: Run,
    toll: Toll,
}

/// Who paid for an answer that waits.
#[derive(Debug, PartialEq)]
enum Toll {
    /// The member that sent it: its credit goes back when it is passed on.
    Sender,
    /// The receiver itself, when it sent what now comes back.
    Refund(Account, u32),
    /// Nobody: bounded here.
    Nobody,
    /// The news of who is who: the latest replaces those before.
    Roster,
    /// What the master keeps, which has no more than a window of it here.
    Shelf,
}

impl Station {
    pub(super) fn new(id: MemberId, line: Arc<Line>, books: Arc<Books>) -> Station {
        Station {
            id,
            line,
            books,
            admitted: false,
            messages: VecDeque::new(),
            answers: VecDeque::new(),
            unacked_messages: Unacked::default(),
            unacked_answers: Unacked::default(),
            uncredited: 0,
            omitted: 0,
            told: None,
            news: None,
        }
    }

    pub(super) fn give_credit(&self, account: Account, charge: u32) {
        self.books.repay(account, charge);
        self.line.credit(account, charge);
    }

    /// An answer of another member.
    pub(super) fn answer(&mut self, place: u64, run: Run) {
        self.answers.push_back(Answer { place, run, toll: Toll::Sender });
    }

    /// Of what the master keeps.
    pub(super) fn shelved(&mut self, place: u64, run: Run) {
        self.answers.push_back(Answer { place, run, toll: Toll::Shelf });
    }

    /// Frames that it had sent.
    pub(super) fn take_back(&mut self, place: u64, run: Run, refund: Option<(Account, u32)>, window: u32) {
        let toll = match refund {
            Some((account, charge)) => Toll::Refund(account, charge),
            None if self.uncredited.saturating_add(run.charge) > window => {
                self.omitted = self.omitted.saturating_add(run.frames);
                return;
            }
            None => {
                self.uncredited += run.charge;
                Toll::Nobody
            }
        };
        self.answers.push_back(Answer { place, run, toll });
    }

    /// The news, at its place: behind the last message of whoever it says has died.
    ///
    /// One roster at a time is under way to a member, and the latest waits: a start of many is a storm of news, each as
    /// long as there are members, and told to as many.
    pub(super) fn roster(&mut self, place: u64, frame: Bytes, window: u32) {
        if self.is_told() {
            self.news = Some(frame);
            return;
        }
        self.answers.retain(|answer| answer.toll != Toll::Roster);
        let run = Run {
            frames: 1,
            // One that is longer than any queue still goes, alone.
            charge: (frame.len() as u32).min(window),
            bytes: frame,
            lane: Lane::Answers,
            class: Class::Direct,
            from: self.id,
            only: Some(self.id.incarnation()),
            calls: false,
        };
        self.answers.push_back(Answer { place, run, toll: Toll::Roster });
    }

    /// Whether a roster is under way.
    fn is_told(&self) -> bool {
        self.told.is_some_and(|told| self.unacked_answers.oldest().is_some_and(|oldest| oldest <= told))
    }

    /// The news that waited for the last to arrive, once it has.
    pub(super) fn due_news(&mut self) -> Option<Bytes> {
        if self.is_told() { None } else { self.news.take() }
    }

    /// Returns how many messages it has handed on.
    pub(super) fn ack(&mut self, ack: &Ack) -> Result<u32, WireError> {
        let written = self.line.written();
        let mut count = 0;
        for &span in &ack.messages {
            // What was not even written it cannot have had: with its word for it, the bound would be none.
            if span.first.saturating_add(span.count.into()) > written.messages {
                return Err(WireError::OverAck);
            }
            self.unacked_messages.ack(span)?;
            count += span.count;
        }
        if self.unacked_answers.oldest().unwrap_or(0) + u64::from(ack.answers) > written.answers {
            return Err(WireError::OverAck);
        }
        self.unacked_answers.ack_oldest(ack.answers)?;
        Ok(count)
    }

    /// How many messages it has that it has not acknowledged.
    pub(super) fn unacked(&self) -> u64 {
        self.unacked_messages.frames()
    }

    /// Passes on what has room, in the order in which it came. An answer goes ahead of messages only while the station
    /// has no room for those.
    pub(super) fn pump(
        &mut self,
        messages: &mut VecDeque<Queued>,
        ledger: &mut Ledger,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        loop {
            let message = messages.front().filter(|_| self.admitted).map(|queued| queued.place);
            let answer = self.answers.front().map(|answer| answer.place);
            let moved = match (message, answer) {
                (None, None) => break,
                (Some(message), Some(answer)) if message < answer => {
                    self.pass_message(messages, ledger, now, out) || self.pass_answer(ledger, out)
                }
                (_, Some(_)) => {
                    self.pass_answer(ledger, out) || (self.admitted && self.pass_message(messages, ledger, now, out))
                }
                (Some(_), None) => self.pass_message(messages, ledger, now, out),
            };
            if !moved {
                break;
            }
        }
        if self.omitted > 0 && self.answers.is_empty() {
            self.say_omitted();
        }
    }

    /// Passes on what there is room for of the first run. `false`: nothing.
    fn pass_message(
        &mut self,
        messages: &mut VecDeque<Queued>,
        ledger: &mut Ledger,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(first) = messages.front_mut() else { return false };
        let room = ledger.window.saturating_sub(self.unacked_messages.charge());
        let moved = match first.run.calls {
            true => self.pass_call(first, room, ledger, now, out),
            false => match first.run.split_charged(room) {
                Some(run) => {
                    self.give(run, ledger, out);
                    true
                }
                None => false,
            },
        };
        if first.run.frames == 0 {
            messages.pop_front();
        }
        moved
    }

    fn pass_call(
        &mut self,
        first: &mut Queued,
        room: u32,
        ledger: &mut Ledger,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some((header, _)) = Frames(&first.run.bytes).next() else { return false };
        let expired = first.at + Duration::from_millis(header.detail.into()) <= now;
        if !expired && charge(&header) > room {
            return false;
        }
        let Some((header, run)) = first.run.split_first() else { return false };
        if expired {
            // Nobody waits for the answer any more.
            ledger.refuse(&run, Reason::TimedOut, out);
        } else if self.books.calls().is_full() {
            // To wait for an answer of this member would be to hold up all that comes after: its answers may take as
            // long as calls may, and those who asked may have given up.
            ledger.refuse(&run, Reason::Full, out);
        } else {
            self.books.calls().open(run.from, header.correlation);
            self.give(run, ledger, out);
        }
        true
    }

    fn give(&mut self, run: Run, ledger: &mut Ledger, out: &mut Vec<Effect>) {
        ledger.release(&run);
        out.extend(returns::passed(&run, ledger.slot));
        if run.from.slot() != Slot::master() {
            self.books.pass(run.frames);
        }
        self.line.frames(run.bytes.clone(), Lane::Messages, run.frames);
        self.unacked_messages.push(run);
    }

    fn pass_answer(&mut self, ledger: &Ledger, out: &mut Vec<Effect>) -> bool {
        let room = ledger.window.saturating_sub(self.unacked_answers.charge());
        let Some(first) = self.answers.front_mut() else { return false };
        let Some(run) = first.run.split_charged(room) else { return false };
        let is_return = match &first.toll {
            Toll::Sender => {
                out.extend(returns::passed(&run, ledger.slot));
                false
            }
            Toll::Refund(account, charge) => {
                if first.run.frames == 0 {
                    let (account, charge) = (*account, *charge);
                    self.books.repay(account, charge);
                    self.line.credit(account, charge);
                }
                true
            }
            Toll::Nobody => {
                self.uncredited -= run.charge;
                true
            }
            Toll::Roster => {
                self.told = Some(self.unacked_answers.next());
                false
            }
            Toll::Shelf => {
                match out.last_mut() {
                    Some(Effect::Fetched { by, charge }) if *by == self.id => *charge += run.charge,
                    _ => out.push(Effect::Fetched { by: self.id, charge: run.charge }),
                }
                false
            }
        };
        if first.run.frames == 0 {
            self.answers.pop_front();
        }
        if is_return && self.omitted > 0 {
            self.say_omitted();
        }
        self.give_answer(run);
        true
    }

    fn give_answer(&mut self, run: Run) {
        self.line.frames(run.bytes.clone(), Lane::Answers, run.frames);
        self.unacked_answers.push(run);
    }

    fn say_omitted(&mut self) {
        let notice = returns::omission(self.id, std::mem::take(&mut self.omitted));
        self.give_answer(notice);
    }

    /// It is gone: what it was given goes back to whoever sent it, what it was asked is answered.
    pub(super) fn end(mut self, ledger: &mut Ledger, out: &mut Vec<Effect>) {
        for queued in std::mem::take(&mut self.messages) {
            ledger.refuse(&queued.run, Reason::Died, out);
        }
        out.extend(returns::no_answers(self.id, self.books.calls().drain()));
        for run in self.unacked_messages.drain() {
            ledger.tally.returned += u64::from(run.frames);
            out.extend(returns::lose(&run, ledger.slot));
        }
        // Nobody is left to be answered. Who answered gets its credit back.
        for answer in self.answers.into_iter().filter(|answer| answer.toll == Toll::Sender) {
            out.extend(returns::passed(&answer.run, ledger.slot));
        }
    }
}
