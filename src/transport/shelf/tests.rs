//! What the shelf tells whom, step by step.

use super::super::header::Address;
use super::*;
use crate::identity::{Incarnation, Slot};

const WINDOW: u32 = 1_000;

fn shelf() -> Shelf {
    Shelf::new(ShelfRules { value: 500, total: 2_000, publishers: None }, WINDOW)
}

fn agent() -> MemberId {
    Slot::agent().member(Incarnation::FIRST)
}

fn worker(index: u16) -> MemberId {
    Slot::worker(index).member(Incarnation::FIRST)
}

/// What `from` is told, and what others are, of one thing that it says.
fn say(shelf: &mut Shelf, from: MemberId, kind: Kind, topic: &str, payload: &[u8]) -> Vec<Effect> {
    let header = Header {
        action_len: topic.len() as u16,
        payload_len: payload.len() as u32,
        correlation: 7,
        ..Header::bare(kind)
    };
    let mut bytes = BytesMut::new();
    frame::put(&mut bytes, header, topic, payload);
    let run = Run {
        bytes: bytes.freeze(),
        frames: 1,
        charge: charge(&header),
        lane: Lane::Messages,
        class: Class::Direct,
        from,
        only: None,
        calls: false,
    };
    let mut out = Vec::new();
    assert!(shelf.arrive(run, &mut out).is_none(), "one is no portion");
    check(shelf);
    out
}

/// What holds after each step.
fn check(shelf: &Shelf) {
    let held: usize = shelf.topics.values().filter_map(|topic| topic.value.as_ref()).map(Value::size).sum();
    assert_eq!(shelf.held, held);
    assert!(held <= shelf.rules.total);
    for (name, topic) in &shelf.topics {
        assert!(topic.value.is_some() || !topic.readers.is_empty(), "{name} is kept for nothing");
        for reader in &topic.readers {
            assert!(shelf.patrons[reader].subscriptions.contains(name), "{reader} does not know that it reads {name}");
        }
    }
    for (id, patron) in &shelf.patrons {
        assert!(patron.under_way <= shelf.window.max(500 + 255), "{id}: {}", patron.under_way);
        let waiting = patron.waiting.iter().filter(|waiting| matches!(waiting, Waiting::Topic(_))).count();
        assert_eq!(waiting, patron.late.len(), "{id}");
    }
}

/// What members were told, in order: to whom, of which topic, which value, how many were skipped.
fn told(effects: &[Effect]) -> Vec<(MemberId, String, Option<Vec<u8>>, u32)> {
    let mut all = Vec::new();
    for effect in effects {
        let Effect::Shelved { to, run } = effect else { continue };
        for (header, frame) in Frames(&run.bytes).filter(|(header, _)| header.kind == Kind::Kept) {
            let topic = frame::action(&header, frame).expect("text").to_owned();
            let value = frame[frame::payload_start(&header)..].to_vec();
            all.push((*to, topic, (header.from != Address::default()).then_some(value), header.detail));
        }
    }
    all
}

/// How what was asked ended.
fn outcome(effects: &[Effect]) -> Option<Outcome> {
    effects.iter().find_map(|effect| match effect {
        Effect::Shelved { run, .. } => Frames(&run.bytes)
            .find(|(header, _)| header.kind == Kind::Reply)
            .and_then(|(header, _)| Outcome::from_detail(header.detail)),
        Effect::Credit { .. } | Effect::Return { .. } | Effect::Fetched { .. } => None,
    })
}

fn credit(effects: &[Effect]) -> u32 {
    let of = |effect: &Effect| match effect {
        Effect::Credit { account: Account::Shelf, charge, .. } => *charge,
        _ => 0,
    };
    effects.iter().map(of).sum()
}

/// Takes all that is under way to one member, and returns what follows.
fn fetch(shelf: &mut Shelf, by: MemberId) -> Vec<Effect> {
    let mut out = Vec::new();
    let under_way = shelf.patrons.get(&by).map_or(0, |patron| patron.under_way);
    shelf.fetched(by, under_way, &mut out);
    check(shelf);
    out
}

#[test]
fn who_subscribes_hears_the_last_value_first_and_then_every_change() {
    let mut shelf = shelf();
    for value in [b"1", b"2"] {
        let published = say(&mut shelf, agent(), Kind::Publish, "price", value);
        assert_eq!((outcome(&published), credit(&published)), (Some(Outcome::Answered), 128));
    }
    let subscribed = say(&mut shelf, worker(0), Kind::Subscribe, "price", b"");
    assert_eq!(told(&subscribed), [(worker(0), "price".into(), Some(b"2".to_vec()), 0)]);
    assert_eq!(outcome(&subscribed), Some(Outcome::Answered));
    say(&mut shelf, worker(1), Kind::Subscribe, "price", b"");
    let changed = say(&mut shelf, agent(), Kind::Publish, "price", b"3");
    let value = |id| (id, "price".to_owned(), Some(b"3".to_vec()), 0);
    assert_eq!(told(&changed), [value(worker(0)), value(worker(1))]);
    let retracted = say(&mut shelf, agent(), Kind::Retract, "price", b"");
    let nothing = |id| (id, "price".to_owned(), None, 0);
    assert_eq!(told(&retracted), [nothing(worker(0)), nothing(worker(1))]);
    assert_eq!(told(&say(&mut shelf, agent(), Kind::Retract, "price", b"")), [], "nothing has changed");
    say(&mut shelf, worker(0), Kind::Unsubscribe, "price", b"");
    let changed = say(&mut shelf, agent(), Kind::Publish, "price", b"4");
    assert_eq!(told(&changed).len(), 1, "who left hears no more");
}

#[test]
fn a_value_outlives_whoever_published_it_and_a_reader_is_forgotten_with_its_process() {
    let mut shelf = shelf();
    say(&mut shelf, agent(), Kind::Publish, "a", b"1");
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    say(&mut shelf, worker(0), Kind::Subscribe, "nothing", b"");
    shelf.gone(agent());
    shelf.gone(worker(0));
    check(&shelf);
    assert_eq!((shelf.topics.len(), shelf.patrons.len()), (1, 0));
    let successor = Slot::worker(0).member(Incarnation::new(2));
    assert_eq!(told(&say(&mut shelf, successor, Kind::Subscribe, "a", b"")).len(), 1);
}

#[test]
fn who_does_not_take_it_has_a_window_under_way_and_hears_the_latest_with_what_it_missed() {
    let mut shelf = shelf();
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    say(&mut shelf, worker(0), Kind::Subscribe, "b", b"");
    fetch(&mut shelf, worker(0));
    let mut heard = 0;
    for number in 0..100u8 {
        heard += told(&say(&mut shelf, agent(), Kind::Publish, "a", &[number])).len();
        fetch(&mut shelf, agent());
    }
    say(&mut shelf, agent(), Kind::Publish, "b", b"once");
    assert_eq!(heard as u32, WINDOW / 128, "a window, and no more");
    assert_eq!(shelf.patrons[&worker(0)].waiting.len(), 2);
    let after = told(&fetch(&mut shelf, worker(0)));
    let missed = 100 - heard as u32 - 1;
    assert_eq!(
        after,
        [(worker(0), "a".into(), Some(vec![99]), missed), (worker(0), "b".into(), Some(b"once".to_vec()), 0)]
    );
}

/// A member whose window is full of something else.
fn full(shelf: &mut Shelf, id: MemberId) {
    say(shelf, id, Kind::Subscribe, "filler", b"");
    fetch(shelf, id);
    for _ in 0..WINDOW / 128 {
        say(shelf, agent(), Kind::Publish, "filler", b"");
        fetch(shelf, agent());
    }
}

#[test]
fn every_change_since_it_subscribed_is_told_or_counted() {
    // Heard, retracted, published and retracted again: two changes after the last that it heard.
    let mut shelf = shelf();
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    say(&mut shelf, agent(), Kind::Publish, "a", b"1");
    say(&mut shelf, agent(), Kind::Retract, "a", b"");
    full(&mut shelf, worker(0));
    say(&mut shelf, agent(), Kind::Publish, "a", b"2");
    say(&mut shelf, agent(), Kind::Retract, "a", b"");
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), None, 1)]);

    // A topic that had no value when it subscribed.
    let mut shelf = self::shelf();
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    full(&mut shelf, worker(0));
    for number in 1..=10 {
        say(&mut shelf, agent(), Kind::Publish, "a", &[number]);
        fetch(&mut shelf, agent());
    }
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), Some(vec![10]), 9)]);

    // Another of its tasks subscribes meanwhile: it has heard what is kept, and misses nothing.
    let mut shelf = self::shelf();
    say(&mut shelf, agent(), Kind::Publish, "a", b"5");
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    full(&mut shelf, worker(0));
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    say(&mut shelf, agent(), Kind::Publish, "a", b"6");
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), Some(b"6".to_vec()), 0)]);

    // It has left, and comes back: what changed in between is not its business.
    let mut shelf = self::shelf();
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    full(&mut shelf, worker(0));
    say(&mut shelf, agent(), Kind::Publish, "a", b"1");
    say(&mut shelf, agent(), Kind::Publish, "a", b"2");
    say(&mut shelf, worker(0), Kind::Unsubscribe, "a", b"");
    say(&mut shelf, worker(0), Kind::Subscribe, "a", b"");
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), Some(b"2".to_vec()), 0)]);
}

#[test]
fn what_has_many_readers_is_told_in_portions() {
    let mut shelf = shelf();
    for index in 0..100 {
        say(&mut shelf, worker(index), Kind::Subscribe, "a", b"");
    }
    let header = Header { action_len: 1, payload_len: 1, ..Header::bare(Kind::Publish) };
    let mut bytes = BytesMut::new();
    (0..100).for_each(|_| frame::put(&mut bytes, header, "a", b"1"));
    let (bytes, charge) = (bytes.freeze(), 100 * charge(&header));
    let (lane, class, from) = (Lane::Messages, Class::Direct, agent());
    let mut rest = Some(Run { bytes, frames: 100, charge, lane, class, from, only: None, calls: false });
    let (mut portions, mut changes) = (0, 0);
    while let Some(run) = rest {
        let mut out = Vec::new();
        rest = shelf.arrive(run, &mut out);
        check(&shelf);
        portions += 1;
        changes += told(&out).len();
        (0..100).for_each(|index| drop(fetch(&mut shelf, worker(index))));
    }
    // Ten changes at a time. Each reader has room for seven frames, one of which is something else: the answer to its
    // subscription, later the change for which there was no room before.
    assert_eq!((portions, changes), (10, 10 * 100 * 6));
}

#[test]
fn what_is_over_a_limit_or_from_whoever_may_not_is_refused_and_what_was_kept_stays() {
    let rules = ShelfRules { value: 500, total: 1_000, publishers: Some(vec![Role::AGENT]) };
    let mut shelf = Shelf::new(rules, WINDOW);
    let mut publish = |from, topic: &str, size: usize| {
        let said = say(&mut shelf, from, Kind::Publish, topic, &vec![0; size]);
        fetch(&mut shelf, from);
        outcome(&said)
    };
    let refused = |reason| Some(Outcome::Undelivered(reason));
    assert_eq!(publish(agent(), "a", 500), Some(Outcome::Answered));
    assert_eq!(publish(agent(), "a", 501), refused(Reason::TooLarge));
    assert_eq!(publish(agent(), "b", 498), Some(Outcome::Answered));
    assert_eq!(publish(agent(), "c", 1), refused(Reason::Full));
    assert_eq!(publish(agent(), "b", 100), Some(Outcome::Answered), "a shorter one in its place");
    assert_eq!(publish(agent(), "c", 1), Some(Outcome::Answered));
    assert_eq!(publish(worker(0), "a", 1), refused(Reason::NotAllowed));
    assert_eq!(publish(Slot::master().member(Incarnation::FIRST), "b", 1), Some(Outcome::Answered));
    assert_eq!(outcome(&say(&mut shelf, worker(0), Kind::Retract, "a", b"")), refused(Reason::NotAllowed));
    let kept = told(&say(&mut shelf, worker(1), Kind::Subscribe, "a", b""));
    assert_eq!(kept, [(worker(1), "a".into(), Some(vec![0; 500]), 0)]);
}

#[test]
fn whoever_does_not_take_its_answers_gets_no_credit_back() {
    let mut shelf = shelf();
    let (mut used, mut back) = (0, 0);
    for _ in 0..50 {
        let said = say(&mut shelf, agent(), Kind::Publish, "a", b"1");
        used += 128;
        back += credit(&said);
    }
    assert_eq!((used, back), (50 * 128, WINDOW / 128 * 128));
    for _ in 0..10 {
        back += credit(&fetch(&mut shelf, agent()));
    }
    assert_eq!(back, used);
}

#[test]
fn a_member_has_no_more_than_its_subscriptions() {
    let mut shelf = shelf();
    for number in 0..SUBSCRIPTIONS {
        assert_eq!(shelf.subscribe(worker(0), &number.to_string()), Ok(()));
    }
    assert_eq!(shelf.subscribe(worker(0), "one more"), Err(Reason::Full));
    assert_eq!(shelf.subscribe(worker(0), "1"), Ok(()), "again is no more");
    shelf.unsubscribe(worker(0), "1");
    assert_eq!(shelf.subscribe(worker(0), "one more"), Ok(()));
    check(&shelf);
}
