//! The topics that this member has subscribed to, and who of it listens to each.
//!
//! What comes is taken at once, whoever listens: a listener that does not look has no more than a window of it here, loses
//! the oldest of that, and hears how many it lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::credit::NoCredit;
use super::shared::Member;
use crate::transport::{Account, Address, Header, Kind, Want, charge, window};

/// What has become of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// `None`: it has no value any more.
    pub(crate) value: Option<Value>,
    /// How many changes before this one are not told.
    pub(crate) missed: u64,
}

/// A value as it came: whether it is bytes as they are, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) raw: bool,
    pub(crate) payload: Bytes,
}

impl News {
    /// What it is charged where it waits.
    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.payload.len()).max(128)
    }
}

/// The topics.
#[derive(Debug, Default)]
pub(crate) struct Topics(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    topics: BTreeMap<Arc<str>, Topic>,
    /// The number of the last who began to listen.
    last: u64,
    /// The link is lost: nothing more comes.
    closed: bool,
}

#[derive(Debug, Default)]
struct Topic {
    value: Option<Value>,
    /// The number of its last change. 0: none has been heard.
    version: u32,
    /// The master has been told that somebody listens.
    told: bool,
    listeners: BTreeMap<u64, Queue>,
}

/// What one who listens has not looked at yet.
#[derive(Debug, Default)]
struct Queue {
    news: VecDeque<News>,
    size: usize,
    bell: Arc<Notify>,
}

impl Queue {
    fn push(&mut self, news: News, limit: usize) {
        self.size += news.size();
        self.news.push_back(news);
        while self.size > limit && self.news.len() > 1 {
            let Some(lost) = self.pop() else { break };
            if let Some(next) = self.news.front_mut() {
                next.missed += lost.missed + 1;
            }
        }
        self.bell.notify_one();
    }

    fn pop(&mut self) -> Option<News> {
        let news = self.news.pop_front()?;
        self.size -= news.size();
        Some(news)
    }
}

impl Topics {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has come for a topic. Nobody listens any more: it is nobody's.
    pub(crate) fn hear(&self, header: &Header, name: &str, payload: &[u8], limit: usize) {
        let mut table = self.table();
        let Some(topic) = table.topics.get_mut(name) else { return };
        // Told once more because somebody else of this member has subscribed.
        if header.correlation == topic.version {
            return;
        }
        topic.version = header.correlation;
        // A copy: what came is a part of all that was read at once, and would keep it.
        let value = || Value { raw: header.flags.raw, payload: Bytes::copy_from_slice(payload) };
        topic.value = (header.from != Address::default()).then(value);
        let news = News { value: topic.value.clone(), missed: header.detail.into() };
        for queue in topic.listeners.values_mut() {
            queue.push(news.clone(), limit);
        }
    }

    /// The link is lost.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        for queue in table.topics.values().flat_map(|topic| topic.listeners.values()) {
            queue.bell.notify_one();
        }
    }
}

/// Listens to one topic, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    member: Arc<Member>,
    name: Arc<str>,
    number: u64,
    bell: Arc<Notify>,
}

impl Listening {
    /// Listens from now on. What this member knows of the topic is heard first. The master has yet to be told.
    pub(crate) fn begin(member: &Arc<Member>, name: &str) -> Listening {
        let mut table = member.topics.table();
        table.last += 1;
        let number = table.last;
        let name: Arc<str> = match table.topics.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => name.into(),
        };
        let topic = table.topics.entry(name.clone()).or_default();
        let (mut queue, bell) = (Queue::default(), Arc::new(Notify::new()));
        queue.bell = bell.clone();
        if let Some(value) = &topic.value {
            queue.push(News { value: Some(value.clone()), missed: 0 }, usize::MAX);
        }
        topic.listeners.insert(number, queue);
        Listening { member: member.clone(), name, number, bell }
    }

    /// Tells the master, by what `say` does.
    pub(crate) fn tell(&self, say: impl FnOnce()) {
        let mut table = self.member.topics.table();
        if let Some(topic) = table.topics.get_mut(&self.name) {
            topic.told = true;
        }
        say();
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the topic has, as far as this member knows.
    pub(crate) fn value(&self) -> Option<Value> {
        self.member.topics.table().topics.get(&self.name).and_then(|topic| topic.value.clone())
    }

    /// The next news. `None`: the link is lost, and all that had come has been heard. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            {
                let mut table = self.member.topics.table();
                let closed = table.closed;
                let topic = table.topics.get_mut(&self.name);
                let queue = topic.and_then(|topic| topic.listeners.get_mut(&self.number));
                match queue.and_then(Queue::pop) {
                    Some(news) => return Some(news),
                    None if closed => return None,
                    None => {}
                }
            }
            self.bell.notified().await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut table = self.member.topics.table();
        let Some(topic) = table.topics.get_mut(&self.name) else { return };
        topic.listeners.remove(&self.number);
        if !topic.listeners.is_empty() {
            return;
        }
        let told = table.topics.remove(&self.name).is_some_and(|topic| topic.told);
        drop(table);
        if !told {
            return;
        }
        let header = farewell(&self.name);
        match self.member.credit.try_take(Account::Shelf, charge(&header)) {
            Ok(()) => leave(&self.member, header, &self.name),
            // The master knows that by itself.
            Err(NoCredit::Closed) => {}
            Err(NoCredit::Full) => {
                let (member, name) = (self.member.clone(), self.name.clone());
                self.member.spawner.spawn(async move {
                    if member.credit.take(Account::Shelf, charge(&header)).await.is_ok() {
                        leave(&member, header, &name);
                    }
                });
            }
        }
    }
}

fn farewell(name: &str) -> Header {
    let (to, detail) = (Address::shelf(), Want::Unsubscribe.to_detail());
    Header { to, action_len: name.len() as u16, detail, ..Header::bare(Kind::Shelf) }
}

/// Tells the master that nobody listens, if that is so: whoever has begun meanwhile would be left without.
fn leave(member: &Member, header: Header, name: &str) {
    let mut table = member.topics.table();
    match table.topics.get_mut(name) {
        Some(topic) => {
            topic.told = true;
            member.credit.give_back(Account::Shelf, charge(&header));
        }
        // Before the table is let go: whoever begins then says so after this.
        None => member.line.frame(header, name, Bytes::new()),
    }
}

impl Member {
    /// How much may wait for one who listens, in bytes.
    pub(crate) fn topic_window(&self) -> usize {
        window(self.limits) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(number: u8, size: usize) -> News {
        News { value: Some(Value { raw: true, payload: Bytes::from(vec![number; size]) }), missed: 0 }
    }

    #[test]
    fn who_does_not_look_loses_the_oldest_and_hears_how_many() {
        let mut queue = Queue::default();
        for number in 0..10 {
            queue.push(news(number, 300), 1_000);
        }
        let first = queue.pop().expect("the latest are kept");
        assert_eq!((first.missed, first.value.map(|value| value.payload[0])), (7, Some(7)));
        assert_eq!(queue.pop().map(|news| news.missed), Some(0));
        queue.push(news(11, 5_000), 1_000);
        assert_eq!(queue.pop().map(|news| news.missed), Some(1), "the last that was kept");
        assert_eq!((queue.pop(), queue.size), (None, 0));
    }
}
