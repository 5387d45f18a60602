//! What an operator may ask of a cluster that runs, on real processes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hatchery::supervision::{ChildState, Conclusion, OperationError, Recording};
use hatchery::{ClusterEvent, ClusterHandle, MemberState, Reason, Role, Slot};
use libtest_mimic::Trial;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::handle::{ready, until};
use crate::plans::{LONG, address, plans};
use crate::processes::Held;
use crate::story;

pub fn trials() -> Vec<Trial> {
    vec![
        story("a role that grows is known to all, one that shrinks loses nobody else", scale),
        story("no connection is lost while a role shrinks and grows", nothing_lost),
        story("scaled to nothing and back, the cluster goes on, and no member is named twice", to_nothing_and_back),
        story("a slot is restarted without a gap, and that counts for nothing", restart),
        story("a slot that was stopped stays empty until it is restarted", stop),
        story("of two operations that cannot both be, the later one holds", supersede),
        story("what cannot be is told by name", refused),
        story("why a slot stands where it does, and the same decisions again from the recording", why),
    ]
}

fn state(handle: &ClusterHandle, slot: Slot) -> Option<MemberState> {
    handle.status().members.iter().find(|member| member.id.slot() == slot).map(|member| member.state)
}

/// Which incarnations there are, in the order of the plan.
fn ids(handle: &ClusterHandle) -> Vec<String> {
    handle.status().members.iter().map(|member| member.id.to_string()).collect()
}

async fn scale() {
    let handle = ready(&plans().shop).await;
    assert_eq!(handle.scale(Role::WORKER, 4).await, Conclusion::Done);
    assert_eq!(handle.status().ready(Role::WORKER), 4);
    assert_eq!(ids(&handle), ["agent/0#1", "worker/0#1", "worker/1#1", "worker/2#1", "worker/3#1"]);
    // An old one finds a new one, and the new one the old.
    for (from, to) in [(0, "worker/3"), (3, "worker/0")] {
        let asked = handle.messenger().call_within::<String>(LONG, Slot::worker(from), "ask who", &to.to_owned()).await;
        assert_eq!(asked.as_deref(), Ok(format!("{to}#1").as_str()));
    }
    let roster = handle.status();
    let leaving = roster.members.iter().filter(|member| member.id.slot() >= Slot::worker(1));
    let leaving = Held::take(leaving.filter_map(|member| member.pid));
    assert_eq!(handle.scale(Role::WORKER, 1).await, Conclusion::Done);
    leaving.expect_gone();
    assert_eq!(ids(&handle), ["agent/0#1", "worker/0#1"]);
    let mut lost = handle.messenger().undelivered();
    handle.messenger().to(Slot::worker(3), "throw", &()).await.expect("it has been there");
    assert_eq!(lost.next().await.map(|lost| lost.reason), Some(Reason::Gone));
    let mut hello = String::new();
    let mut stream = TcpStream::connect(address(&handle).await).await.expect("somebody listens");
    stream.read_to_string(&mut hello).await.expect("it answers");
    assert_eq!(hello, "worker/0#1");
    assert_eq!(handle.shutdown().await, Ok(()));
}

/// Connects again and again until it is done. All are answered.
async fn keep_connecting(address: SocketAddr, done: Arc<AtomicBool>) -> usize {
    let mut answered = 0;
    while !done.load(Ordering::Relaxed) {
        let mut hello = String::new();
        let mut stream = TcpStream::connect(address).await.expect("somebody listens");
        stream.read_to_string(&mut hello).await.expect("it is answered to its end");
        assert!(hello.starts_with("worker/"), "{hello:?}");
        answered += 1;
    }
    answered
}

async fn nothing_lost() {
    let handle = ready(&plans().shop).await;
    let (address, done) = (address(&handle).await, Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(keep_connecting(address, done.clone()))).collect();
    for count in [4, 1, 4, 1, 4] {
        assert_eq!(handle.scale(Role::WORKER, count).await, Conclusion::Done);
        assert_eq!(handle.status().ready(Role::WORKER), usize::from(count));
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.expect("no panic") > 0);
    }
    assert_eq!(handle.shutdown().await, Ok(()));
}

async fn to_nothing_and_back() {
    let handle = ready(&plans().shop).await;
    assert_eq!(handle.scale(Role::WORKER, 0).await, Conclusion::Done);
    assert_eq!(ids(&handle), ["agent/0#1"]);
    assert_eq!(handle.count_children().specs, 1);
    assert_eq!(handle.scale(Role::WORKER, 3).await, Conclusion::Done);
    assert_eq!(ids(&handle), ["agent/0#1", "worker/0#2", "worker/1#2", "worker/2#1"]);
    let asked = handle.messenger().call_within::<SocketAddr>(LONG, Slot::worker(0), "address", &()).await;
    assert!(asked.is_ok(), "{asked:?}");
    assert_eq!(handle.shutdown().await, Ok(()));
}

async fn restart() {
    let handle = ready(&plans().jobs).await;
    let (address, mut events) = (address(&handle).await, handle.events());
    let before = Held::members(&handle);
    // The next at once, while those before may still drain: nobody is killed for it.
    let restarts = async {
        for _ in 0..3 {
            assert_eq!(handle.restart(Slot::worker(0)).await, Conclusion::Done);
        }
        for _ in 0..3 {
            let cause = until(&mut events, |event| match event {
                ClusterEvent::Exited { cause, .. } => Some(cause.to_string()),
                _ => None,
            })
            .await;
            assert_eq!(cause, "exited with code 0");
        }
    };
    let clients = async {
        let mut seen = std::collections::BTreeSet::new();
        while !seen.contains("worker/0#4") {
            let mut hello = String::new();
            let mut stream = TcpStream::connect(address).await.expect("there is always somebody");
            stream.read_to_string(&mut hello).await.expect("it answers");
            seen.insert(hello);
        }
    };
    tokio::join!(restarts, clients);
    before.until_gone();
    assert_eq!(state(&handle, Slot::worker(0)), Some(MemberState::Ready));
    assert_eq!(handle.shutdown().await, Ok(()));
}

async fn stop() {
    let handle = ready(&plans().shop).await;
    let slot = Slot::worker(1);
    for _ in 0..2 {
        assert_eq!(handle.stop(slot).await, Conclusion::Done);
        assert_eq!(state(&handle, slot), Some(MemberState::Stopped));
    }
    let children = handle.which_children();
    assert_eq!(children.iter().find(|child| child.slot == slot).map(|child| child.state), Some(ChildState::Stopped));
    assert_eq!(handle.restart(slot).await, Conclusion::Done);
    assert_eq!(ids(&handle), ["agent/0#1", "worker/0#1", "worker/1#2"]);
    assert_eq!(handle.shutdown().await, Ok(()));
}

async fn supersede() {
    let handle = ready(&plans().shop).await;
    let mut events = handle.events();
    let (restarted, stopped) = tokio::join!(biased; handle.restart(Slot::worker(0)), handle.stop(Slot::worker(0)));
    assert_eq!((restarted, stopped), (Conclusion::Superseded, Conclusion::Done));
    let mut told = Vec::new();
    while told.len() < 4 {
        let event = events.next().await.expect("it goes on");
        if let ClusterEvent::Asked { .. } | ClusterEvent::Concluded { .. } = event {
            told.push(event.to_string());
        }
    }
    assert_eq!(
        told,
        [
            "operation 1: restart worker/0",
            "operation 2: stop worker/0",
            "operation 1 superseded by a later operation",
            "operation 2 done",
        ]
    );
    let (more, fewer) = tokio::join!(biased; handle.scale(Role::WORKER, 5), handle.scale(Role::WORKER, 2));
    assert_eq!((more, fewer), (Conclusion::Superseded, Conclusion::Done));
    assert_eq!((handle.status().of(Role::WORKER).count(), handle.status().ready(Role::WORKER)), (2, 1));
    assert_eq!(handle.shutdown().await, Ok(()));
}

async fn refused() {
    let handle = ready(&plans().shop).await;
    let failed = |conclusion| match conclusion {
        Conclusion::Failed(error) => error,
        Conclusion::Done | Conclusion::Superseded => panic!("{conclusion}"),
    };
    let nobody = Slot::worker(9);
    assert_eq!(failed(handle.restart(nobody).await), OperationError::NoSuchSlot(nobody));
    let agents = OperationError::TooMany { role: Role::AGENT, most: 1 };
    assert_eq!(failed(handle.scale(Role::AGENT, 2).await), agents);
    assert_eq!(handle.shutdown().await, Ok(()));
    assert_eq!(failed(handle.stop(Slot::worker(0)).await), OperationError::Stopping);
    assert!(handle.why(nobody).is_none());
}

async fn why() {
    let cluster = &plans().shop;
    let handle = ready(cluster).await;
    let mut events = handle.events();
    let victim = handle.status().members.iter().find(|member| member.id.slot() == Slot::worker(1)).and_then(|m| m.pid);
    Held::take(victim).kill();
    until(&mut events, |event| match event {
        ClusterEvent::Ready { member } => (member.incarnation().get() == 2).then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(handle.restart(Slot::worker(1)).await, Conclusion::Done);
    let why = handle.why(Slot::worker(1)).expect("there is such a slot").to_string();
    assert!(why.starts_with("worker/1#3 is ready\n"), "{why}");
    for part in ["worker/1#1: killed by signal 9 -> restart at once", "operation 1: restart worker/1"] {
        assert!(why.contains(part), "{why}");
    }
    assert!(handle.recording().to_string().contains("worker/1#1 killed by signal 9 => "));
    assert_eq!(handle.shutdown().await, Ok(()));
    // What was decided can be asked for when all is over: that is when one wants to know.
    assert!(handle.which_children().iter().all(|child| child.state == ChildState::Vacant));
    let why = handle.why(Slot::worker(1)).expect("there is such a slot").to_string();
    assert!(why.starts_with("worker/1 is not restarted any more\n"), "{why}");
    let recording = handle.recording();
    assert!(recording.to_string().trim_end().ends_with("finish: stopped"), "{recording}");
    let written = serde_json::to_string(&recording).expect("plain data");
    let read: Recording = serde_json::from_str(&written).expect("it was just written");
    let again = read.replay(cluster.plan().clone()).expect("the same facts, the same decisions");
    assert_eq!(again.len(), recording.steps().len());
}
