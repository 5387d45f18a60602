//! Everything at once, for hours: what must hold in every step is checked by the simulation itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hatchery::simulation::{Chaos, Explore, Fault, Trace, Victim, explore};
use hatchery::supervision::Conclusion;
use hatchery::{Role, Slot};

use crate::census::{Census, Counts, timed};
use crate::{Luck, ms, secs, seeds, web};

/// How many starts the decisions of a cluster without operators and groups come to: what was restarted, replaced or
/// parked for a while, but for those that were refused, which have no process.
fn starts_decided(trace: &Trace) -> u64 {
    let times = |what: &str| trace.lines().filter(|line| line.contains(what)).count() as u64;
    let decided: u64 = ["-> restart ", "-> replace at once", "-> park, try again"].into_iter().map(times).sum();
    let refused = |line: &&str| line.contains("could not be started") && line.contains(" -> ");
    decided - trace.lines().filter(refused).count() as u64
}

#[test]
fn i13_after_hours_of_chaos_the_cluster_is_whole_again_and_every_restart_is_one_that_user_code_has_seen() {
    const SLOTS: u64 = 5;
    let found = Mutex::new(BTreeMap::<u64, Counts>::new());
    let explored = Explore::new(seeds()).run(|sim| {
        let found = &found;
        async move {
            let census = Census::of(&sim);
            let cluster = sim.start(census.web(4)).await?;
            cluster.ready().await?;
            let (chaos, client) = (sim.chaos(Chaos::of_all_kinds(120.0)), sim.client("http"));
            for round in 0..60 {
                sim.elapse(secs(60)).await;
                census.ask(&client, round % 10 == 9).await;
            }
            chaos.stop();
            let whole = || {
                let status = cluster.status();
                status.ready(Role::WORKER) == 4 && status.ready(Role::AGENT) == 1
            };
            sim.eventually(secs(180), whole).await?;
            // A link that is to be corrupted with the next write has been by then.
            census.ask(&client, false).await;
            sim.elapse(secs(60)).await;
            sim.eventually(secs(180), whole).await?;
            census.ask(&client, false).await;
            // Or with this one: who is to be started again is, before the stop.
            sim.elapse(secs(5)).await;
            sim.eventually(secs(180), whole).await?;
            cluster.shutdown().await?;
            let counts = census.check();
            assert_eq!(
                counts.boots + counts.unborn,
                SLOTS + starts_decided(&sim.trace()),
                "{counts:?}\n{}",
                sim.trace()
            );
            assert_eq!(counts.answered + counts.lost + counts.unanswered + counts.thrown, 62, "{counts:?}");
            found.lock().expect("nobody panicked").insert(sim.seed(), counts);
            sim.check_quiescent()
        }
    });
    let mut counts = Counts::default();
    found.into_inner().expect("nobody panicked").values().for_each(|one| counts.add(one));
    println!("{explored:?}, {counts:?}");
    assert!(explored.faults > 60 * explored.seeds, "{explored:?}");
    assert_eq!(counts.boots + counts.unborn, explored.starts, "{counts:?}");
    assert!(counts.answered > 50 * explored.seeds, "{counts:?}");
}

#[test]
fn a_cluster_that_is_stopped_at_any_moment_of_chaos_ends_in_time() {
    Explore::new(seeds()).run(|sim| async move {
        let cluster = sim.start(web(3)).await?;
        cluster.ready().await?;
        sim.chaos(Chaos::of_all_kinds(2_000.0));
        sim.elapse(secs(sim.seed() % 50)).await;
        let begun = sim.now();
        // It may have given up: that is an end, too.
        let _ = cluster.shutdown().await;
        assert!(sim.now() - begun < secs(30), "{:?}", sim.now() - begun);
        sim.check_quiescent()
    });
}

#[test]
fn the_only_worker_may_die_again_and_again_and_its_port_never_refuses() {
    Explore::new(seeds()).run(|sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        for round in 0..20u64 {
            sim.elapse(secs(2)).await;
            sim.fault(Slot::worker(0), Fault::Signal(9));
            let reply = sim.client("http").get("/who").await?;
            assert_eq!(reply.text(), format!("worker/0#{}", round + 2));
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_frozen_member_goes_on_in_time_though_a_successor_has_its_slot() {
    explore(seeds(), |sim| async move {
        let plan = web(1).tune(Role::WORKER, |role| {
            role.stop_timeout(secs(30));
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        let worker = Slot::worker(0);
        let chaos = sim.chaos(Chaos::new().freezes_per_hour(3_600.0));
        let struck = || {
            let struck =
                |one: &hatchery::simulation::Injection| one.took_effect() && one.victim() == Victim::Slot(worker);
            chaos.injections().iter().any(struck)
        };
        sim.eventually(secs(600), struck).await?;
        chaos.stop();
        assert_eq!(cluster.restart(worker).await, Conclusion::Done);
        // It has 30 s to leave, and stands for no more than 20.
        sim.elapse(secs(40)).await;
        let trace = sim.trace();
        assert!(trace.as_str().contains("worker/0#1 goes on"), "{trace}");
        assert!(trace.as_str().contains("worker/0#1 exited with code 0"), "it was killed:\n{trace}");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_freeze_is_one_fault_and_not_two() {
    let injected = AtomicU64::new(0);
    let explored = Explore::new(seeds()).repeat_every(0).run(|sim| {
        let injected = &injected;
        async move {
            let cluster = sim.start(web(2)).await?;
            cluster.ready().await?;
            let chaos = sim.chaos(Chaos::new().freezes_per_hour(120.0));
            sim.elapse(secs(600)).await;
            chaos.stop();
            sim.elapse(secs(30)).await;
            injected.fetch_add(chaos.injections().len() as u64, Ordering::Relaxed);
            cluster.shutdown().await?;
            sim.check_quiescent()
        }
    });
    assert!(explored.faults > explored.seeds, "{explored:?}");
    assert_eq!(explored.faults + explored.idle_faults, injected.into_inner(), "{explored:?}");
}

/// When processes of a slot were replaced that had been ready for less than a second, or never.
fn young_restarts(trace: &Trace, slot: Slot) -> Vec<Duration> {
    let (prefix, mut ready, mut found) = (format!("{slot}#"), BTreeMap::new(), Vec::new());
    for (at, said) in trace.lines().map(timed) {
        let Some((id, what)) = said.split_once(' ').filter(|(id, _)| id.starts_with(&prefix)) else { continue };
        if what.starts_with("is ready") {
            ready.entry(id).or_insert(at);
        }
        let replaced = what
            .split_once(" -> ")
            .is_some_and(|(_, decision)| decision.starts_with("restart ") || decision.starts_with("replace "));
        if replaced && ready.get(id).is_none_or(|since| at - *since < secs(1)) {
            found.push(at);
        }
    }
    found
}

#[test]
fn i5_no_slot_has_more_restarts_in_any_window_than_its_budget() {
    const RESTARTS: usize = 5;
    const PERIOD: Duration = Duration::from_secs(30);
    let (spent, parked) = (AtomicU64::new(0), AtomicU64::new(0));
    let explored = Explore::new(seeds()).run(|sim| {
        let (spent, parked) = (&spent, &parked);
        async move {
            // All three may be parked for longer than the usual minute.
            let plan = web(3).tune(Role::WORKER, |role| {
                role.give_up_after(secs(600));
            });
            let cluster = sim.start(plan).await?;
            cluster.ready().await?;
            let mut luck = Luck::of(&sim);
            for round in 1..=400u64 {
                let faults = [Fault::Signal(9), Fault::Exit(1), Fault::Panic, Fault::SpawnError(11), Fault::LinkReset];
                let worker = Slot::worker(luck.below(3) as u16);
                sim.fault(worker, faults[luck.below(faults.len() as u64) as usize]);
                sim.elapse(ms(luck.below(400))).await;
                if round.is_multiple_of(50) {
                    // So that they have credit again.
                    sim.elapse(secs(luck.below(60))).await;
                }
            }
            sim.eventually(secs(120), || cluster.status().ready(Role::WORKER) == 3).await?;
            cluster.shutdown().await?;
            let trace = sim.trace();
            for worker in (0..3).map(Slot::worker) {
                let restarts = young_restarts(&trace, worker);
                let over = restarts.windows(RESTARTS + 1).find(|window| window[RESTARTS] - window[0] <= PERIOD);
                assert_eq!(over, None, "{worker} has more than {RESTARTS} in {PERIOD:?}:\n{trace}");
                let full = restarts.windows(RESTARTS).filter(|window| window[RESTARTS - 1] - window[0] <= PERIOD);
                spent.fetch_add(full.count() as u64, Ordering::Relaxed);
                let is_parked = format!("{worker} is parked");
                parked.fetch_add(u64::from(trace.as_str().contains(&is_parked)), Ordering::Relaxed);
            }
            sim.check_quiescent()
        }
    });
    // Where nobody comes up to the limit, nobody could have gone beyond it.
    let (spent, parked) = (spent.into_inner(), parked.into_inner());
    assert!(spent > explored.seeds && parked > explored.seeds, "{spent} times spent, {parked} parked, {explored:?}");
}
