//! What the master keeps: the last value of each topic, and who wants to know of the next.
//!
//! A value is bytes here, as a payload is everywhere in the master. It stays when those who published it have gone. Who
//! subscribes hears it first and then every change; whoever does not take what comes has no more than a window of it waiting,
//! and hears of each topic the latest value when there is room, with the number of changes that were skipped. So a stopped
//! member costs the master that window, and publishers nothing.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::account::{Account, charge};
use super::frame::{self, Frames};
use super::header::{Class, Flags, Header};
use super::kind::{Kind, Lane, Want};
use super::names::{FOLLOWED, RESERVED, SCHEDULES, SHARED};
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
    /// The plan says who may publish by the names of topics that users give.
    fn admits(&self, role: Role, topic: &str) -> bool {
        topic.starts_with(RESERVED)
            || role == Role::MASTER
            || self.publishers.as_ref().is_none_or(|roles| roles.contains(&role))
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
    from: MemberId,
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

/// Whether a topic is bounded otherwise, and no part of what the plan has room for.
fn is_bounded(topic: &str) -> bool {
    topic.starts_with(SCHEDULES) || topic.starts_with(SHARED)
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
            // The session lets through nothing else.
            let Some(want) = Want::from_detail(header.detail) else { continue };
            let answered = match want {
                Want::Publish => self.publish(run.from, topic, &header, payload, out),
                Want::Retract => self.retract(run.from, topic, out),
                Want::Subscribe => self.subscribe(run.from, topic),
                Want::Unsubscribe => {
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
        let of_it = |(name, topic): (&Arc<str>, &Topic)| {
            topic.value.as_ref().is_some_and(|value| value.from == id).then(|| name.clone())
        };
        let followed = self
            .topics
            .range::<str, _>((Bound::Included(FOLLOWED), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(FOLLOWED));
        let orphans: Vec<Arc<str>> = followed.filter_map(of_it).collect();
        orphans.iter().for_each(|name| self.forget_if_idle(name));
    }

    fn publish(
        &mut self,
        from: MemberId,
        name: &str,
        header: &Header,
        payload: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<(), Reason> {
        if !self.rules.admits(from.role(), name) {
            return Err(Reason::NotAllowed);
        }
        if !is_bounded(name) {
            if payload.len() > self.rules.value {
                return Err(Reason::TooLarge);
            }
            let before = self.topics.get(name).and_then(|topic| topic.value.as_ref()).map_or(0, Value::size);
            let held = self.held - before + charge(header) as usize;
            if held > self.rules.total {
                return Err(Reason::Full);
            }
            self.held = held;
        }
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
        let value = Value { from, header, frame: bytes.freeze() };
        self.change(name, Some(value), version, out);
        Ok(())
    }

    fn retract(&mut self, from: MemberId, name: &str, out: &mut Vec<Effect>) -> Result<(), Reason> {
        if !self.rules.admits(from.role(), name) {
            return Err(Reason::NotAllowed);
        }
        let value = self.topics.get_mut(name).and_then(|topic| topic.value.take());
        if let Some(value) = value {
            if !is_bounded(name) {
                self.held -= value.size();
            }
            let version = self.next_version();
            self.change(name, None, version, out);
        }
        Ok(())
    }

    /// The name of a topic, shared with the topic if there is one.
    fn name(&self, name: &str) -> Arc<str> {
        self.topics.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone())
    }

    fn next_version(&mut self) -> u32 {
        self.version = self.version.checked_add(1).unwrap_or(1);
        self.version
    }

    /// A topic has another value from now on: its readers hear of it.
    fn change(&mut self, name: &str, value: Option<Value>, version: u32, out: &mut Vec<Effect>) {
        let name = self.name(name);
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
        let shared = self.name(name);
        let patron = self.patrons.entry(from).or_default();
        if patron.subscriptions.len() >= SUBSCRIPTIONS && !patron.subscriptions.contains(name) {
            return Err(Reason::Full);
        }
        let name = shared;
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

    /// A topic that has no value, and that nobody reads, is none. Of what is followed, neither is one whose value nobody will
    /// let go any more.
    fn forget_if_idle(&mut self, name: &str) {
        let lives = |value: &Value| self.patrons.contains_key(&value.from) || !name.starts_with(FOLLOWED);
        let idle = |topic: &Topic| topic.readers.is_empty() && !topic.value.as_ref().is_some_and(lives);
        if self.topics.get(name).is_some_and(idle)
            && let Some(value) = self.topics.remove(name).and_then(|topic| topic.value)
        {
            self.held -= value.size();
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
