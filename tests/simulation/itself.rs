//! That the simulation finds what is wrong, says it well, and ends.

use std::sync::atomic::{AtomicU64, Ordering};

use hatchery::simulation::{Chaos, ChaosHandle, Explore, Fault, Simulation};
use hatchery::{Context, Hatchery, Role, Slot};

use crate::{agent, ms, secs, web};

#[test]
fn what_depends_on_more_than_the_seed_is_found_by_running_it_twice() {
    let runs = AtomicU64::new(0);
    let failure = Explore::new(5..6).threads(1).try_run(|sim| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        async move {
            sim.note(format_args!("run {run}"));
            Ok::<_, hatchery::BoxError>(())
        }
    });
    let reason = failure.expect_err("its trace differs").to_string();
    assert!(reason.contains("note: run 0") && reason.contains("note: run 1"), "{reason}");
}

#[test]
fn what_changes_only_messages_is_found_as_well() {
    let runs = AtomicU64::new(0);
    let failure = Explore::new(5..6).threads(1).try_run(|sim| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        async move {
            let cluster = sim.start(web(1)).await?;
            cluster.ready().await?;
            cluster.messenger().to_agent("run", &run).await?;
            sim.elapse(secs(1)).await;
            cluster.shutdown().await?;
            sim.check_quiescent()
        }
    });
    let reason = failure.expect_err("its messages differ").reason;
    assert!(reason.contains("Every line is the same, and not\n  the sum of what was sent over links"), "{reason}");
}

#[test]
fn a_failure_names_its_seed_and_the_faults_that_it_needs() {
    let failure = Explore::new(3..4).threads(1).try_run(|sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        sim.chaos(Chaos::new().crashes_per_hour(60.0).link_stalls_per_hour(60.0));
        sim.elapse(secs(1_800)).await;
        let died = sim.trace().lines().any(|line| line.contains("worker/1#1 ") && line.contains("fault"));
        assert!(!died, "worker/1 is not to be touched");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    let failure = failure.expect_err("somebody touches it in half an hour");
    let told = failure.to_string();
    assert!(told.contains("HATCHERY_SEED=3") && told.contains("worker/1 is not to be touched"), "{told}");
    assert_eq!(failure.faults.len(), 1, "one is enough: {:?}", failure.faults);
}

#[test]
fn two_at_once_are_two_fates_and_each_fault_of_either_is_left_out_alone() {
    let failure = Explore::new(3..4).threads(1).try_run(|sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        let crashes = sim.chaos(Chaos::new().crashes_per_hour(60.0));
        let more = sim.chaos(Chaos::new().crashes_per_hour(60.0).link_stalls_per_hour(60.0));
        sim.elapse(secs(1_800)).await;
        let crashes_of = |chaos: &ChaosHandle| -> Vec<String> {
            let crashes = chaos.injections().into_iter().filter(|one| !matches!(one.fault(), Fault::LinkStall(_)));
            crashes.map(|one| one.to_string()).collect()
        };
        let (one, other) = (crashes_of(&crashes), crashes_of(&more));
        assert!(one.is_empty() || one != other, "they go in step: {one:?}");
        let died = sim.trace().lines().any(|line| line.contains("worker/1#1 ") && line.contains("fault"));
        assert!(!died, "worker/1 is not to be touched");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    let failure = failure.expect_err("somebody touches it in half an hour");
    assert!(failure.reason.contains("worker/1 is not to be touched"), "{failure}");
    assert_eq!(failure.faults.len(), 1, "one is enough: {:?}", failure.faults);
}

#[test]
fn a_failure_that_is_made_smaller_stays_the_same_failure() {
    let failure = Explore::new(3..4).threads(1).try_run(|sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        sim.chaos(Chaos::new().crashes_per_hour(60.0));
        sim.elapse(secs(1_800)).await;
        let deaths = sim.trace().lines().filter(|line| line.contains("fault: worker/1#")).count();
        cluster.shutdown().await?;
        sim.check_quiescent()?;
        match deaths {
            0 => Err::<(), hatchery::BoxError>("nobody touches worker/1".into()),
            deaths => Err(format!("worker/1 is touched {deaths} times").into()),
        }
    });
    let failure = failure.expect_err("it always fails");
    assert_eq!((failure.reason.as_str(), failure.faults.len()), ("worker/1 is touched 1 times", 1), "{failure}");
}

#[test]
fn a_simulation_that_is_dropped_with_live_processes_fails() {
    let failure = Simulation::try_run(1, |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        Ok::<_, hatchery::BoxError>(())
    });
    let reason = failure.expect_err("they live").reason;
    assert_eq!(reason, "the simulation is dropped with live processes: agent/0#1, worker/0#1");
}

#[test]
fn a_world_that_does_not_end_is_ended() {
    let stuck = Explore::new(1..2).virtual_time_limit(secs(3_600)).try_run(|sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        std::future::pending::<()>().await;
        Ok::<_, hatchery::BoxError>(())
    });
    let told = stuck.expect_err("it waits for ever").to_string();
    assert!(told.contains("3600s of virtual time") && told.contains("cluster ready"), "{told}");
    let spins = Simulation::try_run(1, |sim| async move {
        let worker = |cx: Context| async move {
            cx.ready();
            loop {
                tokio::task::yield_now().await;
            }
            #[allow(unreachable_code, reason = "the type of a role function")]
            Ok::<_, hatchery::BoxError>(())
        };
        let cluster = sim.start(Hatchery::new().agent(agent).workers(1, worker)).await?;
        cluster.ready().await?;
        sim.elapse(secs(1)).await;
        cluster.shutdown().await?;
        Ok::<_, hatchery::BoxError>(())
    });
    let reason = spins.expect_err("no time passes").reason;
    assert!(reason.contains("worker/0#1 is polled again and again"), "{reason}");
}

#[test]
fn a_test_that_spins_is_ended_and_told_that_it_does() {
    let spins = Simulation::try_run(1, |sim| async move {
        let cluster = sim.start(web(1)).await?;
        // It would be in a moment, and no moment passes.
        while cluster.status().ready(Role::WORKER) == 0 {
            tokio::task::yield_now().await;
        }
        Ok::<_, hatchery::BoxError>(())
    });
    let reason = spins.expect_err("no time passes").reason;
    assert!(reason.contains("the test itself is polled again and again"), "{reason}");
}

#[test]
fn a_bare_task_that_yields_for_ever_is_ended_by_the_clock_on_the_wall() {
    let stands = Explore::new(7..8).standstill_limit(ms(400)).try_run(|sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        sim.elapse(secs(1)).await;
        Ok::<_, hatchery::BoxError>(())
    });
    let failure = stands.expect_err("no time passes");
    assert!(failure.reason.contains("has not moved for 400ms of the wall's"), "{failure}");
    assert!(
        failure.to_string().contains("HATCHERY_SEED=7") && failure.to_string().contains("cluster ready"),
        "{failure}"
    );
}

#[test]
fn a_loop_that_never_awaits_ends_the_process_and_tells_its_seed() {
    const WITHIN: &str = "HATCHERY_TEST_NEVER_AWAITS";
    if std::env::var_os(WITHIN).is_some() {
        let _ = Explore::new(7..8).standstill_limit(ms(200)).try_run(|sim| async move {
            sim.note("about to block");
            loop {
                std::hint::spin_loop();
            }
            #[allow(unreachable_code, reason = "the type of a test")]
            Ok::<_, hatchery::BoxError>(())
        });
        return;
    }
    // It takes its process with it.
    let mut test = std::process::Command::new(std::env::current_exe().expect("it has a path"));
    test.args(["--exact", "itself::a_loop_that_never_awaits_ends_the_process_and_tells_its_seed"]).env(WITHIN, "1");
    let ended = test.output().expect("it can be started");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && told.contains("HATCHERY_SEED=7") && told.contains("about to block"), "{told}");
}

#[test]
fn one_world_has_one_cluster_at_a_time() {
    Simulation::run(1, |sim| async move {
        let cluster = sim.start(web(1)).await?;
        assert!(sim.start(web(1)).await.is_err());
        cluster.ready().await?;
        cluster.shutdown().await?;
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        sim.fault(Slot::worker(0), Fault::Exit(0));
        sim.elapse(secs(1)).await;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
