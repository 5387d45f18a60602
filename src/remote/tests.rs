//! References to actors in members that live here: the master, the links and the bounds are the real ones.

#[path = "../../tests/stories/counter.rs"]
#[allow(unreachable_pub, reason = "it is told in other places, too")]
mod counter;

use std::time::Duration;

use ractor::{call, cast};
use serde::ser::Error;
use tokio::sync::watch;

use super::*;
use crate as hatchery;
use crate::deputy::World;
use crate::messenger::Lost;
use counter::{Count, Counter, CounterActor, Question, Tell, counter_story, start};

type CounterRef = ActorRef<ProxyMsg<Counter>>;

/// A world in which every worker serves a counter, whose slow casts wait for the gate.
async fn world(gate: &watch::Sender<bool>) -> World {
    let gate = gate.subscribe();
    World::begin(
        |_| (),
        move |messenger| {
            if messenger.id().role() == Role::WORKER {
                let actor = CounterActor(Some(gate.clone()));
                let (actor, _) = ractor::ActorRuntime::spawn_instant(None, actor, ()).expect("it has no name");
                messenger.host(actor).expect("the first");
            }
        },
    )
    .await
}

fn open() -> watch::Sender<bool> {
    watch::Sender::new(true)
}

fn counter(messenger: &Messenger, index: u16) -> CounterRef {
    messenger.actor(Slot::worker(index)).expect("it is in the plan")
}

#[tokio::test(start_paused = true)]
async fn the_same_story_holds_here_and_elsewhere() {
    counter_story(start().await).await;
    let world = world(&open()).await;
    let agent = world.member(Slot::agent(), 1).await;
    counter_story(counter(&agent, 0)).await;
    counter_story(counter(&world.member(Slot::worker(0), 1).await, 1)).await;
    counter_story(counter(&world.deputy.messenger(), 2)).await;
    // The program of the master serves as well.
    world.deputy.messenger().host(start().await).expect("the first");
    counter_story(agent.actor(Slot::master()).expect("it is in every plan")).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_death_ends_its_open_calls_with_the_cause_and_the_reference_serves_the_successor() {
    let world = world(&open()).await;
    let agent = world.member(Slot::agent(), 1).await;
    let counter = counter(&agent, 1);
    cast!(counter, ProxyMsg::Cast(Tell::Add(7))).expect("it lives");
    let never: Vec<_> = (0..50)
        .map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move { call!(counter, ProxyMsg::Call, Question::Never) })
        })
        .collect();
    assert_eq!(ask(&counter, Count).await, Ok(7), "behind the others");
    world.kill(Slot::worker(1), 1);
    for call in never {
        let answer = call.await.expect("no panic").expect("the reference lives");
        assert_eq!(answer, Err(CallError::Undelivered(Reason::Died)));
    }
    assert_eq!(ask(&counter, Count).await, Ok(0), "a new process counts anew");
    cast!(counter, ProxyMsg::Cast(Tell::Add(2))).expect("it lives");
    assert_eq!(ask(&counter, Count).await, Ok(2));
    assert_eq!(agent.actor::<Counter>(Slot::worker(1)), Ok(counter), "it is the same one");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_exceeds_the_window_is_a_dead_letter_that_is_counted_and_a_call_hears_so_at_once() {
    let gate = watch::Sender::new(false);
    let world = world(&gate).await;
    let agent = world.member(Slot::agent(), 1).await;
    let counter = counter(&agent, 0);
    assert_eq!(ask(&counter, Count).await, Ok(0));
    let (mut lost, count) = (agent.undelivered(), 40_000);
    for _ in 0..count {
        cast!(counter, ProxyMsg::Cast(Tell::Slow(Default::default()))).expect("ractor takes it");
    }
    cast!(counter, ProxyMsg::Cast(Tell::Add(0))).expect("ractor takes it");
    let full = call!(counter, ProxyMsg::Call, Question::Count).expect("the reference lives");
    assert_eq!(full, Err(CallError::Send(SendError::Full)));
    let dead = agent.undelivered_count();
    // What the sender may have on its way, what the member may have, and what its actor has begun.
    assert!(dead > count - 3 * 8_193 && dead < count - 8_192, "{dead} of {count} came back");
    let first = lost.next().await.expect("it comes back");
    assert_eq!((first.to, first.reason, first.perhaps_seen), (Lost::Slot(Slot::worker(0)), Reason::Full, false));
    assert!(matches!(first.cast_of::<Counter>(), Some(Tell::Slow(_))), "{first:?}");
    // Each of the others arrives, and then there is room again.
    gate.send_replace(true);
    let accounted = async {
        loop {
            match ask(&counter, Count).await {
                // The last of the dead was another cast.
                Ok(arrived) if arrived + dead == count + 1 => break,
                Ok(_) | Err(CallError::Send(SendError::Full)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), accounted).await.expect("each arrived or came back");
    assert_eq!(agent.undelivered_count(), dead);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cast_that_holds_its_receipt_waits_for_the_actor_and_comes_back_when_it_dies() {
    let gate = watch::Sender::new(false);
    let world = world(&gate).await;
    let agent = world.member(Slot::agent(), 1).await;
    let counter = counter(&agent, 0);
    let mut lost = agent.undelivered();
    for _ in 0..10 {
        cast!(counter, ProxyMsg::Cast(Tell::Slow(Default::default()))).expect("it lives");
    }
    // Dealt with when it was given to the actor, which is what the others are not.
    cast!(counter, ProxyMsg::Cast(Tell::Add(1))).expect("it lives");
    agent.to(Slot::worker(0), "unknown", &()).await.expect("behind them all");
    assert_eq!(lost.next().await.map(|lost| lost.reason), Some(Reason::NoHandler));
    world.kill(Slot::worker(0), 1);
    for _ in 0..10 {
        let back = lost.next().await.expect("it comes back");
        assert_eq!((back.reason, back.perhaps_seen), (Reason::Died, true));
        assert!(matches!(back.cast_of::<Counter>(), Some(Tell::Slow(_))), "{back:?}");
    }
    gate.send_replace(true);
    assert_eq!(ask(&counter, Count).await, Ok(0));
    assert_eq!(agent.undelivered_count(), 11);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn when_the_actor_has_ended_casts_come_back_until_another_serves() {
    let world = world(&open()).await;
    let (agent, worker) = (world.member(Slot::agent(), 1).await, world.member(Slot::worker(0), 1).await);
    let counter = counter(&agent, 0);
    assert_eq!(worker.host(start().await).map_err(|error| error.to_string()), {
        Err("protocol \"counter\" is served by another actor already".to_owned())
    });
    let never = {
        let counter = counter.clone();
        tokio::spawn(async move { call!(counter, ProxyMsg::Call, Question::Never) })
    };
    assert_eq!(ask(&counter, Count).await, Ok(0));
    cast!(counter, ProxyMsg::Cast(Tell::Fail)).expect("the reference lives");
    let ended = Err(CallError::Undelivered(Reason::Ended));
    assert_eq!(
        never.await.expect("no panic").expect("the reference lives"),
        Err(CallError::Undelivered(Reason::Ended))
    );
    assert_eq!(ask(&counter, Count).await, ended);
    let mut lost = agent.undelivered();
    cast!(counter, ProxyMsg::Cast(Tell::Add(3))).expect("the reference lives");
    let back = lost.next().await.expect("it comes back");
    assert_eq!((back.reason, back.perhaps_seen), (Reason::Ended, false));
    assert!(matches!(back.cast_of::<Counter>(), Some(Tell::Add(3))));
    worker.host(start().await).expect("the place is free");
    assert_eq!(ask(&counter, Count).await, Ok(0));
    // Nobody has ever served there.
    let nobody = agent.actor::<Counter>(Slot::agent()).expect("it is in the plan");
    assert_eq!(ask(&nobody, Count).await, Err(CallError::Undelivered(Reason::NoHandler)));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_whoever_is_ready() {
    let world = world(&open()).await;
    let agent = world.member(Slot::agent(), 1).await;
    for index in 0..3 {
        assert_eq!(ask(&counter(&agent, index), Count).await, Ok(0), "they are ready");
    }
    let pool = agent.pool::<Counter>(Role::WORKER).expect("it is in the plan");
    for _ in 0..300 {
        cast!(pool, ProxyMsg::Cast(Tell::Add(1))).expect("it lives");
    }
    assert!(ask(&pool, Count).await.is_ok(), "all before it are on their way");
    let mut counts = Vec::new();
    for index in 0..3 {
        let counter = counter(&agent, index);
        counts.push(ask(&counter, Count).await.expect("it lives"));
    }
    assert_eq!(counts.iter().sum::<u64>(), 300);
    assert!(counts.iter().all(|&count| count > 50), "{counts:?}");
    let unknown = Err(SendError::NoSuchMember("master".into()));
    assert_eq!(agent.pool::<Counter>(Role::MASTER), unknown);
    assert_eq!(agent.actor::<Counter>(Slot::worker(9)), Err(SendError::NoSuchMember("worker/9".into())));
    world.stop().await;
}

/// A protocol whose values cannot always be sent.
struct Stubborn;

impl Protocol for Stubborn {
    const NAME: &'static str = "stubborn";
    type Cast = Value;
    type Call = Value;
    type Reply = ();
}

#[derive(serde::Deserialize)]
enum Value {
    Long(usize),
    Refuses,
    Panics,
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Long(length) => serializer.serialize_bytes(&vec![0; *length]),
            Value::Refuses => Err(S::Error::custom("it does not want to")),
            Value::Panics => panic!("on purpose"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_at_all_comes_back_and_the_reference_lives() {
    let world = world(&open()).await;
    let agent = world.member(Slot::agent(), 1).await;
    let stubborn = agent.actor::<Stubborn>(Slot::worker(0)).expect("it is in the plan");
    let mut lost = agent.undelivered();
    let limit = World::LIMITS.payload;
    for (value, reason) in [
        (Value::Long(limit + 1), Reason::TooLarge),
        (Value::Refuses, Reason::Unencodable),
        (Value::Panics, Reason::Unencodable),
        (Value::Long(1), Reason::NoHandler),
    ] {
        cast!(stubborn, ProxyMsg::Cast(value)).expect("the reference lives");
        assert_eq!(lost.next().await.map(|lost| lost.reason), Some(reason));
    }
    let answer = call!(stubborn, ProxyMsg::Call, Value::Refuses).expect("the reference lives");
    assert!(matches!(answer, Err(CallError::Send(SendError::Encode(_)))), "{answer:?}");
    // Nor can every reply.
    let counter = counter(&agent, 0);
    let answer = call!(counter, ProxyMsg::Call, Question::Bytes(limit)).expect("the reference lives");
    assert_eq!(answer, Err(CallError::Undelivered(Reason::TooLarge)));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn user_code_has_no_action_that_is_the_librarys_own() {
    let world = world(&open()).await;
    let agent = world.member(Slot::agent(), 1).await;
    let reserved = || SendError::Reserved("hatchery:actor/1/counter".into());
    assert_eq!(agent.to(Slot::worker(0), "hatchery:actor/1/counter", &1u32).await, Err(reserved()));
    assert_eq!(agent.call(Slot::worker(0), "hatchery:actor/1/counter", &1u32).await, Err::<(), _>(reserved().into()));
    let registered = crate::contain(|| agent.on("hatchery:actor/1/counter", |_: crate::Message<u32>| ()));
    assert!(registered.is_err_and(|panic| panic.to_string().contains("the library's own")));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_references_and_calls_leave_nothing() {
    let world = world(&open()).await;
    let agent = world.member(Slot::agent(), 1).await;
    for index in 0..3 {
        assert_eq!(ask(&counter(&agent, index), Count).await, Ok(0));
    }
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let settled = async |count: usize| {
        while alive() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Whoever has just asked has an answer before the task that brought it has ended.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = alive();
    for round in 0..10_000u16 {
        let counter = counter(&agent, round % 3);
        match round % 10 {
            // Given up by whoever asked.
            0 => drop(tokio::time::timeout(Duration::ZERO, ask(&counter, Count)).await),
            1..=4 => cast!(counter, ProxyMsg::Cast(Tell::Add(1))).expect("it lives"),
            _ => drop(ask(&counter, Count).await.expect("it lives")),
        }
    }
    let soon = Duration::from_secs(60);
    tokio::time::timeout(soon, settled(before)).await.expect("all that was begun has ended");
    let total = async {
        let mut total = 0;
        for index in 0..3 {
            total += ask(&counter(&agent, index), Count).await.expect("it lives");
        }
        total
    };
    assert_eq!(total.await, 4_000);
    // Stopped, it is gone, and whoever asks has another.
    let first = counter(&agent, 0);
    first.stop_and_wait(None, None).await.expect("it stops");
    assert_eq!(ask(&first, Count).await, Err(CallError::Undelivered(Reason::Ended)));
    let second = counter(&agent, 0);
    assert_ne!(first.get_id(), second.get_id());
    assert!(ask(&second, Count).await.is_ok());
    // And with the link, all of them.
    world.stop().await;
    let gone = async {
        while host::lives(&second) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(soon, gone).await.expect("it is stopped");
    assert_eq!(agent.actor::<Counter>(Slot::worker(1)), Err(SendError::Closed));
}
