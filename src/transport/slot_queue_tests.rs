//! What becomes of a message, row by row, and at random with every frame counted.

mod desk;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::account::Account;
use super::address::Address;
use super::books::{Books, OpenCalls};
use super::control::{Ack, Span, read_credits};
use super::frame::{self, Frames};
use super::header::{Class, Header, WireError};
use super::kind::{Kind, Lane};
use super::reason::Reason;
use super::returns::Effect;
use super::run::Run;
use crate::identity::{Incarnation, MemberId, Slot};

use self::desk::{Desk, WINDOW, agent, frames, member, message, only, worker};

#[test]
fn messages_wait_until_a_process_is_ready_and_survive_the_one_they_waited_for() {
    let mut desk = Desk::new();
    desk.arrive(message(&[1, 2]));
    desk.open(1);
    assert_eq!((desk.messages(1), desk.credited()), (vec![], 0));
    desk.queue.gone(worker(1), &mut desk.out);
    desk.arrive(message(&[3]));
    desk.open(2);
    desk.admit(2);
    assert_eq!(desk.messages(2), [1, 2, 3]);
    assert_eq!((desk.credited(), desk.returned()), (3 * 128, vec![]));
}

#[test]
fn a_member_is_given_no_more_than_it_acknowledges() {
    let mut desk = Desk::ready();
    desk.arrive(message(&[1, 2, 3, 4, 5, 6, 7, 8]));
    desk.arrive(message(&[9, 10, 11]));
    assert_eq!(desk.messages(1), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(desk.credited(), WINDOW, "what waits here is not free");
    desk.ack(1, 2, 0);
    assert_eq!(desk.messages(1), [9, 10]);
    desk.ack(1, 8, 0);
    assert_eq!(desk.messages(1), [11]);
    let over = Ack { messages: vec![Span { first: 10, count: 2 }], answers: 0 };
    assert_eq!(desk.try_ack(1, &over), Err(WireError::OverAck));
}

#[test]
fn what_was_handed_on_out_of_its_turn_is_not_lost_and_what_was_not_is() {
    let mut desk = Desk::ready();
    desk.arrive(message(&[1, 2, 3, 4, 5]));
    for first in [3, 1] {
        desk.try_ack(1, &Ack { messages: vec![Span { first, count: 1 }], answers: 0 }).expect("it was passed on");
    }
    desk.queue.gone(worker(1), &mut desk.out);
    let lost: Vec<_> = [1, 3, 5].map(|number| (number, Reason::Died, true, None)).to_vec();
    assert_eq!(desk.returned(), lost);
}

#[test]
fn what_was_not_even_written_cannot_be_acknowledged() {
    let mut desk = Desk::ready();
    desk.arrive(message(&[1, 2]));
    let blind = Ack { messages: vec![Span { first: 0, count: 2 }], answers: 0 };
    assert_eq!(desk.queue.ack(worker(1), &blind, desk.now, &mut desk.out), Err(WireError::OverAck));
    assert_eq!(desk.try_ack(1, &blind), Ok(()), "now it is");
}

#[test]
fn a_member_with_too_many_open_calls_is_given_no_more_and_goes_on_with_the_rest() {
    let mut desk = Desk::new();
    let books = Arc::new(Books::default());
    (0..OpenCalls::LIMIT).for_each(|number| books.calls().open(agent(), number as u32));
    desk.lines.insert(worker(1), Arc::default());
    desk.queue.open(worker(1), desk.lines[&worker(1)].clone(), books);
    desk.admit(1);
    desk.arrive(frames(Kind::Call, agent(), Slot::worker(0), &[1]));
    desk.arrive(message(&[2]));
    assert_eq!((desk.messages(1), desk.returned()), (vec![2], vec![(1, Reason::Full, false, Some(128))]));
}

#[test]
fn one_sender_cannot_fill_the_place_of_another_and_a_group_waits_for_nobody() {
    let mut desk = Desk::new();
    desk.arrive(message(&[1, 2, 3, 4, 5, 6, 7, 8]));
    // Beyond its credit only because an earlier incarnation of the sender left those.
    desk.arrive(Run { from: member(Slot::agent(), 2), ..message(&[9]) });
    assert_eq!(desk.returned(), [(9, Reason::Full, false, Some(128))]);
    let other = member(Slot::worker(1), 1);
    let group = |numbers: &[u32]| Run { class: Class::Group, ..frames(Kind::Message, other, Address::all(), numbers) };
    desk.arrive(group(&[11, 12, 13, 14, 15, 16, 17]));
    assert_eq!(desk.returned(), []);
    desk.arrive(group(&[18, 19, 20]));
    // A group's copies come back without what everybody has.
    assert_eq!(desk.returned(), [(0, Reason::Full, false, None), (0, Reason::Full, false, None)]);
    desk.open(1);
    desk.admit(1);
    desk.ack(1, 8, 0);
    assert_eq!(desk.messages(1), [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18]);
}

#[test]
fn a_message_to_an_incarnation_is_for_it_or_comes_back() {
    let mut desk = Desk::ready();
    desk.arrive(only(message(&[1]), worker(1)));
    assert_eq!(desk.messages(1), [1]);
    desk.arrive(only(message(&[2]), worker(2)));
    assert_eq!(desk.returned(), [(2, Reason::Gone, false, Some(128))], "not yet is not either");
    desk.queue.gone(worker(1), &mut desk.out);
    assert_eq!(desk.returned(), [(1, Reason::Died, true, None)]);
    desk.open(2);
    desk.arrive(only(message(&[3]), worker(1)));
    assert_eq!(desk.returned(), [(3, Reason::Gone, false, Some(128))]);
}

#[test]
fn what_was_passed_on_to_the_dead_never_reaches_its_successor() {
    let mut desk = Desk::ready();
    desk.arrive(message(&[1, 2, 3, 4, 5, 6, 7, 8]));
    desk.arrive(message(&[9]));
    desk.ack(1, 3, 0);
    desk.credited();
    desk.queue.gone(worker(1), &mut desk.out);
    let lost: Vec<_> = (4..=9).map(|number| (number, Reason::Died, true, None)).collect();
    assert_eq!(desk.returned(), lost, "nine was passed on with the acknowledgement of the first");
    desk.arrive(message(&[10]));
    desk.open(2);
    desk.admit(2);
    assert_eq!(desk.messages(2), [10]);
}

#[test]
fn one_that_drains_keeps_what_is_for_it_alone_and_the_rest_is_for_its_successor() {
    let mut desk = Desk::ready();
    desk.arrive(message(&[1, 2, 3, 4, 5, 6, 7, 8]));
    desk.arrive(message(&[9]));
    desk.arrive(only(message(&[10]), worker(1)));
    assert_eq!(desk.messages(1).len(), 8);
    desk.queue.replace(worker(1));
    desk.open(2);
    desk.arrive(only(message(&[11]), worker(1)));
    desk.arrive(only(frames(Kind::Reply, agent(), worker(1), &[12]), worker(1)));
    desk.ack(1, 8, 0);
    assert_eq!(desk.passed(1), [(Kind::Reply, 12), (Kind::Message, 10), (Kind::Message, 11)]);
    desk.admit(2);
    assert_eq!(desk.messages(2), [9]);
    desk.queue.gone(worker(1), &mut desk.out);
    assert_eq!(desk.returned(), [(10, Reason::Died, true, None), (11, Reason::Died, true, None)]);
}

#[test]
fn what_waits_for_a_slot_that_is_put_aside_comes_back_and_so_does_what_follows() {
    for reason in [Reason::Parked, Reason::Gone] {
        let mut desk = Desk::new();
        desk.arrive(message(&[1]));
        desk.queue.shut(reason, &mut desk.out);
        desk.arrive(message(&[2]));
        assert_eq!(desk.returned(), [(1, reason, false, Some(128)), (2, reason, false, Some(128))]);
        desk.open(1);
        desk.arrive(message(&[3]));
        desk.admit(1);
        assert_eq!((desk.messages(1), desk.returned()), (vec![3], vec![]), "tried again, it may be waited for");
    }
}

#[test]
fn an_answer_keeps_its_place_while_messages_move_and_goes_ahead_when_they_cannot() {
    let reply = |number| only(frames(Kind::Reply, agent(), worker(1), &[number]), worker(1));
    let mut desk = Desk::new();
    desk.open(1);
    desk.arrive(message(&[1, 2]));
    desk.arrive(reply(3));
    assert_eq!(desk.passed(1), [(Kind::Reply, 3)], "answers do not wait for ready");
    desk.admit(1);
    desk.arrive(message(&[4]));
    desk.arrive(reply(5));
    desk.arrive(message(&[6]));
    assert_eq!(desk.messages(1), [1, 2, 4, 5, 6]);
    desk.arrive(message(&[7, 8, 9, 10, 11, 12]));
    desk.arrive(reply(13));
    // Four have been acknowledged by nobody, so there is room for four more, and then only for the answer.
    assert_eq!(desk.messages(1), [7, 8, 9, 10, 13]);
    desk.ack(1, 8, 3);
    assert_eq!(desk.messages(1), [11, 12]);
}

#[test]
fn a_call_ends_in_an_answer_whatever_becomes_of_the_callee() {
    let call = |numbers: &[u32]| frames(Kind::Call, agent(), Slot::worker(0), numbers);
    let mut desk = Desk::new();
    desk.arrive(call(&[1]));
    desk.now += Duration::from_millis(1_000);
    desk.arrive(call(&[2, 3]));
    desk.open(1);
    desk.admit(1);
    assert_eq!(desk.messages(1), [2, 3]);
    assert_eq!(desk.returned(), [(1, Reason::TimedOut, false, Some(128))], "nobody waits for it any more");
    desk.ack(1, 1, 0);
    desk.queue.gone(worker(1), &mut desk.out);
    let mut answers = desk.returned();
    answers.sort_by_key(|(number, ..)| *number);
    assert_eq!(answers, [(2, Reason::Died, false, None), (3, Reason::Died, false, None)], "each once");
}

#[test]
fn returns_that_nobody_paid_for_are_bounded_and_what_is_left_out_is_said() {
    let mut desk = Desk::ready();
    let back = |numbers: &[u32]| only(frames(Kind::Undelivered, worker(1), worker(1), numbers), worker(1));
    // No room for answers: eight are passed on, eight wait, the rest is counted.
    for numbers in [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [17, 18, 19, 20]] {
        desk.queue.take_back(back(&numbers), None, desk.now, &mut desk.out);
    }
    assert_eq!(desk.messages(1), [1, 2, 3, 4, 5, 6, 7, 8]);
    let account = Account::Slot { rank: 0, index: 0 };
    desk.queue.take_back(back(&[21, 22]), Some((account, 256)), desk.now, &mut desk.out);
    desk.ack(1, 0, 8);
    assert_eq!(desk.messages(1), [4, 9, 10, 11, 12, 13, 14, 15], "four were omitted, says the first");
    let line = desk.lines[&worker(1)].clone();
    desk.ack(1, 0, 8);
    let bytes = line.queued();
    let all: Vec<_> = Frames(&bytes).collect();
    let credit = all.iter().find(|(header, _)| header.kind == Kind::Credit).expect("a refund");
    assert_eq!(read_credits(&credit.1[32..]), Ok(vec![(account, 256)]), "with the last of what came back");
    let numbers: Vec<_> = all[1..].iter().map(|(header, _)| header.correlation).collect();
    assert_eq!(numbers, [16, 21, 22]);
}

#[test]
fn the_latest_roster_replaces_the_one_that_waits_and_keeps_to_its_place() {
    let roster = |number: u32| {
        let mut bytes = BytesMut::new();
        frame::put(&mut bytes, Header { correlation: number, ..Header::bare(Kind::Roster) }, "", &[0; 600]);
        bytes.freeze()
    };
    let mut desk = Desk::ready();
    let told = |desk: &mut Desk, number| desk.queue.roster(worker(1), roster(number), desk.now, &mut desk.out);
    told(&mut desk, 1);
    told(&mut desk, 2);
    desk.arrive(message(&[3]));
    told(&mut desk, 4);
    assert_eq!(desk.messages(1), [1, 3], "there is room for one roster at a time");
    desk.ack(1, 1, 1);
    assert_eq!(desk.messages(1), [4]);
    assert_eq!(desk.returned(), []);
}

#[test]
fn what_the_master_keeps_is_for_the_unready_too_and_told_to_have_been_passed_on_but_for_the_dead() {
    let shelved =
        |id: MemberId, numbers: &[u32]| Run { lane: Lane::Answers, from: id, ..frames(Kind::Kept, id, id, numbers) };
    let fetched = |desk: &mut Desk| {
        let told = desk.out.drain(..).map(|effect| match effect {
            Effect::Fetched { by, charge } => (by, charge),
            other => panic!("{other:?}"),
        });
        told.collect::<Vec<_>>()
    };
    let mut desk = Desk::new();
    desk.open(1);
    desk.queue.shelved(worker(1), shelved(worker(1), &[1, 2, 3, 4, 5]), desk.now, &mut desk.out);
    desk.queue.shelved(worker(1), shelved(worker(1), &[6, 7, 8, 9]), desk.now, &mut desk.out);
    assert_eq!(desk.messages(1), [1, 2, 3, 4, 5, 6, 7, 8], "no more than it acknowledges");
    assert_eq!(fetched(&mut desk), [(worker(1), 8 * 128)]);
    desk.queue.replace(worker(1));
    desk.open(2);
    desk.queue.shelved(worker(2), shelved(worker(2), &[21]), desk.now, &mut desk.out);
    desk.ack(1, 0, 3);
    desk.queue.shelved(worker(1), shelved(worker(1), &[10]), desk.now, &mut desk.out);
    assert_eq!((desk.messages(1), desk.messages(2)), (vec![9, 10], vec![21]), "also while it drains");
    assert_eq!(fetched(&mut desk), [(worker(2), 128), (worker(1), 2 * 128)]);
    desk.queue.gone(worker(1), &mut desk.out);
    desk.queue.shelved(worker(1), shelved(worker(1), &[11]), desk.now, &mut desk.out);
    assert_eq!(fetched(&mut desk), []);
}

#[test]
fn credit_of_a_member_goes_to_its_own_link_and_not_to_a_successors() {
    let mut desk = Desk::ready();
    desk.queue.replace(worker(1));
    desk.open(2);
    let account = Account::Slot { rank: 0, index: 0 };
    desk.queue.credit(worker(1), account, 300);
    let bytes = desk.lines[&worker(1)].queued();
    let (_, frame) = Frames(&bytes).next().expect("credit");
    assert_eq!(read_credits(&frame[32..]), Ok(vec![(account, 300)]));
    assert_eq!(desk.lines[&worker(2)].queued().len(), 0);
}

/// Many short lives with every frame counted: the queue checks its own balance after each step.
#[test]
fn no_message_is_lost_or_doubled_whatever_happens() {
    for seed in 0..300 {
        let mut dice = crate::supervision::Dice::seeded(seed);
        let (mut desk, mut incarnation, mut number) = (Desk::new(), 0, 0);
        // The numbers of what each has not acknowledged, and of what it will be given next.
        let mut unacked = HashMap::<MemberId, (Vec<u64>, u64)>::new();
        let (mut sent, mut back) = (0u64, 0);
        for _ in 0..300 {
            desk.now += Duration::from_millis(dice.below(400) as u64);
            match dice.below(10) {
                0 => {
                    incarnation += 1;
                    if incarnation > 1 {
                        desk.queue.replace(worker(incarnation - 1));
                    }
                    desk.open(incarnation);
                }
                1 => desk.admit(incarnation),
                2 if incarnation > 0 => {
                    let id = worker(1 + dice.below(incarnation as usize) as u32);
                    desk.queue.gone(id, &mut desk.out);
                    unacked.remove(&id);
                }
                3 if dice.below(4) == 0 => desk.queue.shut(Reason::Parked, &mut desk.out),
                4..=6 if incarnation > 0 => {
                    let id = worker(1 + dice.below(incarnation as usize) as u32);
                    let (left, _) = unacked.entry(id).or_default();
                    let mut ack = Ack::default();
                    for _ in 0..dice.below(left.len() + 1) {
                        // Actions overtake each other.
                        ack.add_message(left.swap_remove(dice.below(left.len())));
                    }
                    if !ack.is_empty() {
                        desk.try_ack(id.incarnation().get(), &ack).expect("each was passed on and none twice");
                    }
                }
                _ => {
                    let count = 1 + dice.below(6) as u32;
                    let numbers: Vec<u32> = (number..number + count).collect();
                    number += count;
                    sent += u64::from(count);
                    let kind = if dice.below(5) == 0 { Kind::Call } else { Kind::Message };
                    let mut run = frames(kind, agent(), Slot::worker(0), &numbers);
                    run.class = [Class::Direct, Class::Random, Class::Group][dice.below(if run.calls { 2 } else { 3 })];
                    if dice.below(5) == 0 {
                        run.only = Some(Incarnation::new(1 + dice.below(incarnation as usize + 1) as u32));
                    }
                    desk.arrive(run);
                }
            }
            for nth in 1..=incarnation {
                let passed = desk.messages(nth).len() as u64;
                if desk.queue_has(nth) {
                    let (left, next) = unacked.entry(worker(nth)).or_default();
                    left.extend(*next..*next + passed);
                    *next += passed;
                }
            }
            back += desk.returned().len() as u64;
        }
        let tally = desk.queue.tally();
        assert_eq!(tally.arrived, sent, "seed {seed}");
        assert_eq!(tally.delivered + tally.returned + tally.queued, sent, "seed {seed}: {tally:?}");
        // A call that a dead callee had acknowledged was delivered, and has an answer all the same.
        assert!(back >= tally.returned, "seed {seed}: {back} came back of {tally:?}");
    }
}

#[test]
fn a_long_run_of_bytes_is_not_copied_on_its_way() {
    let mut desk = Desk::ready();
    let run = frames(Kind::Message, agent(), Slot::worker(0), &[1]);
    let at = run.bytes.as_ptr();
    desk.arrive(Run { lane: Lane::Messages, ..run });
    let bytes: Bytes = desk.lines[&worker(1)].first().expect("it was passed on");
    assert_eq!(bytes.as_ptr(), at);
}
