//! Where a member ends: what a kill drops, a stop freezes, a panic reaches; and what is outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hatchery::simulation::{Explore, Fault, Simulation, explore};
use hatchery::{Context, Hatchery, Role, Slot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{agent, ms, secs, seeds, web};

/// A worker that counts once a second in a task of its own.
fn counting(ticks: &Arc<AtomicU64>) -> Hatchery {
    let ticks = ticks.clone();
    Hatchery::new().agent(agent).workers(1, move |cx: Context| {
        let ticks = ticks.clone();
        async move {
            cx.spawn(async move {
                loop {
                    tokio::time::sleep(secs(1)).await;
                    ticks.fetch_add(1, Ordering::Relaxed);
                }
            });
            cx.ready();
            cx.stopping().await;
            Ok::<_, hatchery::BoxError>(())
        }
    })
}

#[test]
fn a_kill_ends_the_tasks_of_a_member_and_a_stop_freezes_them() {
    explore(seeds(), |sim| async move {
        let ticks = Arc::new(AtomicU64::new(0));
        let counted = || ticks.load(Ordering::Relaxed);
        let cluster = sim.start(counting(&ticks)).await?;
        cluster.ready().await?;
        sim.elapse(ms(3_500)).await;
        assert_eq!(counted(), 3);
        sim.fault(Slot::worker(0), Fault::Stop);
        sim.elapse(secs(10)).await;
        assert_eq!(counted(), 3, "it stands still");
        sim.fault(Slot::worker(0), Fault::Continue);
        sim.elapse(ms(100)).await;
        assert_eq!(counted(), 4, "what was due is late, and happens once");
        sim.fault(Slot::worker(0), Fault::Signal(9));
        sim.elapse(ms(10_500)).await;
        assert_eq!(counted(), 14, "the successor counts, and nobody else");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_panic_in_a_task_of_a_member_is_its_exception() {
    for local in [false, true] {
        explore(seeds(), |sim| async move {
            let worker = move |cx: Context| async move {
                let first = cx.incarnation().get() == 1;
                let held = cx.clone();
                let task = async move {
                    held.stopping().await;
                };
                let held = cx.clone();
                let throwing = async move {
                    tokio::time::sleep(secs(5)).await;
                    assert!(!first || held.is_stopping(), "boom");
                };
                cx.spawn(task);
                match local {
                    true => drop(tokio::task::spawn_local(throwing)),
                    false => drop(cx.spawn(throwing)),
                }
                cx.ready();
                cx.stopping().await;
                Ok::<_, hatchery::BoxError>(())
            };
            let cluster = sim.start(Hatchery::new().agent(agent).workers(1, worker)).await?;
            cluster.ready().await?;
            sim.eventually(secs(10), || sim.trace().as_str().contains("worker/0#2 is ready")).await?;
            let expected = if local { "spawn_local" } else { "boom" };
            assert!(sim.trace().lines().any(|line| line.contains("worker/0#1") && line.contains(expected)));
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    }
}

/// A worker that starts a task outside of its border.
fn haunted(task: impl Fn(Context) -> futures::BoxFuture + Send + Sync + Copy + 'static) -> Hatchery {
    Hatchery::new().agent(agent).workers(1, move |cx: Context| async move {
        if cx.incarnation().get() == 1 {
            tokio::spawn(task(cx.clone()));
        }
        cx.ready();
        cx.stopping().await;
        Ok::<_, hatchery::BoxError>(())
    })
}

mod futures {
    pub(super) type BoxFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
}

#[test]
fn what_a_bare_spawn_does_after_the_end_of_its_process_nobody_hears_and_it_is_reported() {
    explore(seeds(), |sim| async move {
        let ghost = |cx: Context| -> futures::BoxFuture {
            Box::pin(async move {
                tokio::time::sleep(secs(5)).await;
                let sent = cx.messenger().to_agent("haunt", &1).await;
                assert!(sent.is_err(), "its link is cut");
            })
        };
        let cluster = sim.start(haunted(ghost)).await?;
        cluster.ready().await?;
        sim.fault(Slot::worker(0), Fault::Signal(9));
        sim.elapse(secs(10)).await;
        let ghosts = sim.ghosts();
        assert_eq!(ghosts[0].to_string(), "a ghost of worker/0#1 sends a message");
        cluster.shutdown().await?;
        assert!(sim.check_quiescent().is_err());
        Ok::<_, hatchery::BoxError>(())
    });
}

#[test]
fn a_panic_outside_of_every_border_and_a_task_that_is_left_fail_the_run() {
    let run = |task: fn(Context) -> futures::BoxFuture| {
        Simulation::try_run(1, |sim| async move {
            let cluster = sim.start(haunted(task)).await?;
            cluster.ready().await?;
            sim.elapse(secs(10)).await;
            cluster.shutdown().await?;
            sim.check_quiescent()
        })
    };
    let failure = run(|cx| {
        Box::pin(async move {
            tokio::time::sleep(secs(1)).await;
            panic!("of nobody, at {}", cx.id());
        })
    });
    let reason = failure.expect_err("it belongs to nobody").reason;
    assert!(reason.contains("worker/0#1") && reason.contains("cx.spawn"), "{reason}");
    let failure = run(|_| Box::pin(std::future::pending()));
    let reason = failure.expect_err("it is left").reason;
    assert!(reason.contains("1 tasks are left"), "{reason}");
}

#[test]
fn connections_of_the_dead_are_reset_and_those_of_a_stopped_worker_wait() {
    explore(seeds(), |sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        let client = sim.client("http");
        let slow = client.get("/slow");
        let (slow, ()) = tokio::join!(slow, async {
            sim.elapse(secs(1)).await;
            sim.fault(Slot::worker(0), Fault::Stop);
            sim.elapse(secs(20)).await;
            sim.fault(Slot::worker(0), Fault::Continue);
        });
        assert_eq!(slow?.text(), "done");
        assert!(sim.now() > secs(20));
        let mut raw = client.connect().await?;
        raw.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        sim.elapse(secs(1)).await;
        sim.fault(Slot::worker(0), Fault::Signal(9));
        assert!(raw.read_u8().await.is_err(), "it is reset");
        sim.eventually(secs(1), || cluster.status().ready(Role::WORKER) == 1).await?;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn worlds_side_by_side_do_not_touch_each_other() {
    let explored = Explore::new(0..16).threads(4).repeat_every(1).run(|sim| async move {
        let cluster = sim.start(web(2)).await?;
        cluster.ready().await?;
        sim.fault(Slot::worker(1), Fault::Exit(3));
        assert!(sim.client("http").get("/count").await?.is_success());
        sim.elapse(secs(3)).await;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    assert_eq!((explored.seeds, explored.repeated, explored.faults), (16, 16, 16));
}
