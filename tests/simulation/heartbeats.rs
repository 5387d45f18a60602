//! Members that are stuck, under heartbeats: what is noticed, what follows, and what must not count.

use std::time::Duration;

use hatchery::simulation::{Chaos, Explore, Fault, Injection, Simulation, explore};
use hatchery::supervision::{Directive, Fact, Intensity, OneForOne, Strategy, from_fn};
use hatchery::{
    CallError, ClusterHandle, Hatchery, Heartbeat, MemberState, Reason, Recipient, Role, RoleSettings, Slot,
};

use crate::{Luck, ms, secs, seeds, web};

/// Everybody is asked each second.
fn beating(workers: usize) -> Hatchery {
    let beat = |role: &mut RoleSettings| {
        role.heartbeat(Heartbeat::every(secs(1)));
    };
    web(workers).tune(Role::WORKER, beat).tune(Role::AGENT, beat)
}

/// A cluster of them that has been of use.
async fn running(sim: &Simulation, plan: Hatchery) -> hatchery::Result<ClusterHandle> {
    let cluster = sim.start(plan).await?;
    cluster.ready().await?;
    sim.elapse(secs(2)).await;
    Ok(cluster)
}

fn state(cluster: &ClusterHandle, slot: Slot) -> MemberState {
    let status = cluster.status();
    let member = status.members.iter().rfind(|member| member.id.slot() == slot);
    member.expect("it is in the plan").state
}

fn lines(sim: &Simulation, text: &str) -> usize {
    sim.trace().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn p07_a_worker_that_is_stuck_is_unresponsive_then_told_to_leave_then_killed_and_replaced_and_counts_once() {
    for fault in [Fault::Hang, Fault::BusyLoop, Fault::Stop] {
        // One more failure, and the slot would be parked.
        let once = |role: &mut RoleSettings| {
            role.stable_after(secs(3_600)).restart_limit(Intensity::new(1, secs(3_600)));
        };
        explore(seeds(), |sim| async move {
            let cluster = running(&sim, beating(2).tune(Role::WORKER, once)).await?;
            let begun = sim.now();
            assert!(sim.fault(Slot::worker(0), fault).took_effect());
            sim.eventually(secs(5), || state(&cluster, Slot::worker(0)) == MemberState::Unresponsive).await?;
            assert_eq!(cluster.status().ready(Role::WORKER), 1);
            let reply = sim.client("http").get("/who").await?;
            assert_eq!(reply.text(), "worker/1#1", "its sibling serves");
            sim.eventually(secs(30), || state(&cluster, Slot::worker(0)) == MemberState::Draining).await?;
            assert!((secs(30)..secs(33)).contains(&(sim.now() - begun)), "{:?}", sim.now() - begun);
            sim.eventually(secs(6), || cluster.status().ready(Role::WORKER) == 2).await?;
            let told = [
                "worker/0#1 is unresponsive, silent for 3s",
                "worker/0#1 was unresponsive for 30s -> restart at once",
                "worker/0#1 is to drain within 5s",
                "worker/0#1 is killed",
                "worker/0#1 killed by signal 9: killed after 5s in which it did not leave -> restart at once",
                "worker/0#2 is ready",
            ];
            let trace = sim.trace();
            let mut rest = trace.as_str();
            for told in told {
                let Some((_, after)) = rest.split_once(told) else { panic!("{told:?} does not follow:\n{trace}") };
                rest = after;
            }
            assert_eq!(lines(&sim, "unresponsive"), 2, "of nobody else, and of it once:\n{trace}");
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    }
}

#[test]
fn one_that_comes_back_in_time_is_as_it_was() {
    type Way = (Fault, Option<Fault>);
    let ways: [Way; 3] = [
        (Fault::Block(secs(20)), None),
        (Fault::Stop, Some(Fault::Continue)),
        // Its answer comes late, and is an answer.
        (Fault::LinkStall(secs(20)), None),
    ];
    for (fault, end) in ways {
        explore(seeds(), |sim| async move {
            let cluster = running(&sim, beating(2)).await?;
            assert!(sim.fault(Slot::worker(0), fault).took_effect());
            sim.eventually(secs(5), || state(&cluster, Slot::worker(0)) == MemberState::Unresponsive).await?;
            sim.elapse(secs(15)).await;
            assert_eq!(state(&cluster, Slot::worker(0)), MemberState::Unresponsive);
            if let Some(end) = end {
                assert!(sim.fault(Slot::worker(0), end).took_effect());
            }
            sim.eventually(secs(6), || cluster.status().ready(Role::WORKER) == 2).await?;
            sim.elapse(secs(120)).await;
            assert_eq!((lines(&sim, "unresponsive"), lines(&sim, "worker/0#1 is responsive again")), (1, 1));
            assert_eq!(lines(&sim, "worker/0#2"), 0, "{}", sim.trace());
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    }
}

#[test]
fn a_member_that_is_slow_and_answers_is_left_alone() {
    explore(seeds(), |sim| async move {
        let cluster = running(&sim, beating(2)).await?;
        // Nine tenths of the time it is stuck.
        for _ in 0..60 {
            assert!(sim.fault(Slot::worker(0), Fault::Block(ms(1_800))).took_effect());
            sim.elapse(secs(2)).await;
        }
        assert_eq!((lines(&sim, "responsive"), lines(&sim, "#2")), (0, 0), "{}", sim.trace());
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_host_that_is_suspended_costs_nobody_however_long_and_how_often() {
    explore(seeds(), |sim| async move {
        let cluster = running(&sim, beating(3)).await?;
        for round in 0..20 {
            sim.fault(Slot::agent(), Fault::ClockJump(secs(31 + 600 * round)));
            // At any moment of a round.
            sim.elapse(ms(130 * round)).await;
        }
        sim.elapse(secs(5)).await;
        assert_eq!((lines(&sim, "responsive"), lines(&sim, "#2")), (0, 0), "{}", sim.trace());
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn one_that_is_stuck_while_the_host_is_suspended_has_the_rest_of_its_time() {
    explore(seeds(), |sim| async move {
        let cluster = running(&sim, beating(2)).await?;
        assert!(sim.fault(Slot::worker(0), Fault::Hang).took_effect());
        sim.elapse(secs(20)).await;
        sim.fault(Slot::agent(), Fault::ClockJump(secs(3_600)));
        sim.elapse(secs(5)).await;
        assert_eq!(state(&cluster, Slot::worker(0)), MemberState::Unresponsive, "not an hour");
        sim.eventually(secs(25), || cluster.status().ready(Role::WORKER) == 2).await?;
        assert_eq!(lines(&sim, "worker/0#1 was unresponsive for 30s"), 1, "{}", sim.trace());
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn nobody_is_asked_who_has_not_said_ready_or_is_to_leave() {
    explore(seeds(), |sim| async move {
        let plan = beating(2).tune(Role::WORKER, |role| {
            role.heartbeat(Heartbeat::every(secs(1)).timeout(secs(3)))
                .ready_timeout(secs(20))
                .stop_timeout(secs(20))
                .give_up_after(secs(600));
        });
        let cluster = running(&sim, plan).await?;
        sim.fault(Slot::worker(0), Fault::SlowBoot(secs(10)));
        sim.fault(Slot::worker(0), Fault::Signal(9));
        sim.elapse(secs(1)).await;
        // It blocks as it starts, longer than it may later.
        assert!(sim.fault(Slot::worker(0), Fault::Block(secs(12))).took_effect());
        sim.eventually(secs(19), || cluster.status().ready(Role::WORKER) == 2).await?;
        // It blocks as it leaves.
        assert!(sim.fault(Slot::worker(1), Fault::Block(secs(15))).took_effect());
        cluster.shutdown().await?;
        assert_eq!(lines(&sim, " is unresponsive") + lines(&sim, " is responsive"), 0, "{}", sim.trace());
        sim.check_quiescent()
    });
}

#[test]
fn a_strategy_that_leaves_it_alone_is_asked_again_and_is_told_how_long_it_has_been() {
    explore(seeds(), |sim| async move {
        // Its patience is longer than the timeout.
        let patient = from_fn(|fact, view, dice| match fact {
            Fact::Unresponsive(span) if *span < secs(90) => Directive::Ignore.into(),
            _ => OneForOne::worker().decide(fact, view, dice),
        });
        let plan = beating(2).tune(Role::WORKER, |role| {
            role.strategy(patient);
        });
        let cluster = running(&sim, plan).await?;
        assert!(sim.fault(Slot::worker(0), Fault::Hang).took_effect());
        sim.elapse(secs(75)).await;
        assert_eq!(state(&cluster, Slot::worker(0)), MemberState::Unresponsive);
        sim.eventually(secs(30), || cluster.status().ready(Role::WORKER) == 2).await?;
        let spans = [("30s", "carry on"), ("60s", "carry on"), ("90s", "restart at once")];
        for (span, decision) in spans {
            let told = format!("worker/0#1 was unresponsive for {span} -> {decision}");
            assert_eq!(lines(&sim, &told), 1, "{told}:\n{}", sim.trace());
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn random_messages_go_round_one_that_is_unresponsive() {
    explore(seeds(), |sim| async move {
        let cluster = running(&sim, beating(2)).await?;
        assert!(sim.fault(Slot::worker(0), Fault::Hang).took_effect());
        sim.eventually(secs(5), || state(&cluster, Slot::worker(0)) == MemberState::Unresponsive).await?;
        let messenger = cluster.messenger();
        for _ in 0..40 {
            // Nobody has a handler for it: who is there says so. Of one that hangs nothing would come.
            let answer = messenger.call_within::<()>(secs(1), Recipient::Random(Role::WORKER), "nothing", &()).await;
            assert_eq!(answer, Err(CallError::Undelivered(Reason::NoHandler)));
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn without_a_heartbeat_a_hang_is_nobodys_news() {
    explore(seeds(), |sim| async move {
        let cluster = running(&sim, web(2)).await?;
        assert!(sim.fault(Slot::worker(0), Fault::Hang).took_effect());
        sim.elapse(secs(3_600)).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 2);
        assert_eq!(lines(&sim, "responsive"), 0);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

/// How long the last who hung may take to be noticed, ended and replaced.
const OVER: Duration = Duration::from_secs(120);

#[test]
fn after_hours_of_hangs_and_of_all_else_the_cluster_is_whole_again() {
    let explored = Explore::new(seeds()).run(|sim| async move {
        // The only one of its role may hang while it starts, for as long as it may take to.
        let plan = beating(4).tune(Role::AGENT, |role| {
            role.give_up_after(secs(600));
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        let hangs = Chaos::of_all_kinds(120.0).hangs_per_hour(30.0);
        let chaos = sim.chaos(hangs);
        for _ in 0..60 {
            sim.elapse(secs(60)).await;
            // It may fail: the worker may hang, or die of it.
            let request = async { sim.client("http").get("/count").await };
            let _ = tokio::time::timeout(secs(30), request).await;
        }
        chaos.stop();
        let hung = |injection: &Injection| {
            matches!(injection.fault(), Fault::Hang | Fault::BusyLoop) && injection.took_effect()
        };
        assert!(chaos.injections().iter().filter(|injection| hung(injection)).count() > 5, "{:?}", chaos.injections());
        assert!(lines(&sim, "was unresponsive for") > 0, "{}", sim.trace());
        let whole = || {
            let status = cluster.status();
            status.ready(Role::WORKER) == 4 && status.ready(Role::AGENT) == 1
        };
        // One that hangs by now is ready until it is found out.
        sim.elapse(OVER).await;
        sim.eventually(secs(180), whole).await?;
        sim.elapse(secs(60)).await;
        sim.eventually(secs(180), whole).await?;
        for _ in 0..8 {
            let reply = sim.client("http").get("/count").await?;
            assert!(reply.is_success(), "{reply:?}");
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    println!("{explored:?}");
}

#[test]
fn pauses_of_all_kinds_one_after_the_other_make_nobody_fail() {
    let explored = Explore::new(seeds()).run(|sim| async move {
        // Longer than several pauses of one member that overlap.
        let patient = |role: &mut RoleSettings| {
            role.heartbeat(Heartbeat::every(secs(1)).timeout(secs(120)));
        };
        let cluster = running(&sim, web(4).tune(Role::WORKER, patient).tune(Role::AGENT, patient)).await?;
        let pauses = Chaos::new().freezes_per_hour(60.0).blocks_per_hour(60.0).link_stalls_per_hour(60.0);
        let (chaos, mut luck) = (sim.chaos(pauses), Luck::of(&sim));
        for _ in 0..60 {
            sim.elapse(ms(luck.below(120_000))).await;
            // Of the whole host. What chaos has for that time comes all at once behind it.
            sim.fault(Slot::agent(), Fault::ClockJump(secs(1 + luck.below(300))));
        }
        chaos.stop();
        assert!(chaos.took_effect() > 100, "{}", chaos.took_effect());
        // The last leap comes with the next turn, and would be part of what is waited for.
        sim.elapse(ms(1)).await;
        sim.elapse(OVER).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 4);
        assert!(lines(&sim, "is responsive again") > 0, "{}", sim.trace());
        assert_eq!(lines(&sim, "#2"), 0, "{}", sim.trace());
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    println!("{explored:?}");
}
