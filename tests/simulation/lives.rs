//! Starts, services, replacements and stops.

use hatchery::simulation::{Chaos, ClientError, Fault, explore};
use hatchery::{Hatchery, MemberId, MemberState, Role, Slot};

use crate::{agent, ms, secs, seeds, web, worker};

/// How often the trace says so.
fn times(trace: &hatchery::simulation::Trace, what: &str) -> usize {
    trace.lines().filter(|line| line.contains(what)).count()
}

/// Where the trace says so first.
fn place(trace: &hatchery::simulation::Trace, what: &str) -> usize {
    let found = trace.lines().position(|line| line.contains(what));
    found.unwrap_or_else(|| panic!("{what:?} is not in the trace:\n{trace}"))
}

#[test]
fn the_users_own_code_starts_serves_and_stops() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        for expected in 1..=5 {
            let reply = sim.client("http").get("/count").await?;
            assert_eq!((reply.status, reply.text()), (200, expected.to_string()));
        }
        cluster.shutdown().await?;
        let refused = sim.client("http").get("/count").await;
        assert!(matches!(refused, Err(ClientError::Refused)), "{refused:?}");
        sim.check_quiescent()
    });
}

#[test]
fn the_agent_is_ready_before_any_worker_exists_and_ready_is_told_once() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(3)).await?;
        cluster.ready().await?;
        let trace = sim.trace();
        assert!(place(&trace, "agent/0#1 is ready") < place(&trace, "worker/0#1 is to start"));
        assert_eq!(times(&trace, "cluster ready"), 1);
        cluster.shutdown().await?;
        let trace = sim.trace();
        assert!(place(&trace, "agent/0#1 is to stop") > place(&trace, "worker/2#1 exited"));
        sim.check_quiescent()
    });
}

#[test]
fn a_panic_in_a_request_is_answered_by_a_replacement_that_starts_before_the_old_one_ends() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let slow = sim.client("http");
        let (slow, thrown) = tokio::join!(slow.get("/slow"), async {
            sim.elapse(ms(500)).await;
            sim.client("http").get("/panic").await
        });
        assert_eq!(slow?.text(), "done", "what was accepted is finished");
        assert!(thrown.is_err(), "{thrown:?}");
        sim.eventually(secs(10), || cluster.status().of(Role::WORKER).count() == 1).await?;
        assert_eq!(sim.client("http").get("/who").await?.text(), "worker/0#2");
        let trace = sim.trace();
        assert!(place(&trace, "worker/0#2 is to start") < place(&trace, "worker/0#1 exited with code 70"));
        assert_eq!(times(&trace, "worker/0#3"), 0, "one exception, one replacement");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_killed_worker_is_replaced_at_once_and_its_siblings_serve() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        let kill = sim.fault(Slot::worker(0), Fault::Signal(9));
        assert!(kill.took_effect());
        assert_eq!(sim.client("http").get("/who").await?.text(), "worker/1#1");
        sim.eventually(ms(100), || cluster.status().ready(Role::WORKER) == 2).await?;
        assert_eq!(times(&sim.trace(), "worker/0#1 killed by signal 9 -> restart"), 1);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn an_agent_that_dies_comes_back_after_a_second_and_no_worker_is_touched() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        sim.elapse(secs(5)).await;
        assert_eq!(sim.client("http").get("/count").await?.text(), "1");
        sim.fault(Slot::agent(), Fault::Exit(1));
        sim.elapse(ms(900)).await;
        assert_eq!(cluster.status().ready(Role::AGENT), 0);
        // A call to a slot waits for whoever comes next.
        assert_eq!(sim.client("http").get("/count").await?.text(), "1", "the new one has counted nothing");
        let workers: Vec<MemberId> = cluster.status().of(Role::WORKER).map(|status| status.id).collect();
        assert!(workers.iter().all(|id| id.incarnation().get() == 1), "{workers:?}");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn what_was_decided_is_decided_again_from_the_recording_by_the_same_plan() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        sim.chaos(Chaos::of_all_kinds(1_200.0));
        sim.elapse(secs(300)).await;
        cluster.shutdown().await?;
        let recording = cluster.recording();
        let again = recording.replay(cluster.plan().clone())?;
        assert_eq!(again, recording.steps());
        assert!(again.len() > 30, "{recording}");
        sim.check_quiescent()
    });
}

#[test]
fn a_start_that_fails_says_who_and_why_and_leaves_nobody() {
    explore(seeds(), |sim| async move {
        let broken = |_| async { Err::<(), _>("no database") };
        let cluster = sim.start(Hatchery::new().agent(agent).workers(2, broken)).await?;
        let error = cluster.ready().await.expect_err("no worker can start").to_string();
        assert!(error.contains("worker/") && error.contains("no database"), "{error}");
        sim.check_quiescent()
    });
    explore(seeds(), |sim| async move {
        sim.fault(Slot::agent(), Fault::NeverReady);
        let cluster = sim.start(web(2)).await?;
        let error = cluster.ready().await.expect_err("the agent never is").to_string();
        assert!(error.contains("agent/0#1") && error.contains("60s"), "{error}");
        assert_eq!(times(&sim.trace(), "worker/0#1"), 0, "no worker before the agent");
        sim.check_quiescent()
    });
}

#[test]
fn a_stop_answers_what_was_accepted_and_takes_no_more_than_it_may() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        let client = sim.client("http");
        let begun = sim.now();
        let (slow, stopped) = tokio::join!(client.get("/slow"), async {
            sim.elapse(ms(100)).await;
            cluster.shutdown().await
        });
        assert_eq!(slow?.text(), "done");
        stopped?;
        assert!(sim.now() - begun < secs(10), "{:?}", sim.now() - begun);
        sim.check_quiescent()
    });
}

#[test]
fn a_worker_that_always_crashes_is_parked_with_probes_while_the_others_serve() {
    explore(seeds(), |sim| async move {
        let sick = |cx: hatchery::Context| async move {
            if cx.slot() == Slot::worker(1) && cx.incarnation().get() > 1 {
                return Err("sick".into());
            }
            worker(cx).await
        };
        let cluster = sim.start(Hatchery::new().listen_named("http", "a:80").agent(agent).workers(3, sick)).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        sim.fault(Slot::worker(1), Fault::Signal(11));
        let state = |wanted| {
            let status = cluster.status();
            status.of(Role::WORKER).any(|member| member.id.slot() == Slot::worker(1) && member.state == wanted)
        };
        sim.eventually(secs(60), || state(MemberState::Parked)).await?;
        assert!(sim.client("http").get("/who").await?.is_success());
        sim.elapse(secs(600)).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 2);
        let starts = times(&sim.trace(), "has started as process");
        assert!((10..60).contains(&starts), "{starts} starts in ten minutes");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
