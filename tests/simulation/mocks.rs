//! Members that follow a script: for those who test a strategy, or the master's side.

use hatchery::simulation::{MockProcess, explore};
use hatchery::{Context, Hatchery, MemberState, Request, Role, Slot};

use crate::{agent, ms, secs, seeds, worker};

fn good() -> MockProcess {
    MockProcess::script().boot(ms(50)).ready()
}

#[test]
fn mocks_that_crash_young_are_parked_and_one_that_recovers_serves() {
    explore(seeds(), |sim| async move {
        let script = good().crash_after(ms(200)).on(9, good());
        let cluster = sim.start(Hatchery::new().agent_mock(good()).worker_mocks(1, script)).await?;
        cluster.ready().await?;
        let parked = || cluster.status().of(Role::WORKER).any(|status| status.state == MemberState::Parked);
        sim.eventually(secs(60), parked).await?;
        sim.eventually(secs(120), || {
            cluster.status().of(Role::WORKER).any(|status| status.id.incarnation().get() == 9)
        })
        .await?;
        sim.elapse(secs(60)).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 1);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn mocks_speak_for_every_way_of_ending() {
    let rows = [
        (good().sleep(secs(2)).exit(7), "worker/0#1 exited with code 7 -> restart"),
        (good().sleep(secs(2)).signal(6), "worker/0#1 killed by signal 6 -> restart"),
        (good().sleep(secs(2)).exception("tired"), "reported an exception: tired -> replace"),
        (good().sleep(secs(2)).returns(Err("no licence")), "no licence -> replace"),
        (good().sleep(secs(2)).returns(Ok(())), "worker/0#1 exited with code 0 -> restart"),
        (good().broadcast("hello").hang(), "worker/0#1 killed by signal 9: killed after 5s"),
        (good().ignore_stop(), "worker/0#1 killed by signal 9: killed after 5s"),
    ];
    for (script, told) in &rows {
        explore(seeds(), |sim| async move {
            let plan = Hatchery::new().agent_mock(good()).worker_mocks(1, script.clone().on(2, good()));
            let cluster = sim.start(plan).await?;
            cluster.ready().await?;
            sim.elapse(secs(5)).await;
            cluster.shutdown().await?;
            assert!(sim.trace().as_str().contains(told), "{told:?} is not in the trace:\n{}", sim.trace());
            sim.check_quiescent()
        });
    }
}

#[test]
fn a_mock_that_never_says_ready_fails_the_start() {
    explore(seeds(), |sim| async move {
        let plan = Hatchery::new().agent_mock(good()).role_mocks("cache", 1, MockProcess::script());
        let cluster = sim.start(plan).await?;
        let error = cluster.ready().await.expect_err("it never is").to_string();
        assert!(error.contains("cache/0#1"), "{error}");
        sim.check_quiescent()
    });
}

#[test]
fn a_worker_is_tested_alone_and_so_is_an_agent() {
    // One that says what the test wants to hear; and one that is there, and knows of nothing.
    let answers = |cx: Context| async move {
        cx.messenger().answer("count", |_: Request<()>| async { Ok::<_, String>(41u64) })?;
        cx.ready();
        Ok::<_, hatchery::BoxError>(())
    };
    explore(seeds(), |sim| async move {
        let plan = || Hatchery::new().listen_named("http", "127.0.0.1:8080").workers(1, worker);
        let cluster = sim.start(plan().agent(answers)).await?;
        cluster.ready().await?;
        assert_eq!(sim.client("http").get("/count").await?.text(), "41");
        cluster.shutdown().await?;

        let cluster = sim.start(plan().agent_mock(good())).await?;
        cluster.ready().await?;
        let reply = sim.client("http").get("/count").await?;
        assert!(reply.text().starts_with("failed: "), "it answers all the same: {}", reply.text());
        cluster.shutdown().await?;

        // The same of an agent.
        let cluster = sim.start(Hatchery::new().agent(agent).worker_mocks(1, good())).await?;
        cluster.ready().await?;
        for expected in 1..=2u64 {
            assert_eq!(cluster.messenger().call::<u64>(Slot::agent(), "count", &()).await?, expected);
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
