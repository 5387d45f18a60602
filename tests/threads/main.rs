//! A cluster in one process: what is special about members that are threads. What they have in common with processes is
//! shown by the conformance suite.
//!
//! Nothing here waits for a while: every wait is for a fact, with a deadline.

#![allow(clippy::disallowed_methods, reason = "here the clock is the wall's")]

#[cfg(feature = "control")]
mod control;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use hatchery::process::Capabilities;
use hatchery::supervision::{Cause, ExceptionKind, ExitStatus};
use hatchery::{
    ClusterError, ClusterEvent, ClusterEvents, ClusterHandle, Context, Hatchery, MemberId, Message, Recipient, Role,
    SendError, Slot,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Long enough for the slowest machine: a wait that takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn within<F: Future>(story: F) -> F::Output {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, story).await.expect("it comes to its end") })
}

async fn start(plan: Hatchery) -> ClusterHandle {
    let handle = plan.in_threads().enter().expect("a good plan").start().await.expect("it starts");
    handle.ready().await.expect("all come up");
    handle
}

/// The first event that is looked for.
async fn until<T>(events: &mut ClusterEvents, look: impl Fn(&ClusterEvent) -> Option<T>) -> T {
    let mut before = Vec::new();
    loop {
        let Some(event) = events.next().await else { panic!("it ended without: {before:#?}") };
        match look(&event) {
            Some(found) => return found,
            None => before.push(event.to_string()),
        }
    }
}

async fn until_exit(events: &mut ClusterEvents) -> (MemberId, Cause) {
    until(events, |event| match event {
        ClusterEvent::Exited { member, cause, .. } => Some((*member, cause.clone())),
        _ => None,
    })
    .await
}

async fn idle(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    cx.stopping().await;
    Ok(())
}

fn throw(what: &str) {
    panic!("{what}");
}

/// Says so when it is dropped, as what belongs to a member is at its end, however that comes about.
struct Belongings(UnboundedSender<&'static str>, &'static str);

impl Drop for Belongings {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

/// A role function whose future holds something, and which never returns by itself.
fn holding(
    told: &UnboundedSender<&'static str>,
    what: &'static str,
) -> impl Fn(Context) -> std::pin::Pin<Box<dyn Future<Output = hatchery::Result<()>>>> + Send + Sync + 'static {
    let told = told.clone();
    move |cx| {
        let held = Belongings(told.clone(), what);
        Box::pin(async move {
            let _held = held;
            cx.ready();
            std::future::pending().await
        })
    }
}

/// The peers' single mode has one agent and one app in a process, both under its number: what is sent to that number
/// reaches both, since nothing else tells them apart, and the agent is closed first. Here a member is a slot whatever it
/// is made of. So one's own name reaches oneself and nobody else, and the agent goes last, as in every cluster of ours:
/// workers may need it until they have gone.
#[test]
fn scenario_22_one_process_has_the_messages_and_the_order_of_many() {
    type Said = (MemberId, String);
    async fn gather(cx: &Context, said: &UnboundedSender<Said>) {
        for action in ["to all", "to me", "to any worker", "to the agent", "end of it"] {
            let (said, me) = (said.clone(), cx.id());
            cx.messenger().on(action, move |message: Message<String>| {
                let _ = said.send((me, format!("{action} from {}", message.body)));
            });
        }
        cx.ready();
        cx.cluster_ready().await;
    }
    async fn speak(cx: &Context) -> Result<(), SendError> {
        let (messenger, me) = (cx.messenger(), cx.id().to_string());
        let heard = Arc::new(AtomicBool::new(false));
        let hears = heard.clone();
        messenger.on("asynchronous", move |_: Message<()>| hears.store(true, Ordering::Relaxed));
        assert!(messenger.try_send(cx.slot(), "asynchronous", &()).is_ok());
        assert!(!heard.load(Ordering::Relaxed), "a handler is a task of its own");
        messenger.broadcast("to all", &me).await?;
        messenger.to(cx.slot(), "to me", &me).await?;
        messenger.to(Recipient::Random(Role::WORKER), "to any worker", &me).await?;
        messenger.to_agent("to the agent", &me).await?;
        let nobody = messenger.to(Slot::worker(7), "to me", &me).await;
        assert_eq!(nobody, Err(SendError::NoSuchMember("worker/7".into())));
        messenger.broadcast("end of it", &me).await
    }
    within(async {
        let (said, mut saying) = unbounded_channel::<Said>();
        let role = move |cx: Context| {
            let said = said.clone();
            async move {
                gather(&cx, &said).await;
                speak(&cx).await?;
                cx.stopping().await;
                Ok::<_, hatchery::BoxError>(())
            }
        };
        let handle = start(Hatchery::new().agent(role.clone()).workers(1, role)).await;
        let mut events = handle.events();
        let (agent, worker) = (Slot::agent().to_string() + "#1", Slot::worker(0).to_string() + "#1");
        let mut expected: Vec<String> = [&agent, &worker]
            .into_iter()
            .flat_map(|from| {
                [
                    format!("{agent}: to all from {from}"),
                    format!("{worker}: to all from {from}"),
                    format!("{from}: to me from {from}"),
                    format!("{worker}: to any worker from {from}"),
                    format!("{agent}: to the agent from {from}"),
                    format!("{agent}: end of it from {from}"),
                    format!("{worker}: end of it from {from}"),
                ]
            })
            .collect();
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            let (who, what) = saying.recv().await.expect("they go on");
            heard.push(format!("{who}: {what}"));
        }
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected);
        assert_eq!(handle.shutdown().await, Ok(()));
        assert_eq!(until_exit(&mut events).await.0.slot(), Slot::worker(0));
        assert_eq!(until_exit(&mut events).await.0.slot(), Slot::agent());
        assert!(saying.try_recv().is_err(), "nothing came twice");
    });
}

#[test]
fn a_thread_that_never_yields_is_given_up_as_unkillable_and_leaves_when_it_can() {
    within(async {
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (left, mut leaving) = unbounded_channel();
        let stuck = move |cx: Context| {
            let (gate, held) = (gate.clone(), Belongings(left.clone(), "the stuck one"));
            async move {
                let _held = held;
                cx.ready();
                cx.stopping().await;
                // The thread stands here, and its runtime with it.
                let _ = gate.lock().expect("nobody panics with it").recv();
                std::future::pending::<hatchery::Result<()>>().await
            }
        };
        let patience = Duration::from_millis(100);
        let plan = Hatchery::new().agent(idle).workers(1, stuck).tune("worker", move |worker| {
            worker.stop_timeout(patience);
        });
        let handle = start(plan).await;
        let mut events = handle.events();
        let end = handle.shutdown().await;
        let (member, cause) = until_exit(&mut events).await;
        assert!(
            matches!(&cause, Cause::Overdue(time, exit) if *time == patience && exit.status == ExitStatus::Unkillable)
        );
        assert_eq!(end, Err(ClusterError::LeftBehind(vec![member])));
        assert!(leaving.try_recv().is_err(), "it is still there");
        release.send(()).expect("it waits");
        assert_eq!(leaving.recv().await, Some("the stuck one"), "its first yield was its last");
    });
}

#[test]
fn what_a_killed_thread_held_is_dropped_before_the_end_is_told() {
    within(async {
        let (told, mut dropped) = unbounded_channel();
        let plan = Hatchery::new().agent(holding(&told, "agent")).workers(2, holding(&told, "worker"));
        let handle = start(plan).await;
        assert_eq!(handle.kill().await, Ok(()));
        let mut all: Vec<_> = std::iter::from_fn(|| dropped.try_recv().ok()).collect();
        all.sort();
        assert_eq!(all, ["agent", "worker", "worker"]);
    });
}

#[test]
fn dropping_the_last_handle_or_the_runtime_ends_every_thread() {
    let (told, mut dropped) = unbounded_channel();
    within(async {
        let handle = start(Hatchery::new().workers(2, holding(&told, "of the handle"))).await;
        drop(handle);
        assert_eq!(dropped.recv().await, Some("of the handle"));
        assert_eq!(dropped.recv().await, Some("of the handle"));
    });
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let handle = runtime.block_on(start(Hatchery::new().workers(1, holding(&told, "of the runtime"))));
    drop(runtime);
    within(async { assert_eq!(dropped.recv().await, Some("of the runtime")) });
    drop(handle);
}

#[test]
fn nothing_of_a_cluster_stays_in_memory_when_it_has_ended() {
    within(async {
        let token = Arc::new(());
        let held = token.clone();
        let worker = move |cx: Context| {
            let held = held.clone();
            async move {
                // A handler that holds the messenger that holds the member that holds its handlers.
                let messenger = cx.messenger();
                let (again, kept) = (messenger.clone(), held.clone());
                messenger.on("keep", move |_: Message<()>| drop((again.clone(), kept.clone())));
                idle(cx).await
            }
        };
        let cluster = Hatchery::new().in_threads().workers(3, worker).enter().expect("a good plan");
        let before = Arc::strong_count(&token);
        for _ in 0..5 {
            let handle = cluster.start().await.expect("it starts");
            handle.ready().await.expect("all come up");
            assert_eq!(handle.shutdown().await, Ok(()));
            assert_eq!(Arc::strong_count(&token), before);
        }
    });
}

/// No hook is set, so it is the poll that hears of a panic, or the drop of what the member was given.
#[test]
fn a_panic_is_an_exception_of_the_member_whose_code_it_was_and_no_hook_is_set() {
    within(async {
        static PANICS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            previous(info);
        }));
        let worker = |cx: Context| async move {
            let messenger = cx.messenger();
            let spawning = cx.clone();
            messenger.on("task", move |_: Message<()>| drop(spawning.spawn(async { throw("in a task") })));
            messenger.on("handler", |_: Message<()>| async { throw("in a handler") });
            let bare = cx.clone();
            messenger.on("bare", move |_: Message<()>| {
                let cx = bare.clone();
                drop(tokio::spawn(async move { panic!("nobody sees {}", cx.id()) }));
            });
            idle(cx).await
        };
        let handle = start(Hatchery::new().agent(idle).workers(1, worker)).await;
        let mut events = handle.events();
        let rows = [("task", "in a task"), ("handler", "in a handler"), ("bare", "not started with cx.spawn")];
        for (incarnation, (action, text)) in (1..).zip(rows) {
            handle.messenger().to(Slot::worker(0), action, &()).await.expect("it is there");
            let (member, exception) = until(&mut events, |event| match event {
                ClusterEvent::Exception { member, exception, .. } => Some((*member, exception.clone())),
                _ => None,
            })
            .await;
            assert_eq!((member.slot(), member.incarnation().get()), (Slot::worker(0), incarnation));
            assert_eq!(exception.kind, ExceptionKind::Panic);
            assert!(exception.message.contains(text), "{exception}");
            let (member, cause) = until_exit(&mut events).await;
            assert_eq!(member.incarnation().get(), incarnation, "{cause}");
            assert_eq!(cause.exit().map(|exit| exit.status.clone()), Some(ExitStatus::Code(70)));
        }
        assert_eq!(handle.status().of(Role::AGENT).next().map(|agent| agent.id.incarnation().get()), Some(1));
        assert!(PANICS.load(Ordering::Relaxed) >= 3, "the hook is the program's own");
        assert_eq!(handle.shutdown().await, Ok(()));
    });
}

#[test]
fn members_are_threads_of_this_process_under_the_names_of_their_slots() {
    within(async {
        let cluster = Hatchery::new().in_threads().agent(idle).workers(2, idle).enter().expect("a good plan");
        assert_eq!(cluster.capabilities(), Capabilities::THREADS);
        let handle = cluster.start().await.expect("it starts");
        handle.ready().await.expect("all come up");
        let roster = handle.status();
        assert_eq!(roster.master_pid, std::process::id());
        assert_eq!(roster.members.len(), 3);
        for member in &roster.members {
            let number = member.pid.expect("it lives");
            let name = std::fs::read_to_string(format!("/proc/self/task/{number}/comm")).expect("a thread of ours");
            assert_eq!(name.trim(), member.id.slot().to_string());
        }
        assert_eq!(handle.shutdown().await, Ok(()));
    });
}
