//! What the shelf tells whom, step by step.

use super::super::address::Address;
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
fn say(shelf: &mut Shelf, from: MemberId, want: Want, topic: &str, payload: &[u8]) -> Vec<Effect> {
    let header = Header {
        action_len: topic.len() as u16,
        payload_len: payload.len() as u32,
        correlation: 7,
        detail: want.to_detail(),
        ..Header::bare(Kind::Shelf)
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
    let counted = shelf.topics.iter().filter(|(name, _)| !is_bounded(name));
    let held: usize = counted.filter_map(|(_, topic)| topic.value.as_ref()).map(Value::size).sum();
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
        let published = say(&mut shelf, agent(), Want::Publish, "price", value);
        assert_eq!((outcome(&published), credit(&published)), (Some(Outcome::Answered), 128));
    }
    let subscribed = say(&mut shelf, worker(0), Want::Subscribe, "price", b"");
    assert_eq!(told(&subscribed), [(worker(0), "price".into(), Some(b"2".to_vec()), 0)]);
    assert_eq!(outcome(&subscribed), Some(Outcome::Answered));
    say(&mut shelf, worker(1), Want::Subscribe, "price", b"");
    let changed = say(&mut shelf, agent(), Want::Publish, "price", b"3");
    let value = |id| (id, "price".to_owned(), Some(b"3".to_vec()), 0);
    assert_eq!(told(&changed), [value(worker(0)), value(worker(1))]);
    let retracted = say(&mut shelf, agent(), Want::Retract, "price", b"");
    let nothing = |id| (id, "price".to_owned(), None, 0);
    assert_eq!(told(&retracted), [nothing(worker(0)), nothing(worker(1))]);
    assert_eq!(told(&say(&mut shelf, agent(), Want::Retract, "price", b"")), [], "nothing has changed");
    say(&mut shelf, worker(0), Want::Unsubscribe, "price", b"");
    let changed = say(&mut shelf, agent(), Want::Publish, "price", b"4");
    assert_eq!(told(&changed).len(), 1, "who left hears no more");
}

#[test]
fn a_value_outlives_whoever_published_it_and_a_reader_is_forgotten_with_its_process() {
    let mut shelf = shelf();
    say(&mut shelf, agent(), Want::Publish, "a", b"1");
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    say(&mut shelf, worker(0), Want::Subscribe, "nothing", b"");
    shelf.gone(agent());
    shelf.gone(worker(0));
    check(&shelf);
    assert_eq!((shelf.topics.len(), shelf.patrons.len()), (1, 0));
    let successor = Slot::worker(0).member(Incarnation::new(2));
    assert_eq!(told(&say(&mut shelf, successor, Want::Subscribe, "a", b"")).len(), 1);
}

#[test]
fn who_does_not_take_it_has_a_window_under_way_and_hears_the_latest_with_what_it_missed() {
    let mut shelf = shelf();
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    say(&mut shelf, worker(0), Want::Subscribe, "b", b"");
    fetch(&mut shelf, worker(0));
    let mut heard = 0;
    for number in 0..100u8 {
        heard += told(&say(&mut shelf, agent(), Want::Publish, "a", &[number])).len();
        fetch(&mut shelf, agent());
    }
    say(&mut shelf, agent(), Want::Publish, "b", b"once");
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
    say(shelf, id, Want::Subscribe, "filler", b"");
    fetch(shelf, id);
    for _ in 0..WINDOW / 128 {
        say(shelf, agent(), Want::Publish, "filler", b"");
        fetch(shelf, agent());
    }
}

#[test]
fn every_change_since_it_subscribed_is_told_or_counted() {
    // Heard, retracted, published and retracted again: two changes after the last that it heard.
    let mut shelf = shelf();
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    say(&mut shelf, agent(), Want::Publish, "a", b"1");
    say(&mut shelf, agent(), Want::Retract, "a", b"");
    full(&mut shelf, worker(0));
    say(&mut shelf, agent(), Want::Publish, "a", b"2");
    say(&mut shelf, agent(), Want::Retract, "a", b"");
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), None, 1)]);

    // A topic that had no value when it subscribed.
    let mut shelf = self::shelf();
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    full(&mut shelf, worker(0));
    for number in 1..=10 {
        say(&mut shelf, agent(), Want::Publish, "a", &[number]);
        fetch(&mut shelf, agent());
    }
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), Some(vec![10]), 9)]);

    // Another of its tasks subscribes meanwhile: it has heard what is kept, and misses nothing.
    let mut shelf = self::shelf();
    say(&mut shelf, agent(), Want::Publish, "a", b"5");
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    full(&mut shelf, worker(0));
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    say(&mut shelf, agent(), Want::Publish, "a", b"6");
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), Some(b"6".to_vec()), 0)]);

    // It has left, and comes back: what changed in between is not its business.
    let mut shelf = self::shelf();
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    full(&mut shelf, worker(0));
    say(&mut shelf, agent(), Want::Publish, "a", b"1");
    say(&mut shelf, agent(), Want::Publish, "a", b"2");
    say(&mut shelf, worker(0), Want::Unsubscribe, "a", b"");
    say(&mut shelf, worker(0), Want::Subscribe, "a", b"");
    assert_eq!(told(&fetch(&mut shelf, worker(0))), [(worker(0), "a".into(), Some(b"2".to_vec()), 0)]);
}

#[test]
fn what_has_many_readers_is_told_in_portions() {
    let mut shelf = shelf();
    for index in 0..100 {
        say(&mut shelf, worker(index), Want::Subscribe, "a", b"");
    }
    let detail = Want::Publish.to_detail();
    let header = Header { action_len: 1, payload_len: 1, detail, ..Header::bare(Kind::Shelf) };
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
        let said = say(&mut shelf, from, Want::Publish, topic, &vec![0; size]);
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
    assert_eq!(outcome(&say(&mut shelf, worker(0), Want::Retract, "a", b"")), refused(Reason::NotAllowed));
    let kept = told(&say(&mut shelf, worker(1), Want::Subscribe, "a", b""));
    assert_eq!(kept, [(worker(1), "a".into(), Some(vec![0; 500]), 0)]);
}

#[test]
fn what_is_known_of_schedules_takes_no_room_and_what_the_library_keeps_for_users_does() {
    let rules = ShelfRules { value: 500, total: 256, publishers: Some(vec![Role::WORKER]) };
    let mut shelf = Shelf::new(rules, WINDOW);
    let mut publish = |topic: &str, len| outcome(&say(&mut shelf, agent(), Want::Publish, topic, &vec![0; len]));
    assert_eq!(publish("hatchery:schedule/a", 5_000), Some(Outcome::Answered));
    assert_eq!(publish("hatchery:schedule/a", 6_000), Some(Outcome::Answered));
    assert_eq!(publish("hatchery:followed/a", 1), Some(Outcome::Answered), "whoever may publish what users name");
    assert_eq!(publish("hatchery:followed/b", 200), Some(Outcome::Undelivered(Reason::Full)));
    assert_eq!(publish("hatchery:followed/a", 501), Some(Outcome::Undelivered(Reason::TooLarge)));
    assert_eq!(publish("a", 1), Some(Outcome::Undelivered(Reason::NotAllowed)));
    assert_eq!(outcome(&say(&mut shelf, agent(), Want::Retract, "hatchery:schedule/a", b"")), Some(Outcome::Answered));
    check(&shelf);
}

#[test]
fn what_is_followed_goes_with_its_last_reader_when_whoever_published_it_has_ended() {
    let mut shelf = shelf();
    let (read, unread) = ("hatchery:followed/a", "hatchery:followed/b");
    say(&mut shelf, worker(0), Want::Subscribe, read, b"");
    for topic in [read, unread, "another"] {
        say(&mut shelf, agent(), Want::Publish, topic, b"1");
    }
    say(&mut shelf, worker(0), Want::Unsubscribe, read, b"");
    assert_eq!(shelf.topics.len(), 3, "it may be followed again, and is not told again");
    say(&mut shelf, worker(0), Want::Subscribe, read, b"");
    shelf.gone(agent());
    assert_eq!(shelf.topics.keys().map(|name| &**name).collect::<Vec<_>>(), ["another", read]);
    shelf.gone(worker(0));
    assert_eq!(shelf.topics.len(), 1);
    check(&shelf);
}

#[test]
fn whoever_does_not_take_its_answers_gets_no_credit_back() {
    let mut shelf = shelf();
    let (mut used, mut back) = (0, 0);
    for _ in 0..50 {
        let said = say(&mut shelf, agent(), Want::Publish, "a", b"1");
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

/// A subscription, as whoever has it counts.
#[derive(Default)]
struct Reader {
    /// The last change before it began.
    began: u32,
    /// The last change that it has heard.
    heard: u32,
    /// Changes since it began.
    changes: u64,
    /// Those that it was told, and those that it was told to have missed.
    accounted: u64,
}

#[test]
fn whatever_happens_each_change_since_a_subscription_began_is_told_or_counted() {
    for seed in 0..300 {
        let mut dice = crate::supervision::Dice::seeded(seed);
        let mut shelf = shelf();
        let mut readers: BTreeMap<(MemberId, String), Reader> = BTreeMap::new();
        let mut skipped = 0;
        for _ in 0..400 {
            let (id, topic) = (worker(dice.below(3) as u16), ["a", "b", "c"][dice.below(3)].to_owned());
            let before = shelf.topics.get(topic.as_str()).map_or(0, |topic| topic.version);
            let effects = match dice.below(10) {
                0..5 => say(&mut shelf, agent(), Want::Publish, &topic, &[seed as u8; 30]),
                5 => say(&mut shelf, agent(), Want::Retract, &topic, b""),
                6 => {
                    let fresh = Reader { began: before, heard: before, ..Reader::default() };
                    readers.entry((id, topic.clone())).or_insert(fresh);
                    say(&mut shelf, id, Want::Subscribe, &topic, b"")
                }
                7 => {
                    readers.remove(&(id, topic.clone()));
                    say(&mut shelf, id, Want::Unsubscribe, &topic, b"")
                }
                8 if dice.below(4) == 0 => {
                    readers.retain(|(reader, _), _| *reader != id);
                    shelf.gone(id);
                    Vec::new()
                }
                _ => fetch(&mut shelf, id),
            };
            let after = shelf.topics.get(topic.as_str()).map_or(before, |topic| topic.version);
            if after != before {
                readers.iter_mut().filter(|((_, name), _)| *name == topic).for_each(|(_, reader)| reader.changes += 1);
            }
            skipped += account(&effects, &mut readers);
            fetch(&mut shelf, agent());
        }
        for id in (0..3).map(worker) {
            loop {
                let effects = fetch(&mut shelf, id);
                skipped += account(&effects, &mut readers);
                if shelf.patrons.get(&id).is_none_or(|patron| patron.waiting.is_empty()) {
                    break;
                }
            }
        }
        for ((id, topic), reader) in &readers {
            assert_eq!(reader.accounted, reader.changes, "seed {seed}: {topic} of {id}");
        }
        assert!(skipped > 0, "seed {seed}: nobody has been slow");
    }
}

/// Has those who are told hear it, as a member does: not what it has heard. Returns how many changes were skipped.
fn account(effects: &[Effect], readers: &mut BTreeMap<(MemberId, String), Reader>) -> u64 {
    let mut skipped = 0;
    for effect in effects {
        let Effect::Shelved { to, run } = effect else { continue };
        for (header, frame) in Frames(&run.bytes).filter(|(header, _)| header.kind == Kind::Kept) {
            let topic = frame::action(&header, frame).expect("text").to_owned();
            let reader = readers.get_mut(&(*to, topic)).expect("who has left hears no more");
            if header.correlation != reader.heard && header.correlation != reader.began {
                reader.accounted += 1 + u64::from(header.detail);
                skipped += u64::from(header.detail);
            }
            reader.heard = header.correlation;
        }
    }
    skipped
}
