//! Actors in other members, simulated: the story that is told of one in the same process and in a real one (src/remote,
//! tests/cluster), and what a death leaves of them.

#[path = "../stories/counter.rs"]
#[allow(unreachable_pub, reason = "it is told in other places, too")]
mod counter;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::hatchery;
use hatchery::ractor::{Actor, ActorProcessingErr, ActorRef, call, cast};
use hatchery::remote::ask;
use hatchery::simulation::{Chaos, Fault, explore};
use hatchery::{BoxError, CallError, Context, Hatchery, ProxyMsg, Reason, Role, Slot};
use tokio::sync::mpsc;

use self::counter::{Count, Counter, Question, Tell, counter_story, start};
use crate::{agent, ms, secs, seeds};

/// A member that serves a counter.
async fn server(cx: Context) -> hatchery::Result<()> {
    cx.host(start().await)?;
    cx.ready();
    cx.stopping().await;
    Ok(())
}

#[test]
fn the_same_story_holds_here_in_another_member_and_from_outside_of_all() {
    explore(seeds(), |sim| async move {
        let (told, mut heard) = mpsc::unbounded_channel();
        let storyteller = move |cx: Context| {
            let told = told.clone();
            async move {
                cx.ready();
                cx.cluster_ready().await;
                let own = start().await;
                counter_story(own.clone()).await;
                own.stop(None);
                counter_story(cx.actor(Slot::worker(0))?).await;
                told.send(cx.id())?;
                cx.stopping().await;
                Ok::<_, BoxError>(())
            }
        };
        let cluster = sim.start(Hatchery::new().agent(storyteller).workers(2, server)).await?;
        cluster.ready().await?;
        counter_story(cluster.slot(Slot::worker(1)).actor()?).await;
        assert_eq!(heard.recv().await, Some(Slot::agent().member(hatchery::Incarnation::FIRST)));
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_kill_ends_the_calls_that_are_open_with_the_cause_and_the_reference_lives_on() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(Hatchery::new().agent(agent).workers(2, server)).await?;
        cluster.ready().await?;
        let counter = cluster.slot(Slot::worker(1)).actor::<Counter>()?;
        for round in 0..3 {
            cast!(counter, ProxyMsg::Cast(Tell::Add(7)))?;
            let open: Vec<_> = (0..50)
                .map(|_| {
                    let counter = counter.clone();
                    tokio::spawn(async move { call!(counter, ProxyMsg::Call, Question::Never) })
                })
                .collect();
            tokio::task::yield_now().await;
            assert_eq!(ask(&counter, Count).await, Ok(7), "behind the others, and anew in every process");
            assert!(sim.fault(Slot::worker(1), Fault::Signal(9)).took_effect(), "round {round}");
            for call in open {
                assert_eq!(call.await??, Err(CallError::Undelivered(Reason::Died)));
            }
            assert_eq!(ask(&counter, Count).await, Ok(0));
            sim.elapse(secs(2)).await;
        }
        counter_story(counter.clone()).await;
        // Asked to be replaced, it takes what it was told with it, and what is told meanwhile waits.
        let conclusion = cluster.restart(Slot::worker(1)).await;
        assert_eq!(conclusion, hatchery::supervision::Conclusion::Done);
        counter_story(counter).await;
        assert_eq!(ask(&cluster.slot(Slot::worker(0)).actor::<Counter>()?, Count).await, Ok(0), "it heard nothing");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

/// An actor that wakes by itself, and tells the agent of it.
struct Alarm {
    cx: Context,
    woken: Arc<AtomicU64>,
}

#[hatchery::ractor::actor(message = ProxyMsg<Counter>, state = (), arguments = ())]
impl Alarm {
    async fn pre_start(&self, myself: ActorRef<ProxyMsg<Counter>>, _: ()) -> Result<(), ActorProcessingErr> {
        myself.send_interval(secs(1), || ProxyMsg::Cast(Tell::Add(1)));
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<ProxyMsg<Counter>>,
        _: ProxyMsg<Counter>,
        _: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // In the middle of this most of them are killed.
        tokio::time::sleep(ms(500)).await;
        self.woken.fetch_add(1, Ordering::Relaxed);
        let counted = self.cx.messenger().call::<u64>(Slot::agent(), "count", &()).await;
        drop(counted);
        Ok(())
    }
}

#[test]
fn an_actor_that_is_served_ends_with_its_process_and_leaves_no_ghost_and_no_task() {
    explore(seeds(), |sim| async move {
        let woken = Arc::new(AtomicU64::new(0));
        let worker = {
            let woken = woken.clone();
            move |cx: Context| {
                let alarm = Alarm { cx: cx.clone(), woken: woken.clone() };
                async move {
                    cx.host(Actor::spawn(None, alarm, ()).await?.0)?;
                    // A reference of its own, to one that dies as often as itself.
                    let other = cx.actor::<Counter>(Slot::worker(1 - cx.slot().index()))?;
                    cx.ready();
                    while !cx.is_stopping() {
                        cast!(other, ProxyMsg::Cast(Tell::Add(1)))?;
                        tokio::select! {
                            biased;
                            () = cx.stopping() => {}
                            () = tokio::time::sleep(ms(100)) => {}
                        }
                    }
                    Ok::<_, BoxError>(())
                }
            }
        };
        let cluster = sim.start(Hatchery::new().agent(agent).workers(2, worker)).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(Chaos::new().crashes_per_hour(600.0).exceptions_per_hour(60.0));
        sim.elapse(secs(120)).await;
        chaos.stop();
        sim.eventually(secs(120), || cluster.status().ready(Role::WORKER) == 2).await?;
        assert!(chaos.took_effect() > 5 && woken.load(Ordering::Relaxed) > 50, "{chaos:?}");
        assert_eq!(sim.ghosts(), []);
        cluster.shutdown().await?;
        let before = woken.load(Ordering::Relaxed);
        sim.elapse(secs(5)).await;
        assert_eq!(woken.load(Ordering::Relaxed), before, "nobody wakes any more");
        sim.check_quiescent()
    });
}
