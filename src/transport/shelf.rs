//! What the master keeps: the last value of each topic, and who wants to know of the next.
//!
//! A value is bytes here, as a payload is everywhere in the master. It stays when those who published it have gone. Who
//! subscribes hears it first and then every change; whoever does not take what comes has no more than a window of it waiting,
//! and hears of each topic the latest value when there is room, with the number of changes that were skipped. So a stopped
//! member costs the master that window, and publishers nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::account::{Account, charge};
use super::frame::{self, Frames};
use super::header::{Class, Flags, Header, Kind, Lane};
use super::reason::{Outcome, Reason};
use super::returns::Effect;
use super::run::Run;
use crate::identity::{MemberId, Role};

/// So many readers are seen to before others have their turn.
const PORTION: usize = 1_000;

/// The most topics that one member may have subscribed to.
const SUBSCRIPTIONS: usize = 8_192;

/// What may be kept, and who may publish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShelfRules {
    /// The longest value, in bytes.
    pub(crate) value: usize,
    /// All of them with the names of their topics, in bytes. A short one counts as 128.
    pub(crate) total: usize,
    /// `None`: everybody. The program in which the master runs always may.
    pub(crate) publishers: Option<Vec<Role>>,
}

impl ShelfRules {
    fn admits(&self, role: Role) -> bool {
        role == Role::MASTER || self.publishers.as_ref().is_none_or(|roles| roles.contains(&role))
    }
}

/// The topics, and the members that have to do with them.
#[derive(Debug)]
pub(crate) struct Shelf {
    rules: ShelfRules,
    /// How much may be under way to one member.
    window: u32,
    topics: BTreeMap<Arc<str>, Topic>,
    /// What the kept values are charged.
    held: usize,
    patrons: BTreeMap<MemberId, Patron>,
    /// The number of the last change. None has number 0.
    version: u32,
}

#[derive(Debug, Default)]
struct Topic {
    value: Option<Value>,
    /// The number of its last change.
    version: u32,
    readers: BTreeSet<MemberId>,
}

/// A value as it goes to those who keep up: a whole frame.
#[derive(Debug)]
struct Value {
    header: Header,
    frame: Bytes,
}

/// A member that publishes or subscribes.
#[derive(Debug, Default)]
struct Patron {
    subscriptions: BTreeSet<Arc<str>>,
    /// What it has been sent and was not passed on, in bytes charged.
    under_way: u32,
    /// What it is to be sent.
    waiting: VecDeque<Waiting>,
    /// The topics that wait among it, and how often each has changed meanwhile.
    late: BTreeMap<Arc<str>, u32>,
}

#[derive(Debug)]
enum Waiting {
    /// Whatever the topic has by then.
    Topic(Arc<str>),
    /// The end of something that it asked for, and what that was charged.
    Answer { correlation: u32, outcome: Outcome, charge: u32 },
}

impl Shelf {
    pub(crate) fn new(rules: ShelfRules, window: u32) -> Shelf {
        Shelf { rules, window, topics: BTreeMap::new(), held: 0, patrons: BTreeMap::new(), version: 0 }
    }

    /// A member has sent this. Returns what is left of it, when so much follows that others should have their turn first: a
    /// run has thousands of frames, and each of them as many readers as there are members.
    pub(crate) fn arrive(&mut self, mut run: Run, out: &mut Vec<Effect>) -> Option<Run> {
        let (mut dealt_with, mut visits) = (0, 0);
        for (header, frame) in Frames(&run.bytes) {
            if visits >= PORTION {
                break;
            }
            let topic = frame::action(&header, frame).unwrap_or_default();
            dealt_with += 1;
            visits += 1 + self.topics.get(topic).map_or(0, |topic| topic.readers.len());
            let payload = &frame[frame::payload_start(&header)..];
            let answered = match header.kind {
                Kind::Publish => self.publish(run.from, topic, &header, payload, out),
                Kind::Retract => self.retract(run.from, topic, out),
                Kind::Subscribe => self.subscribe(run.from, topic),
                // Nobody waits for the end of that.
                _ => {
                    self.unsubscribe(run.from, topic);
                    out.push(Effect::Credit { to: run.from, account: Account::Shelf, charge: charge(&header) });
                    continue;
                }
            };
            let outcome = answered.map_or_else(Outcome::Undelivered, |()| Outcome::Answered);
            let answer = Waiting::Answer { correlation: header.correlation, outcome, charge: charge(&header) };
            self.patrons.entry(run.from).or_default().waiting.push_back(answer);
            self.pump(run.from, out);
        }
        drop(run.split_frames(dealt_with));
        (run.frames > 0).then_some(run)
    }

    /// So much has been passed on to a member.
    pub(crate) fn fetched(&mut self, by: MemberId, charge: u32, out: &mut Vec<Effect>) {
        if let Some(patron) = self.patrons.get_mut(&by) {
            patron.under_way = patron.under_way.saturating_sub(charge);
            self.pump(by, out);
        }
    }

    /// A member has ended. What it published stays.
    pub(crate) fn gone(&mut self, id: MemberId) {
        let Some(patron) = self.patrons.remove(&id) else { return };
        for topic in patron.subscriptions {
            self.leave(&topic, id);
        }
    }

    fn publish(
        &mut self,
        from: MemberId,
        name: &str,
        header: &Header,
        payload: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<(), Reason> {
        if !self.rules.admits(from.role()) {
            return Err(Reason::NotAllowed);
        }
        if payload.len() > self.rules.value {
            return Err(Reason::TooLarge);
        }
        let before = self.topics.get(name).and_then(|topic| topic.value.as_ref()).map_or(0, Value::size);
        let held = self.held - before + charge(header) as usize;
        if held > self.rules.total {
            return Err(Reason::Full);
        }
        self.held = held;
        let version = self.next_version();
        let header = Header {
            flags: Flags { raw: header.flags.raw, ..Flags::default() },
            action_len: header.action_len,
            payload_len: header.payload_len,
            from: from.into(),
            correlation: version,
            ..Header::bare(Kind::Kept)
        };
        // A copy: what came is a part of all that was read at once, and would keep it.
        let mut bytes = BytesMut::new();
        frame::put(&mut bytes, header, name, payload);
        let value = Value { header, frame: bytes.freeze() };
        self.change(name, Some(value), version, out);
        Ok(())
    }

    fn retract(&mut self, from: MemberId, name: &str, out: &mut Vec<Effect>) -> Result<(), Reason> {
        if !self.rules.admits(from.role()) {
            return Err(Reason::NotAllowed);
        }
        let value = self.topics.get_mut(name).and_then(|topic| topic.value.take());
        if let Some(value) = value {
            self.held -= value.size();
            let version = self.next_version();
            self.change(name, None, version, out);
        }
        Ok(())
    }

    fn next_version(&mut self) -> u32 {
        self.version = self.version.checked_add(1).unwrap_or(1);
        self.version
    }

    /// A topic has another value from now on: its readers hear of it.
    fn change(&mut self, name: &str, value: Option<Value>, version: u32, out: &mut Vec<Effect>) {
        let name: Arc<str> = match self.topics.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => name.into(),
        };
        let topic = self.topics.entry(name.clone()).or_default();
        (topic.value, topic.version) = (value, version);
        let readers: Vec<MemberId> = topic.readers.iter().copied().collect();
        for reader in readers {
            if let Some(patron) = self.patrons.get_mut(&reader) {
                *patron.await_topic(&name) += 1;
                self.pump(reader, out);
            }
        }
        self.forget_if_idle(&name);
    }

    fn subscribe(&mut self, from: MemberId, name: &str) -> Result<(), Reason> {
        let patron = self.patrons.entry(from).or_default();
        if patron.subscriptions.len() >= SUBSCRIPTIONS && !patron.subscriptions.contains(name) {
            return Err(Reason::Full);
        }
        let name: Arc<str> = match self.topics.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => name.into(),
        };
        let topic = self.topics.entry(name.clone()).or_default();
        topic.readers.insert(from);
        if topic.value.is_some() {
            patron.await_topic(&name);
        }
        let is_new = patron.subscriptions.insert(name.clone());
        // What had changed before it asked, it has not missed.
        if let Some(changes) = patron.late.get_mut(&name).filter(|_| is_new) {
            *changes = 0;
        }
        Ok(())
    }

    fn unsubscribe(&mut self, from: MemberId, name: &str) {
        let is_known = self.patrons.get_mut(&from).is_some_and(|patron| patron.subscriptions.remove(name));
        if is_known {
            self.leave(name, from);
        }
    }

    fn leave(&mut self, name: &str, reader: MemberId) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.readers.remove(&reader);
        }
        self.forget_if_idle(name);
    }

    /// A topic that has no value, and that nobody reads, is none.
    fn forget_if_idle(&mut self, name: &str) {
        if self.topics.get(name).is_some_and(|topic| topic.value.is_none() && topic.readers.is_empty()) {
            self.topics.remove(name);
        }
    }

    /// Sends what there is room for. No frame is made before: a value may be long, and this is asked for each change of any
    /// topic.
    fn pump(&mut self, to: MemberId, out: &mut Vec<Effect>) {
        let Some(patron) = self.patrons.get_mut(&to) else { return };
        let (mut frames, mut sum) = (Vec::new(), 0);
        while let Some(next) = patron.waiting.pop_front() {
            let (topic, header) = match &next {
                Waiting::Answer { correlation, outcome, .. } => (None, answer(to, *correlation, *outcome)),
                // It has left the topic meanwhile.
                Waiting::Topic(name) if !patron.subscriptions.contains(name) => {
                    patron.late.remove(name);
                    continue;
                }
                Waiting::Topic(name) => {
                    let topic = self.topics.get(name);
                    let version = topic.map_or(0, |topic| topic.version);
                    let value = topic.and_then(|topic| topic.value.as_ref());
                    let header = value.map_or_else(|| retraction(name, version), |value| value.header);
                    // The last of them is told.
                    let missed = patron.late.get(name).map_or(0, |changes| changes.saturating_sub(1));
                    (Some((name.clone(), value)), Header { detail: missed, ..header })
                }
            };
            let cost = charge(&header);
            // One that is longer than any queue still goes, alone.
            if patron.under_way > 0 && patron.under_way.saturating_add(cost) > self.window {
                patron.waiting.push_front(next);
                break;
            }
            patron.under_way += cost;
            sum += cost;
            if let Waiting::Answer { charge, .. } = next {
                out.push(Effect::Credit { to, account: Account::Shelf, charge });
            }
            frames.push(match topic {
                None => written(header, "", b""),
                Some((name, value)) => {
                    patron.late.remove(&name);
                    match value {
                        // Made once, for all who keep up.
                        Some(value) if header.detail == 0 => value.frame.clone(),
                        Some(value) => written(header, &name, &value.frame[frame::payload_start(&header)..]),
                        None => written(header, &name, b""),
                    }
                }
            });
        }
        let count = frames.len() as u32;
        let bytes = match frames.len() {
            0 => return,
            1 => frames.remove(0),
            _ => frames.concat().into(),
        };
        let run = Run {
            bytes,
            frames: count,
            charge: sum,
            lane: Lane::Answers,
            class: Class::Direct,
            from: to,
            only: Some(to.incarnation()),
            calls: false,
        };
        out.push(Effect::Shelved { to, run });
    }
}

impl Patron {
    /// It is to hear what the topic has. Returns how many changes that comes to, which whoever calls this knows.
    fn await_topic(&mut self, name: &Arc<str>) -> &mut u32 {
        if !self.late.contains_key(name) {
            self.waiting.push_back(Waiting::Topic(name.clone()));
        }
        self.late.entry(name.clone()).or_default()
    }
}

impl Value {
    fn size(&self) -> usize {
        charge(&self.header) as usize
    }
}

/// There is no value any more: it is from nobody.
fn retraction(name: &str, version: u32) -> Header {
    Header { action_len: name.len() as u16, correlation: version, ..Header::bare(Kind::Kept) }
}

fn answer(to: MemberId, correlation: u32, outcome: Outcome) -> Header {
    Header { to: to.into(), correlation, detail: outcome.to_detail(), ..Header::bare(Kind::Reply) }
}

fn written(header: Header, action: &str, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    frame::put(&mut bytes, header, action, payload);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
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
                assert!(
                    shelf.patrons[reader].subscriptions.contains(name),
                    "{reader} does not know that it reads {name}"
                );
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
}
