//! What an operator asks for while everything goes wrong. The witness of the simulation looks on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use hatchery::simulation::{Chaos, ChaosHandle, Explore, MockProcess, Simulation, explore};
use hatchery::supervision::{
    Conclusion, Dice, Directive, Fact, OneForOne, OperationError, Scope, Strategy, View, from_fn,
};
use hatchery::{ClusterHandle, MemberId, MemberState, Role, Slot};

use crate::groups::keep_asking;
use crate::messages::{Shared, correspondents, settle};
use crate::{Luck, ms, secs, seeds, web};

/// Something that an operator might ask for.
pub(crate) async fn operate(cluster: &ClusterHandle, luck: &mut Luck, most: u16) -> Conclusion {
    let count = luck.below(u64::from(most) + 1) as u16;
    let slot = Slot::worker(luck.below(most.into()) as u16);
    match luck.below(4) {
        0 => cluster.scale(Role::WORKER, count).await,
        1 => cluster.stop(slot).await,
        2 => cluster.restart(slot).await,
        _ => cluster.restart(Slot::agent()).await,
    }
}

/// Ends as is said of operations, whatever it was.
pub(crate) fn is_told(conclusion: &Conclusion) -> bool {
    match conclusion {
        Conclusion::Done | Conclusion::Superseded => true,
        Conclusion::Failed(error) => match error {
            OperationError::NoSuchSlot(_) | OperationError::BootFailed { .. } => true,
            OperationError::NoSuchRole(_)
            | OperationError::TooMany { .. }
            | OperationError::NotReadyYet
            | OperationError::Stopping => false,
            _ => false,
        },
    }
}

/// Waits until all of `count` workers and the agent are ready.
pub(crate) async fn whole(sim: &Simulation, cluster: &ClusterHandle, count: usize) -> hatchery::Result<()> {
    let whole = || {
        let status = cluster.status();
        status.ready(Role::WORKER) == count
            && status.of(Role::WORKER).count() == count
            && status.ready(Role::AGENT) == 1
    };
    // A link that is to be corrupted with the next write has been by then.
    sim.elapse(secs(60)).await;
    Ok(sim.eventually(secs(180), whole).await?)
}

#[test]
fn every_operation_ends_under_chaos_and_afterwards_the_cluster_is_what_was_asked_for() {
    const LONG: Duration = Duration::from_secs(400);
    let explored = Explore::new(seeds()).run(|sim| async move {
        let cluster = sim.start(web(3)).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(Chaos::of_all_kinds(600.0));
        let mut luck = Luck::of(&sim);
        for _ in 0..30 {
            sim.elapse(ms(luck.below(20_000))).await;
            // The second meets the first.
            let (mut first, mut second) = (Luck(luck.below(1 << 40) | 1), Luck(luck.below(1 << 40) | 1));
            let pause = ms(luck.below(200));
            let both = async {
                tokio::join!(biased; operate(&cluster, &mut first, 5), async {
                    sim.elapse(pause).await;
                    operate(&cluster, &mut second, 5).await
                })
            };
            let (one, other) = tokio::time::timeout(LONG, both).await?;
            assert!(is_told(&one) && is_told(&other), "{one}, {other}");
        }
        chaos.stop();
        for index in 0..3 {
            // Some had been stopped, and stay so until somebody says otherwise.
            let _ = cluster.scale(Role::WORKER, 3).await;
            let _ = cluster.restart(Slot::worker(index)).await;
        }
        whole(&sim, &cluster, 3).await?;
        assert!(sim.client("http").get("/count").await?.is_success());
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    assert!(explored.faults > 20 * explored.seeds, "{explored:?}");
}

#[test]
fn groups_of_every_scope_restart_in_order_whatever_an_operator_wants_meanwhile() {
    let explored = Explore::new(seeds()).run(|sim| async move {
        let whim = |fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice| {
            let mut answer = OneForOne::worker().unlimited().decide(fact, view, dice);
            let scope = [Scope::One, Scope::Rest, Scope::Role, Scope::All][dice.below(4)];
            answer.directive = match (answer.directive, dice.below(8)) {
                (_, 0) => Directive::Park { probe: Some(ms(dice.below(5_000) as u64)) },
                (Directive::Restart { after, .. }, _) => Directive::Restart { scope, after },
                (Directive::Replace { .. }, 1..=3) => Directive::Restart { scope, after: ms(100) },
                (other, _) => other,
            };
            answer
        };
        let cache = MockProcess::script().boot(ms(50)).ready();
        let plan = web(3).role_mocks("cache", 2, cache).strategy(from_fn(whim));
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(Chaos::of_all_kinds(600.0));
        let mut luck = Luck::of(&sim);
        for _ in 0..30 {
            sim.elapse(ms(luck.below(20_000))).await;
            let conclusion = tokio::time::timeout(secs(400), operate(&cluster, &mut luck, 5)).await?;
            assert!(is_told(&conclusion), "{conclusion}");
        }
        chaos.stop();
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    assert!(explored.starts > 30 * explored.seeds, "{explored:?}");
}

#[test]
fn i6_i8_messages_keep_their_promises_while_roles_grow_and_shrink_to_nothing() {
    explore(seeds(), |sim| async move {
        let ledger = Shared::default();
        let cluster = sim.start(correspondents(&ledger, 4, ms(20))).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(Chaos::new().crashes_per_hour(200.0).link_stalls_per_hour(100.0));
        for count in [2, 4, 0, 4, 1, 3, 4] {
            sim.elapse(secs(5)).await;
            let conclusion = cluster.scale(Role::WORKER, count).await;
            assert!(is_told(&conclusion), "{conclusion}");
        }
        chaos.stop();
        whole(&sim, &cluster, 4).await?;
        let living: Vec<MemberId> = cluster.status().of(Role::WORKER).map(|status| status.id).collect();
        settle(&sim, &ledger, &living, &[Slot::agent()]).await;
        cluster.shutdown().await?;
        let ledger = ledger.lock().expect("nobody panicked");
        assert!(ledger.delivered() > 5_000, "{} were delivered", ledger.delivered());
        ledger.check();
        sim.check_quiescent()
    });
}

#[test]
fn no_connection_is_lost_while_a_role_shrinks_and_grows_whether_it_is_accepted_or_queued() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(4)).await?;
        cluster.ready().await?;
        let (client, done, mut luck) = (sim.client("http"), Cell::new(false), Luck::of(&sim));
        let (one, other, slow, ()) = tokio::join!(
            keep_asking(&sim, &client, "/who", &done),
            keep_asking(&sim, &client, "/who", &done),
            // It takes 3 s of the 5 that there are to stop.
            keep_asking(&sim, &client, "/slow", &done),
            async {
                for count in [1, 4, 1, 4] {
                    sim.elapse(ms(luck.below(4_000))).await;
                    assert_eq!(cluster.scale(Role::WORKER, count).await, Conclusion::Done);
                    assert_eq!(cluster.status().ready(Role::WORKER), usize::from(count));
                }
                sim.elapse(secs(4)).await;
                done.set(true);
            },
        );
        for ((answered, lost), least) in [(one, 50), (other, 50), (slow, 2)] {
            assert!(answered > least && lost.is_empty(), "{answered} answered, lost at {lost:?}\n{}", sim.trace());
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_role_that_has_no_time_to_stop_is_killed_at_once_and_the_agent_has_its_time() {
    explore(seeds(), |sim| async move {
        let plan = web(2).tune(Role::WORKER, |worker| {
            worker.stop_timeout(Duration::ZERO);
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        let client = sim.client("http");
        let (slow, stopped) = tokio::join!(client.get("/slow"), async {
            sim.elapse(ms(100)).await;
            let begun = sim.now();
            cluster.shutdown().await.map(|()| sim.now() - begun)
        });
        // It would have taken 3 s.
        assert!(slow.is_err() && stopped? < ms(100), "{slow:?}");
        let trace = sim.trace();
        assert!(trace.as_str().contains("is killed") && trace.as_str().contains("agent/0#1 exited with code 0"));
        sim.check_quiescent()
    });
}

#[test]
fn a_restart_has_no_gap_a_stopped_slot_stays_empty_and_a_role_of_none_answers_again_when_it_grows() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let client = sim.client("http");
        let (restarted, served) = tokio::join!(cluster.restart(Slot::worker(0)), async {
            let mut served = 0;
            for _ in 0..50 {
                served += usize::from(client.get("/who").await.is_ok_and(|reply| reply.is_success()));
            }
            served
        });
        assert_eq!((restarted, served), (Conclusion::Done, 50));
        assert_eq!(cluster.stop(Slot::worker(0)).await, Conclusion::Done);
        sim.elapse(secs(600)).await;
        let state = cluster.status().of(Role::WORKER).next().map(|status| status.state);
        assert_eq!(state, Some(MemberState::Stopped));
        assert_eq!(cluster.scale(Role::WORKER, 0).await, Conclusion::Done);
        // It waits in the port, as in that of a kernel.
        let (reply, grown) = tokio::join!(client.get("/who"), async {
            sim.elapse(secs(1)).await;
            cluster.scale(Role::WORKER, 2).await
        });
        assert!(reply?.is_success());
        assert_eq!((grown, cluster.status().ready(Role::WORKER)), (Conclusion::Done, 2));
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn who_drains_and_who_serves_in_a_slot_hear_of_growth_in_the_same_order_in_every_run() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let client = sim.client("http");
        let (slow, grown) = tokio::join!(biased; client.get("/slow"), async {
            sim.elapse(ms(500)).await;
            assert_eq!(cluster.restart(Slot::worker(0)).await, Conclusion::Done);
            // The old one has a connection to finish. What both are told shows its order where a write is cut short.
            for count in 2..=12 {
                assert_eq!(cluster.scale(Role::WORKER, count).await, Conclusion::Done);
            }
            sim.now()
        });
        assert_eq!(slow?.text(), "done");
        assert!(grown < secs(3), "it had left before, after {grown:?}");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn chaos_strikes_the_slots_that_there_are_when_it_begins() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        // So often that no slot is spared, and nobody is harmed.
        let stalls = || sim.chaos(Chaos::new().link_stalls_per_hour(36_000.0));
        let victims = |chaos: &ChaosHandle| -> BTreeSet<String> {
            chaos.injections().iter().map(|injection| injection.victim().to_string()).collect()
        };
        let of = |slots: &[Slot]| -> BTreeSet<String> { slots.iter().map(ToString::to_string).collect() };
        let few = stalls();
        assert_eq!(cluster.scale(Role::WORKER, 2).await, Conclusion::Done);
        let more = stalls();
        sim.elapse(secs(20)).await;
        [&few, &more].into_iter().for_each(ChaosHandle::stop);
        let (one, other) = (Slot::worker(0), Slot::worker(1));
        assert_eq!(victims(&few), of(&[Slot::agent(), one]));
        assert_eq!(victims(&more), of(&[Slot::agent(), one, other]));
        sim.elapse(secs(20)).await;
        assert_eq!(cluster.scale(Role::WORKER, 1).await, Conclusion::Done);
        let fewer = stalls();
        sim.elapse(secs(20)).await;
        fewer.stop();
        assert_eq!(victims(&fewer), of(&[Slot::agent(), one]));
        sim.elapse(secs(20)).await;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
