//! What the master keeps: who hears of it, and for how long it is kept.

use hatchery::{Bytes, CallError, Messenger, Reason, SendError, Slot};
use tokio::sync::mpsc::UnboundedReceiver;

use super::messages::told;
use super::{Case, case};
use crate::cast::Cast;
use crate::stage::Stage;
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![
        case("who subscribes hears what is kept, and then every change", Cast::Puppets, |stage| Box::pin(heard(stage))),
        case("what is kept outlives whoever published it", Cast::Puppets, |stage| Box::pin(outlives(stage))),
        case("who is not ready yet hears what is kept", Cast::Informed, |stage| Box::pin(early(stage))),
        case("what may not be published is refused, and what was kept stays", Cast::Informed, |stage| {
            Box::pin(refused(stage))
        }),
        case("who has unsubscribed hears no more", Cast::Puppets, |stage| Box::pin(unsubscribed(stage))),
    ]
}

type Heard = UnboundedReceiver<(String, Option<u32>, u64)>;

async fn listen(messenger: &Messenger, slot: Slot, topic: &str) -> Option<u32> {
    messenger.call(slot, "listen", &topic.to_owned()).await.expect("it answers")
}

/// What the next so many news are to each of those who listen, in order.
async fn next(heard: &mut Heard, of: &str, count: usize) -> Vec<Option<u32>> {
    let mut values = Vec::new();
    while values.len() < count {
        let (from, value, missed) = heard.recv().await.expect("somebody listens");
        assert_eq!((from.as_str(), missed), (of, 0));
        values.push(value);
    }
    values
}

async fn heard(stage: Stage) {
    let story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let mut heard: Heard = told(&messenger, "heard");
    assert_eq!(listen(&messenger, Slot::worker(0), "mood").await, None);
    for mood in [1u32, 2] {
        messenger.publish("mood", &mood).await.expect("everybody may");
    }
    assert_eq!(next(&mut heard, "worker/0#1", 2).await, [Some(1), Some(2)]);
    // Also twice: it is one more who listens.
    for slot in [Slot::agent(), Slot::agent()] {
        assert_eq!(listen(&messenger, slot, "mood").await, Some(2));
        assert_eq!(next(&mut heard, "agent/0#1", 1).await, [Some(2)]);
    }
    let asked = ("mood".to_owned(), 3u32);
    messenger.call::<()>(Slot::worker(1), "publish", &asked).await.expect("everybody may");
    messenger.retract("mood").await.expect("everybody may");
    let mut values: Vec<(String, Option<u32>)> = Vec::new();
    for _ in 0..6 {
        let (from, value, missed) = heard.recv().await.expect("they listen");
        assert_eq!(missed, 0);
        values.push((from, value));
    }
    values.sort();
    let each = |who: &str, value| (who.to_owned(), value);
    let (agent, worker) = ("agent/0#1", "worker/0#1");
    let expected = [
        each(agent, None),
        each(agent, None),
        each(agent, Some(3)),
        each(agent, Some(3)),
        each(worker, None),
        each(worker, Some(3)),
    ];
    assert_eq!(values, expected);
    story.end().await;
}

async fn outlives(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let asked = ("mood".to_owned(), 7u32);
    messenger.call::<()>(Slot::worker(0), "publish", &asked).await.expect("everybody may");
    story.tell(Slot::worker(0), "return").await;
    story.until_exit().await;
    let successor = story.until_ready(Slot::worker(0)).await;
    assert_eq!(successor.incarnation().get(), 2);
    assert_eq!(listen(&messenger, Slot::worker(0), "mood").await, Some(7));
    // The host is one among those who listen.
    let mut subscription = messenger.subscribe::<u32>("mood").await.expect("it is the master's own");
    let update = subscription.next().await.expect("there is a value");
    assert_eq!((update.value, update.missed, subscription.latest()), (Some(7), 0, Some(7)));
    story.end().await;
    assert!(subscription.next().await.is_none(), "its end is that of the cluster");
    assert_eq!(messenger.publish("mood", &8u32).await, Err(CallError::Send(SendError::Closed)));
}

async fn early(stage: Stage) {
    let story = Story::ready(&stage).await;
    assert_eq!(story.who(Slot::worker(1)).await, "worker/1#1");
    story.end().await;
}

async fn refused(stage: Stage) {
    let story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let asked = ("secret".to_owned(), 1u32);
    let answer = messenger.call::<()>(Slot::worker(0), "publish", &asked).await;
    assert_eq!(answer, Err(CallError::Failed(Reason::NotAllowed.to_string())));
    let bytes = |length: usize| Bytes::from(vec![1; length]);
    let refused = |reason| Err(CallError::Undelivered(reason));
    assert_eq!(messenger.publish("long", bytes(1_001)).await, refused(Reason::TooLarge));
    assert_eq!(messenger.publish("long", bytes(990)).await, Ok(()));
    assert_eq!(messenger.publish("longer", bytes(990)).await, refused(Reason::Full));
    assert_eq!(messenger.publish("", bytes(1)).await, Err(CallError::Send(SendError::BadAction(0))));
    let own = "hatchery:own";
    assert_eq!(messenger.publish(own, bytes(1)).await, Err(CallError::Send(SendError::Reserved(own.into()))));
    assert_eq!(listen(&messenger, Slot::worker(1), "secret").await, Some(42));
    messenger.retract("long").await.expect("the host may");
    assert_eq!(messenger.publish("longer", bytes(990)).await, Ok(()), "there is room again");
    story.end().await;
}

async fn unsubscribed(stage: Stage) {
    let story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let first = messenger.subscribe::<u32>("mood").await.expect("it is the master's own");
    let mut second = messenger.subscribe::<u32>("mood").await.expect("it is the master's own");
    drop(first);
    messenger.publish("mood", &1u32).await.expect("everybody may");
    assert_eq!(second.next().await.and_then(|update| update.value), Some(1), "one of two is left");
    drop(second);
    messenger.publish("mood", &2u32).await.expect("everybody may");
    let mut third = messenger.subscribe::<u32>("mood").await.expect("it is the master's own");
    assert_eq!(third.latest(), Some(2));
    messenger.publish("mood", &3u32).await.expect("everybody may");
    let values = [third.next().await, third.next().await].map(|update| update.and_then(|update| update.value));
    assert_eq!(values, [Some(2), Some(3)]);
    // A value that is no number is one that is missed.
    messenger.publish("mood", Bytes::from_static(b"bytes")).await.expect("everybody may");
    messenger.publish("mood", &4u32).await.expect("everybody may");
    let update = third.next().await.expect("there is a value");
    assert_eq!((update.value, update.missed), (Some(4), 1));
    story.end().await;
}
