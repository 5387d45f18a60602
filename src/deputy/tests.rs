//! The master takes part: by the same rules as its members.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::identity::{Incarnation, Role, Slot};
use crate::messenger::{CallError, Lost, Message, Reason, Request, SendError};

fn nothing(_: &Messenger) {}

/// Answers `double`, and passes `number` on to `seen` with the sender.
fn schooled(seen: mpsc::UnboundedSender<(String, u32)>) -> impl Fn(&Messenger) + Send + Sync + 'static {
    move |messenger: &Messenger| {
        let doubled = messenger.answer("double", async |request: Request<u32>| Ok::<_, String>(request.body * 2));
        doubled.expect("it is the first");
        let (seen, me) = (seen.clone(), messenger.id());
        messenger.on("number", move |message: Message<u32>| {
            let _ = seen.send((format!("{} to {me}", message.from), message.body));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_master_sends_calls_and_answers_like_any_member() {
    let (seen, mut got) = mpsc::unbounded_channel();
    let begin = |deputy: &Deputy| schooled(seen.clone())(&deputy.messenger());
    let world = World::begin(begin, schooled(seen.clone())).await;
    let (master, agent) = (world.deputy.messenger(), world.member(Slot::agent(), 1).await);
    assert_eq!(master.id().to_string(), "master/0#1");
    assert_eq!(master.call::<u32>(Slot::worker(1), "double", &21u32).await, Ok(42));
    assert_eq!(agent.call::<u32>(Slot::master(), "double", &4u32).await, Ok(8));
    assert_eq!(master.call::<u32>(Slot::master(), "double", &5u32).await, Ok(10), "also to itself");
    let name = agent.resolve("master/0").expect("it has a name");
    agent.to(name, "number", &1u32).await.expect("it is there");
    assert_eq!(got.recv().await, Some(("agent/0#1 to master/0#1".into(), 1)));
    agent.try_send(master.id(), "number", &2u32).expect("as itself, too");
    assert_eq!(got.recv().await, Some(("agent/0#1 to master/0#1".into(), 2)));
    master.to_workers("number", &3u32).await.expect("a group");
    for _ in 0..3 {
        let (who, number) = got.recv().await.expect("each has one");
        assert!(who.starts_with("master/0#1 to worker/") && number == 3, "{who} {number}");
    }
    master.to_random("number", &4u32).await.expect("one of them");
    assert!(got.recv().await.is_some_and(|(who, number)| who.contains("to worker/") && number == 4));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_group_reaches_the_master_and_no_chance() {
    let (seen, mut got) = mpsc::unbounded_channel();
    let begin = |deputy: &Deputy| schooled(seen.clone())(&deputy.messenger());
    let world = World::begin(begin, schooled(seen.clone())).await;
    let (agent, _) = (world.member(Slot::agent(), 1).await, world.member(Slot::worker(2), 1).await);
    world.deputy.messenger().broadcast("number", &1u32).await.expect("all");
    for _ in 0..4 {
        let (who, _) = got.recv().await.expect("each has one");
        assert!(!who.contains("to master"), "{who}");
    }
    let unknown = Err(SendError::NoSuchMember("master".into()));
    assert_eq!(agent.to_role("master", "number", &1u32).await, unknown);
    assert_eq!(agent.send(crate::Target::Role(Role::MASTER), "number", &1u32).await, unknown);
    assert_eq!(agent.send(crate::Recipient::Random(Role::MASTER), "number", &1u32).await, unknown);
    let other = Slot::new(Role::MASTER, 1);
    assert_eq!(agent.to(other, "number", &1u32).await, Err(SendError::NoSuchMember("master/1".into())));
    // Behind whatever else the broadcast might have brought.
    agent.to(Slot::master(), "number", &2u32).await.expect("it is there");
    assert_eq!(got.recv().await, Some(("agent/0#1 to master/0#1".into(), 2)));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_the_master_does_not_take_part_nobody_has_a_handler() {
    let world = World::begin(|_| (), nothing).await;
    let agent = world.member(Slot::agent(), 1).await;
    let mut lost = agent.undelivered();
    let none = Err(CallError::Undelivered(Reason::NoHandler));
    assert_eq!(agent.call::<u32>(Slot::master(), "double", &1u32).await, none);
    // More than the window: each gives back its credit.
    for _ in 0..20 {
        agent.to(Slot::master(), "number", Bytes::from(vec![7; 60_000])).await.expect("it is routed");
        let back = lost.next().await.expect("it comes back");
        assert_eq!((back.to, back.reason, back.payload.len()), (Lost::Slot(Slot::master()), Reason::NoHandler, 60_000));
    }
    // Whoever comes later is heard, and says itself what it does not take.
    let master = world.deputy.messenger();
    master.answer("double", async |request: Request<u32>| Ok::<_, String>(request.body * 2)).expect("the first");
    assert_eq!(agent.call::<u32>(Slot::master(), "double", &3u32).await, Ok(6));
    assert_eq!(agent.call::<u32>(Slot::master(), "triple", &3u32).await, none);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_registered_before_the_start_is_there_for_the_first_that_asks() {
    let (found, mut asked) = mpsc::unbounded_channel();
    let begin = |deputy: &Deputy| {
        let served = deputy.messenger().answer("config", async |_: Request<()>| Ok::<_, String>("blue".to_owned()));
        served.expect("the first");
    };
    let world = World::begin(begin, move |messenger| {
        let (messenger, found) = (messenger.clone(), found.clone());
        tokio::spawn(async move {
            let _ = found.send(messenger.call::<String>(Slot::master(), "config", &()).await);
        });
    })
    .await;
    for _ in 0..4 {
        assert_eq!(asked.recv().await, Some(Ok("blue".into())));
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_the_masters_that_does_not_end_costs_its_senders_their_patience_and_nobody_else() {
    let (opened, handled) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let begin = |deputy: &Deputy| {
        let (opened, handled) = (opened.clone(), handled.clone());
        deputy.messenger().on("slow", move |_: Message<Bytes>| {
            let (opened, handled) = (opened.clone(), handled.clone());
            async move {
                opened.notified().await;
                handled.fetch_add(1, Ordering::Relaxed);
                opened.notify_one();
            }
        });
    };
    let (seen, mut got) = mpsc::unbounded_channel();
    let world = World::begin(begin, schooled(seen)).await;
    let agent = world.member(Slot::agent(), 1).await;
    let mut accepted = 0;
    let body = Bytes::from(vec![0; 60_000]);
    while let Ok(Ok(())) =
        tokio::time::timeout(std::time::Duration::from_secs(5), agent.to(Slot::master(), "slow", body.clone())).await
    {
        accepted += 1;
        assert!(accepted < 100, "there is a bound");
    }
    assert!(accepted >= 34, "the window of the sender and that of the receiver: {accepted}");
    assert_eq!(agent.try_send(Slot::master(), "slow", body).map_err(|error| error.error), Err(SendError::Full));
    // The master goes on, and so do all others, those who write to it included.
    agent.to(Slot::worker(0), "number", &1u32).await.expect("another receiver");
    assert!(got.recv().await.is_some());
    world.kill(Slot::worker(0), 1);
    assert_eq!(world.member(Slot::worker(0), 2).await.id(), Slot::worker(0).member(Incarnation::new(2)));
    assert_eq!(world.deputy.messenger().call::<u32>(Slot::worker(0), "double", &2u32).await, Ok(4));
    opened.notify_one();
    let all = async {
        while handled.load(Ordering::Relaxed) < accepted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("none was lost");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn from_the_master_to_a_slot_there_is_one_order_also_over_a_restart() {
    let (seen, mut got) = mpsc::unbounded_channel();
    let world = World::begin(|_| (), schooled(seen)).await;
    let master = world.deputy.messenger();
    world.member(Slot::worker(1), 1).await;
    let mut back = master.undelivered();
    world.kill(Slot::worker(1), 1);
    for number in 0..500u32 {
        master.to(Slot::worker(1), "number", &number).await.expect("it is routed");
    }
    let mut fates = Vec::new();
    while fates.len() < 500 {
        tokio::select! {
            biased;
            Some((_, number)) = got.recv() => fates.push(number),
            Some(lost) = back.next() => {
                assert_eq!(lost.reason, Reason::Died);
                fates.push(crate::transport::decode(&lost.payload).expect("a number"));
            }
        }
    }
    fates.sort_unstable();
    assert_eq!(fates, (0..500).collect::<Vec<u32>>(), "each arrived or came back, once");
    world.member(Slot::worker(1), 2).await;
    for number in 1_000..2_000u32 {
        master.to(Slot::worker(1), "number", &number).await.expect("it is routed");
    }
    let mut arrived = Vec::new();
    while arrived.len() < 1_000 {
        arrived.push(got.recv().await.expect("it arrives").1);
    }
    assert_eq!(arrived, (1_000..2_000).collect::<Vec<u32>>());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_the_masters_ends_with_its_callee_and_a_call_to_it_with_the_master() {
    let world = World::begin(
        |_| (),
        |messenger| {
            let never =
                messenger.answer("never", async |_: Request<()>| std::future::pending::<Result<(), String>>().await);
            never.expect("the first");
        },
    )
    .await;
    let (master, worker) = (world.deputy.messenger(), world.member(Slot::worker(0), 1).await);
    let begun = Arc::new(Notify::new());
    let told = begun.clone();
    let never = master.answer("never", move |_: Request<()>| {
        told.notify_one();
        std::future::pending::<Result<(), String>>()
    });
    never.expect("the first");
    let killed = async {
        // Behind the call on its way, and answered by whoever has it.
        let none = master.call::<()>(worker.id(), "nothing", &()).await;
        assert_eq!(none, Err(CallError::Undelivered(Reason::NoHandler)));
        world.kill(Slot::worker(0), 1);
    };
    let (answer, ()) = tokio::join!(master.call::<()>(Slot::worker(0), "never", &()), killed);
    assert_eq!(answer, Err(CallError::Undelivered(Reason::Died)));
    let worker = world.member(Slot::worker(0), 2).await;
    let open = tokio::spawn(async move { worker.call::<()>(Slot::master(), "never", &()).await });
    begun.notified().await;
    let deputy = world.stop().await;
    // Who reads that it was not sent asks somebody else, too.
    assert_eq!(open.await.expect("no panic"), Err(CallError::Closed));
    let closed = deputy.messenger().to(Slot::agent(), "number", &1u32).await;
    assert_eq!(closed, Err(SendError::Closed), "the master has ended");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_handler_of_the_masters_ends_nothing_but_that_handler() {
    let begin = |deputy: &Deputy| {
        let messenger = deputy.messenger();
        let thrown = messenger.answer("throw", async |_: Request<()>| -> Result<(), String> { panic!("on purpose") });
        thrown.expect("the first");
        let kept = messenger.answer("double", async |request: Request<u32>| Ok::<_, String>(request.body * 2));
        kept.expect("the first");
    };
    let world = World::begin(begin, nothing).await;
    let agent = world.member(Slot::agent(), 1).await;
    for _ in 0..3 {
        assert_eq!(agent.call::<()>(Slot::master(), "throw", &()).await, Err(CallError::Dropped));
    }
    assert_eq!(agent.call::<u32>(Slot::master(), "double", &3u32).await, Ok(6));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_ended_master_leaves_nothing_of_its_deputy() {
    let kept = Arc::new(());
    let weak = Arc::downgrade(&kept);
    let begin = |deputy: &Deputy| {
        // As many do: a handler that holds the messenger that holds it.
        let messenger = deputy.messenger();
        let own = messenger.clone();
        messenger.on("number", move |_: Message<u32>| {
            let _ = (&kept, own.id());
        });
    };
    let world = World::begin(begin, nothing).await;
    let deputy = world.stop().await;
    let link_end = async {
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), link_end).await.expect("its handlers are let go");
    drop(deputy);
}

#[test]
fn nobody_waits_for_a_master_whose_runtime_is_gone() {
    let begin = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (first, second) = (begin(), begin());
    let (asked, unasked) = first.block_on(async {
        let asked = World::begin(|_| (), nothing).await;
        asked.member(Slot::agent(), 1).await;
        asked.deputy.messenger().to(Slot::agent(), "number", &1u32).await.expect("it is there");
        (asked.deputy, World::begin(|_| (), nothing).await.deputy)
    });
    drop(first);
    for deputy in [asked, unasked] {
        let messenger = deputy.messenger();
        let (sent, called) = second.block_on(async {
            (messenger.to(Slot::agent(), "number", &1u32).await, messenger.call::<()>(Slot::agent(), "any", &()).await)
        });
        assert_eq!((sent, called), (Err(SendError::Closed), Err(CallError::Send(SendError::Closed))));
    }
}
