//! A control socket in a program that embeds its cluster: what the guard holds and what it does not, and what is special about
//! members that are threads. Whatever else there is to say of the socket is shown on real processes, in tests/cluster.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hatchery::control::{Admins, ClusterStatus, Control};
use hatchery::{
    ClusterStage, Context, ControlClient, ControlError, ControlReply, ControlRequest, Hatchery, Message, Role, Slot,
};
use tempfile::TempDir;

use crate::{PATIENCE, idle, start, within};

fn place() -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("room");
    let dir = scratch.path().join("control");
    (scratch, dir)
}

/// The client blocks, and the master may be on this thread.
async fn client<T: Send + 'static>(dir: &Path, use_it: impl FnOnce(ControlClient) -> T + Send + 'static) -> T {
    let dir = dir.to_owned();
    let used = tokio::task::spawn_blocking(move || use_it(ControlClient::connect(&dir).expect("it is served")));
    used.await.expect("no panic")
}

async fn ask(dir: &Path, request: ControlRequest) -> ControlReply {
    client(dir, move |mut client| client.ask(&request, PATIENCE).expect("an answer")).await
}

async fn status(dir: &Path) -> ClusterStatus {
    match ask(dir, ControlRequest::Status).await {
        ControlReply::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_that_are_threads_have_no_processor_time_and_no_memory_of_their_own() {
    within(async {
        let (_scratch, dir) = place();
        let handle = start(Hatchery::new().agent(idle).workers(2, idle)).await;
        let guard = handle.serve_control(&*dir).expect("it is ours");
        assert_eq!(guard.socket(), dir.join("control.sock"));
        let status = status(&dir).await;
        assert_eq!((status.members.len(), status.partial.len(), status.master_pid), (3, 0, std::process::id()));
        assert!(status.memory.is_some() && status.cpu.is_some(), "the master is a process");
        for member in &status.members {
            assert_eq!((member.cpu, member.memory), (None, None), "it is the master's");
            assert!(member.pid.is_some());
            assert!(member.uptime.is_some() && member.messages_per_second.is_some() && member.answered, "{member:?}");
        }
        let restart = ControlRequest::Restart { slot: "worker/1".into() };
        assert_eq!(ask(&dir, restart).await, ControlReply::Done { what: "worker/1 was restarted".into() });
        handle.shutdown().await.expect("all go");
    });
}

#[test]
fn a_guard_holds_the_directory_and_not_the_cluster() {
    within(async {
        let (_scratch, dir) = place();
        let handle = start(Hatchery::new().workers(1, idle)).await;
        let guard = handle.serve_control(&*dir).expect("it is ours");
        let error = handle.serve_control(&*dir).expect_err("it is held");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // Whoever drops the last handle kills the cluster: no socket keeps it alive.
        drop(handle);
        assert_eq!(
            ask(&dir, ControlRequest::Status).await,
            ControlReply::Failed { why: "the cluster has ended".into() }
        );
        drop(guard);
        assert_eq!(std::fs::read_dir(&dir).expect("it stays").count(), 0);
        let gone = tokio::task::spawn_blocking({
            let dir = dir.clone();
            move || ControlClient::connect(&dir).map(drop)
        });
        assert!(matches!(gone.await.expect("no panic"), Err(ControlError::NotRunning(_))));
        let next = start(Hatchery::new().workers(1, idle)).await;
        let _guard = next.serve_control(&*dir).expect("it is free again");
        next.shutdown().await.expect("all go");
    });
}

#[test]
fn whoever_asks_for_the_end_hears_it_and_then_that_the_directory_is_free() {
    within(async {
        let (_scratch, dir) = place();
        let handle = start(Hatchery::new().workers(1, idle)).await;
        let guard = handle.serve_control(&*dir).expect("it is ours");
        let asked = tokio::spawn({
            let dir = dir.clone();
            async move {
                let files = dir.clone();
                client(&dir, move |mut client| {
                    let reply = client.ask(&ControlRequest::Stop { timeout: None }, PATIENCE).expect("an answer");
                    client.until_closed(PATIENCE).expect("it ends");
                    (reply, std::fs::read_dir(files).expect("it stays").count())
                })
                .await
            }
        });
        handle.wait().await.expect("it was asked to");
        assert_eq!(handle.stage(), ClusterStage::Ended);
        guard.finish().await;
        assert_eq!(asked.await.expect("no panic"), (ControlReply::Done { what: "stopped".into() }, 0));
    });
}

#[test]
fn a_socket_that_is_there_to_be_read_changes_nothing() {
    within(async {
        let (_scratch, dir) = place();
        let handle = start(Hatchery::new().workers(1, idle)).await;
        let _guard = handle.serve_control(Control::new(&dir).admins(Admins::Nobody)).expect("it is ours");
        for request in [
            ControlRequest::Restart { slot: "worker/0".into() },
            ControlRequest::StopSlot { slot: "worker/0".into() },
            ControlRequest::Scale { role: "worker".into(), count: 2 },
            ControlRequest::Stop { timeout: None },
            ControlRequest::Reopen,
        ] {
            assert!(request.is_admin());
            assert!(matches!(ask(&dir, request).await, ControlReply::Denied { .. }));
        }
        for request in
            [ControlRequest::Status, ControlRequest::Why { slot: "worker/0".into() }, ControlRequest::Schedules]
        {
            assert!(!request.is_admin());
            assert!(ask(&dir, request).await.is_good());
        }
        assert_eq!(
            (handle.stage(), handle.status().members[0].id.to_string()),
            (ClusterStage::Ready, "worker/0#1".into())
        );
        handle.shutdown().await.expect("all go");
    });
}

/// Two members whose threads do not come back to their runtimes: nobody else knows how many connections they have, or how the
/// schedules are.
#[test]
fn members_that_do_not_answer_are_named_and_the_rest_is_told_until_they_do() {
    within(async {
        let (_scratch, dir) = place();
        let stuck = Arc::new(AtomicBool::new(false));
        let stick = |stuck: &Arc<AtomicBool>| {
            let stuck = stuck.clone();
            move |_: Message<()>| {
                while stuck.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            }
        };
        let (in_agent, in_worker) = (stick(&stuck), stick(&stuck));
        let plan = Hatchery::new()
            .agent(move |cx: Context| {
                let stick = in_agent.clone();
                async move {
                    cx.messenger().on("stick", stick);
                    idle(cx).await
                }
            })
            .workers(2, move |cx: Context| {
                let stick = in_worker.clone();
                async move {
                    cx.messenger().on("stick", stick);
                    idle(cx).await
                }
            })
            .tune("worker", |role| {
                role.runtime_threads(1);
            })
            .tune("agent", |role| {
                role.runtime_threads(1);
            });
        #[cfg(feature = "schedule")]
        let plan = plan.schedule("hourly", hatchery::Schedule::cron("0 * * * *"), |_, _| async { Ok::<_, String>(()) });
        let handle = start(plan).await;
        let _guard = handle.serve_control(&*dir).expect("it is ours");
        assert_eq!(status(&dir).await.partial, Vec::<String>::new());
        stuck.store(true, Ordering::Relaxed);
        handle.messenger().to(Slot::worker(1), "stick", &()).await.expect("it is there");
        handle.messenger().to(Slot::agent(), "stick", &()).await.expect("it is there");
        let silent = loop {
            let now = status(&dir).await;
            if now.partial.len() == 2 {
                break now;
            }
        };
        assert_eq!(silent.partial, ["agent/0#1", "worker/1#1"]);
        assert_eq!(silent.members.len(), 3);
        #[cfg(feature = "schedule")]
        assert_eq!(silent.schedules, None);
        assert!(silent.members.iter().all(|member| member.state == "ready"));
        stuck.store(false, Ordering::Relaxed);
        while !status(&dir).await.partial.is_empty() {}
        #[cfg(feature = "schedule")]
        while status(&dir).await.schedules.is_none_or(|schedules| schedules.len() != 1) {}
        handle.shutdown().await.expect("all go");
    });
}

#[test]
fn what_goes_over_a_link_is_counted_once_in_each_direction_and_an_operators_questions_are_not() {
    within(async {
        let (_scratch, dir) = place();
        let heard = Arc::new(tokio::sync::Semaphore::new(0));
        let agent = {
            let heard = heard.clone();
            move |cx: Context| {
                let heard = heard.clone();
                async move {
                    cx.messenger().on("hello", move |_: Message<u32>| heard.add_permits(1));
                    idle(cx).await
                }
            }
        };
        let worker = |cx: Context| async move {
            cx.ready();
            cx.cluster_ready().await;
            for number in 0..40_u32 {
                cx.messenger().to_agent("hello", &number).await?;
            }
            idle(cx).await
        };
        let handle = start(Hatchery::new().agent(agent).workers(2, worker)).await;
        let _guard = handle.serve_control(&*dir).expect("it is ours");
        let _all = heard.acquire_many(80).await.expect("it is open");
        for _ in 0..3 {
            assert_eq!(status(&dir).await.partial, Vec::<String>::new());
        }
        let counted: Vec<(Role, u64)> = handle.lives().iter().map(|life| (life.id.role(), life.messages)).collect();
        assert_eq!(counted, [(Role::AGENT, 80), (Role::WORKER, 40), (Role::WORKER, 40)]);
        handle.shutdown().await.expect("all go");
        assert_eq!(handle.lives(), []);
    });
}
