//! Every fault by its name: that it takes effect, what the operator is told, and that the cluster gets over it. Rows P01 to
//! P14 of the conformance list are named where they are held.

use hatchery::simulation::{Fault, explore};
use hatchery::{MemberState, Role, Slot};

use crate::{ms, secs, seeds, web};

/// Has one fault happen to a worker that has been of use, and looks at what the trace says of it.
fn one(fault: Fault, told: &'static str) {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        let injection = sim.fault(Slot::worker(0), fault);
        // A suspension comes with the next turn, between two requests.
        sim.elapse(ms(1)).await;
        // Something goes over every link.
        for _ in 0..40 {
            // One whose worker is killed meanwhile has no answer.
            let _ = sim.client("http").get("/count").await;
            sim.elapse(secs(1)).await;
        }
        assert!(injection.took_effect(), "{injection}");
        assert!(sim.trace().as_str().contains(told), "{told:?} is not in the trace:\n{}", sim.trace());
        sim.eventually(secs(60), || cluster.status().ready(Role::WORKER) == 2).await?;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn p06_a_process_that_ends_is_replaced_and_the_record_says_how_it_ended() {
    one(Fault::Exit(3), "worker/0#1 exited with code 3 -> restart");
    one(Fault::Signal(9), "worker/0#1 killed by signal 9 -> restart");
    one(Fault::Signal(11), "worker/0#1 killed by signal 11 -> restart");
    one(Fault::Oom, "out of memory");
}

#[test]
fn p05_an_exception_has_a_replacement_before_the_old_one_ends() {
    one(Fault::Panic, "worker/0#1 panicked at a panic that was injected -> replace");
    one(Fault::ReportException, "an exception that was injected -> replace");
}

#[test]
fn p08_a_link_that_is_lost_or_broken_ends_its_process() {
    one(Fault::LinkReset, "worker/0#1 link lost");
    one(Fault::LinkTruncate, "worker/0#1 link lost");
    one(Fault::LinkCorrupt, "worker/0#1 link lost");
}

#[test]
fn a_stall_of_a_link_or_of_the_host_is_survived_by_all() {
    one(Fault::LinkStall(secs(8)), "stalled for 8s");
    one(Fault::ClockJump(secs(3_600)), "suspended for 3600s");
}

#[test]
fn p01_p02_p03_what_goes_wrong_before_ready_is_a_failed_boot_and_counts() {
    let rows = [
        (Fault::SpawnError(11), "os error 11"),
        (Fault::NeverReady, "worker/0#2 was not ready within 60s"),
        (Fault::SlowBoot(secs(70)), "worker/0#2 was not ready within 60s"),
    ];
    for (fault, told) in rows {
        explore(seeds(), |sim| async move {
            let cluster = sim.start(web(2)).await?;
            cluster.ready().await?;
            let next = sim.fault(Slot::worker(0), fault);
            assert!(!next.took_effect(), "there was no start yet");
            sim.fault(Slot::worker(0), Fault::Signal(9));
            sim.elapse(secs(75)).await;
            assert!(next.took_effect());
            assert!(sim.trace().as_str().contains(told), "{told:?} is not in the trace:\n{}", sim.trace());
            sim.eventually(secs(60), || cluster.status().ready(Role::WORKER) == 2).await?;
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    }
}

#[test]
fn p04_an_exception_of_the_agent_is_counted_and_no_more() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        for _ in 0..3 {
            sim.fault(Slot::agent(), Fault::Panic);
            sim.elapse(secs(1)).await;
        }
        let agent = cluster.status().of(Role::AGENT).next().cloned().expect("it is in the plan");
        assert_eq!((agent.id.incarnation().get(), agent.exceptions, agent.state), (1, 3, MemberState::Ready));
        assert_eq!(sim.client("http").get("/count").await?.text(), "1", "its handlers go on");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn p10_i12_a_stop_ends_in_time_with_members_that_hang_are_stopped_or_will_not_go() {
    for fault in [Fault::Hang, Fault::BusyLoop, Fault::Stop, Fault::IgnoreTerm] {
        explore(seeds(), |sim| async move {
            let cluster = sim.start(web(2)).await?;
            cluster.ready().await?;
            let injection = sim.fault(Slot::worker(0), fault);
            let begun = sim.now();
            cluster.shutdown().await?;
            assert!(injection.took_effect(), "{injection}");
            assert!((secs(5)..secs(8)).contains(&(sim.now() - begun)), "{:?}", sim.now() - begun);
            assert!(sim.trace().as_str().contains("worker/0#1 killed by signal 9: killed after 5s"), "{}", sim.trace());
            sim.check_quiescent()
        });
    }
}

#[test]
fn a_stop_is_ignored_when_somebody_asks_for_it_and_by_an_agent_whose_function_has_returned_too() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        let unasked = sim.fault(Slot::worker(0), Fault::IgnoreTerm);
        sim.fault(Slot::worker(0), Fault::Signal(9));
        let by_a_signal = sim.fault(Slot::worker(1), Fault::IgnoreTerm);
        let by_an_agent = sim.fault(Slot::agent(), Fault::IgnoreTerm);
        sim.elapse(secs(5)).await;
        assert!(!by_a_signal.took_effect() && !by_an_agent.took_effect(), "nobody has asked");
        let asked = sim.fault(Slot::worker(1), Fault::Signal(15));
        sim.elapse(secs(60)).await;
        assert!(asked.took_effect() && by_a_signal.took_effect());
        let worker = cluster.status().of(Role::WORKER).find(|status| status.id.slot() == Slot::worker(1)).cloned();
        assert_eq!(worker.map(|status| status.id.incarnation().get()), Some(1), "it is still there");
        cluster.shutdown().await?;
        assert!(by_an_agent.took_effect() && !unasked.took_effect(), "the killed one had not been asked");
        assert!(sim.trace().as_str().contains("agent/0#1 killed by signal 9: killed after 5s"), "{}", sim.trace());
        sim.check_quiescent()
    });
}

#[test]
fn of_several_faults_for_a_start_the_latest_counts_and_the_others_have_no_effect() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let faults = [Fault::SpawnError(11), Fault::NeverReady, Fault::SlowBoot(secs(90)), Fault::SlowBoot(secs(5))];
        let waiting = faults.map(|fault| sim.fault(Slot::worker(0), fault));
        sim.elapse(secs(2)).await;
        sim.fault(Slot::worker(0), Fault::Signal(9));
        sim.elapse(secs(4)).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 0, "it is slow");
        sim.elapse(secs(4)).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 1, "and no more than that");
        sim.fault(Slot::worker(0), Fault::Signal(9));
        sim.elapse(secs(2)).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 1, "the next start is like any other");
        cluster.shutdown().await?;
        assert_eq!(waiting.map(|injection| injection.took_effect()), [false, false, false, true]);
        sim.check_quiescent()
    });
}

#[test]
fn code_of_one_who_stands_still_neither_panics_nor_reports() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        for holds in [Fault::Stop, Fault::Block(secs(1))] {
            assert!(sim.fault(Slot::worker(0), holds).took_effect());
            assert!(!sim.fault(Slot::worker(0), Fault::Panic).took_effect(), "it runs nothing");
            assert!(!sim.fault(Slot::worker(0), Fault::ReportException).took_effect());
            sim.elapse(secs(2)).await;
            sim.fault(Slot::worker(0), Fault::Continue);
            sim.elapse(secs(2)).await;
        }
        assert!(!sim.trace().as_str().contains("worker/0#2"), "{}", sim.trace());
        assert!(sim.fault(Slot::worker(0), Fault::Panic).took_effect());
        sim.eventually(secs(5), || sim.trace().as_str().contains("worker/0#2 is ready")).await?;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn signals_do_to_a_member_what_they_do_to_a_real_one() {
    const WORKER: Slot = Slot::worker(0);
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let served_by = |nth: u32| {
            let sim = sim.clone();
            async move {
                let reply = tokio::time::timeout(secs(2), sim.client("http").get("/who")).await;
                assert_eq!(reply.expect("it runs").expect("it serves").text(), format!("worker/0#{nth}"));
            }
        };
        for harmless in [0, 1, 13, 17, 23, 28, 65] {
            assert!(!sim.fault(WORKER, Fault::Signal(harmless)).took_effect(), "{harmless}");
        }
        sim.elapse(secs(2)).await;
        served_by(1).await;
        for stops in [19, 20, 21, 22] {
            assert!(sim.fault(WORKER, Fault::Signal(stops)).took_effect(), "{stops}");
            assert!(tokio::time::timeout(secs(2), sim.client("http").get("/who")).await.is_err(), "it stands still");
            assert!(sim.fault(WORKER, Fault::Signal(18)).took_effect());
            served_by(1).await;
        }
        // Of one that is stopped only a kill is the end.
        sim.fault(WORKER, Fault::Stop);
        let dies = sim.fault(WORKER, Fault::Signal(6));
        sim.elapse(secs(2)).await;
        assert!(!dies.took_effect(), "it waits");
        sim.fault(WORKER, Fault::Continue);
        assert!(dies.took_effect());
        sim.elapse(secs(2)).await;
        served_by(2).await;
        sim.fault(WORKER, Fault::Stop);
        assert!(sim.fault(WORKER, Fault::Signal(9)).took_effect());
        sim.elapse(secs(2)).await;
        served_by(3).await;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn p12_a_handle_that_is_dropped_leaves_no_process() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        sim.elapse(ms(sim.seed() * 3)).await;
        drop(cluster);
        sim.elapse(secs(1)).await;
        sim.check_quiescent()
    });
}

#[test]
fn p13_during_a_storm_of_restarts_the_status_says_when_it_is_tried_again() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let worker = || cluster.status().of(Role::WORKER).next().cloned().expect("it is in the plan");
        // From backing off to being parked: two of its processes fail young in each round.
        for _ in 0..5 {
            sim.fault(Slot::worker(0), Fault::SpawnError(12));
            assert!(sim.fault(Slot::worker(0), Fault::Signal(9)).took_effect());
            sim.eventually(secs(1), || worker().retry_in.is_some()).await?;
            let waits = worker();
            let left = waits.retry_in.expect("it was there a moment ago");
            sim.elapse(left - ms(20)).await;
            assert_eq!(worker().id, waits.id, "it is tried again before its time, {left:?}");
            sim.elapse(ms(40)).await;
            assert!(worker().id > waits.id, "it is not tried again after {left:?}");
            sim.eventually(secs(60), || cluster.status().ready(Role::WORKER) == 1).await?;
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_fault_for_nobody_says_that_it_did_nothing() {
    explore(seeds(), |sim| async move {
        assert!(!sim.fault(Slot::worker(7), Fault::Signal(9)).took_effect());
        assert!(!sim.fault(Role::WORKER, Fault::Panic).took_effect());
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let gone = Slot::worker(0).member(hatchery::Incarnation::FIRST);
        assert!(sim.fault(gone, Fault::Exit(1)).took_effect());
        assert!(!sim.fault(gone, Fault::Exit(1)).took_effect(), "it is gone");
        assert!(sim.fault(Role::AGENT, Fault::ReportException).took_effect(), "any of one");
        sim.eventually(secs(5), || cluster.status().ready(Role::WORKER) == 1).await?;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
