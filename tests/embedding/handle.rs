//! In a plain tokio program.

use hatchery::supervision::{Cause, Decision, ExitStatus};
use hatchery::{ClusterError, ClusterEvent, ClusterEvents, ClusterHandle, MemberState, Role, Slot, StartError};
use libtest_mimic::Trial;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::plans::{LONG, address, plans};
use crate::processes::Held;
use crate::{story, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        story("a cluster starts, replaces who is killed, tells it, and leaves nobody", life),
        story("a stop is one stop, however often and by however many it is asked for", one_stop),
        story("a start that fails says who and why, to all who wait", start_fails),
        story("an address that is taken is told before anything is started", taken),
        story("a cluster that gives up says so, and can be started again", gives_up),
        story("dropping the last handle kills every process", drop_handle),
        trial("dropping the runtime kills every process", drop_runtime),
        story("killing while it stops in order is quicker, and tells the same end", kill),
        story("two clusters in one program do not see each other", two),
        story("the same cluster runs twice at once", twice),
        story("the host writes and answers as a member does", messages),
        story("an exception is told with what follows from it", exception),
        story("who starts and then listens hears everything from the start", whole_story),
    ]
}

/// Started, and all are ready.
pub async fn ready(cluster: &hatchery::Cluster) -> ClusterHandle {
    let handle = cluster.start().await.expect("it starts");
    handle.ready().await.expect("all come up");
    handle
}

/// The first event that is looked for.
pub async fn until<T>(events: &mut ClusterEvents, look: impl Fn(&ClusterEvent) -> Option<T>) -> T {
    let mut before = Vec::new();
    loop {
        let Some(event) = events.next().await else { panic!("it ended without: {before:#?}") };
        match look(&event) {
            Some(found) => return found,
            None => before.push(event.to_string()),
        }
    }
}

/// What is told until the end.
async fn rest(events: &mut ClusterEvents) -> Vec<ClusterEvent> {
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event);
    }
    all
}

async fn life() {
    let handle = plans().shop.start().await.expect("it starts");
    let mut events = handle.events();
    handle.ready().await.expect("all come up");
    let roster = handle.status();
    assert_eq!((roster.ready(Role::AGENT), roster.ready(Role::WORKER), roster.master_pid), (1, 2, std::process::id()));
    let address = address(&handle).await;
    let mut hello = String::new();
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.read_to_string(&mut hello).await.expect("it answers");
    assert!(hello.starts_with("worker/"), "{hello}");

    let victim = roster.of(Role::WORKER).next().expect("there is one").clone();
    Held::take(victim.pid).kill();
    let (cause, decision) = until(&mut events, |event| match event {
        ClusterEvent::Exited { member, cause, decision } if *member == victim.id => {
            Some((cause.clone(), decision.clone()))
        }
        _ => None,
    })
    .await;
    assert_eq!(cause.exit().map(|exit| exit.status.clone()), Some(signal(9)), "{cause}");
    assert!(matches!(decision, Decision::Strategy(_)), "{decision}");
    let successor = until(&mut events, |event| match event {
        ClusterEvent::Ready { member } if member.slot() == victim.id.slot() => Some(*member),
        _ => None,
    })
    .await;
    assert_eq!(successor.incarnation().get(), 2);
    let after = handle.status();
    let status = after.members.iter().find(|member| member.id == successor).expect("it is there");
    assert_eq!((status.state, status.restarts), (MemberState::Ready, 1));
    assert_eq!(status.last_exit.as_deref(), Some("killed by signal 9"));

    let members = Held::members(&handle);
    assert_eq!(members.count(), 3);
    handle.shutdown().await.expect("all leave");
    members.expect_gone();
    let refused = TcpStream::connect(address).await;
    assert!(refused.is_err(), "the port is free");
    let told = rest(&mut events).await;
    let left = |event: &&ClusterEvent| matches!(event, ClusterEvent::Exited { cause: Cause::Left(_), .. });
    assert_eq!(told.iter().filter(left).count(), 3, "{told:#?}");
    let order: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            ClusterEvent::Exited { member, .. } => Some(member.role()),
            _ => None,
        })
        .collect();
    assert_eq!(order, [Role::WORKER, Role::WORKER, Role::AGENT], "the workers first");
    assert_eq!(told.first(), Some(&ClusterEvent::Stopping));
    assert_eq!(told.last(), Some(&ClusterEvent::Finished(Ok(()))));
    let states = handle.status().members.into_iter().map(|member| member.state);
    assert!(states.into_iter().all(|state| state == MemberState::Stopped), "the last look stays");
    assert_eq!(handle.ready().await, Err(ClusterError::Stopped));
}

fn signal(number: i32) -> ExitStatus {
    hatchery::supervision::Exit::signal(number).status
}

async fn one_stop() {
    let handle = ready(&plans().shop).await;
    let mut events = handle.events();
    let others: Vec<_> = (0..8)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.shutdown().await })
        })
        .collect();
    // One that is given up does not take the stop back.
    let _ = tokio::time::timeout(std::time::Duration::ZERO, handle.shutdown()).await;
    for other in others {
        assert_eq!(other.await.expect("no panic"), Ok(()));
    }
    assert_eq!((handle.shutdown().await, handle.wait().await, handle.kill().await), (Ok(()), Ok(()), Ok(())));
    let told = rest(&mut events).await;
    let hurried = |event: &&ClusterEvent| matches!(event, ClusterEvent::Exited { cause: Cause::Hurried(_), .. });
    assert_eq!(told.iter().filter(hurried).count(), 0, "a second wish is no hurry: {told:#?}");
}

async fn start_fails() {
    let handle = plans().broken.start().await.expect("it can be tried");
    let error = handle.ready().await.expect_err("the workers cannot");
    assert!(matches!(error, ClusterError::StartFailed { member, .. } if member.role() == Role::WORKER), "{error}");
    assert!(error.to_string().contains("its function returned an error: no such table: users"), "{error}");
    assert_eq!(handle.wait().await, Err(error.clone()));
    assert_eq!(handle.shutdown().await, Err(error));
    assert!(handle.status().members.iter().all(|member| member.pid.is_none()));
}

async fn taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound");
    // Only a plan that is started is bound: entered under the name of one that was.
    let plan = hatchery::Hatchery::new().listen(address).agent(|_| async { Ok::<_, String>(()) });
    let error = plan.enter().expect("a good plan").start().await.expect_err("somebody has it");
    assert!(matches!(error, StartError::Listen(_)), "{error}");
    assert_eq!(error.to_string(), format!("failed to listen on {address}: Address already in use (os error 98)"));
}

async fn gives_up() {
    for _ in 0..2 {
        let handle = ready(&plans().touchy).await;
        let mut events = handle.events();
        let members = Held::members(&handle);
        members.kill();
        let end = handle.wait().await;
        assert!(matches!(&end, Err(ClusterError::GaveUp { .. })), "{end:?}");
        assert_eq!(end.clone().map_err(|e| e.to_string()), Err("gave up: a worker killed by signal 9".into()));
        members.expect_gone();
        assert_eq!(rest(&mut events).await.last(), Some(&ClusterEvent::Finished(end)));
        assert!(handle.events().next().await.is_none(), "nothing happens any more");
    }
}

async fn drop_handle() {
    let handle = ready(&plans().shop).await;
    let (members, mut events) = (Held::members(&handle), handle.events());
    let clone = handle.clone();
    drop(handle);
    assert_eq!(clone.status().ready(Role::WORKER), 2, "somebody has it");
    drop(clone);
    let told = rest(&mut events).await;
    assert_eq!(told.last(), Some(&ClusterEvent::Finished(Err(ClusterError::Killed))), "{told:#?}");
    members.expect_gone();
}

fn drop_runtime() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let handle = runtime.block_on(ready(&plans().shop));
    let (members, mut events) = (Held::members(&handle), handle.events());
    drop(runtime);
    members.until_gone();
    let other = tokio::runtime::Runtime::new().expect("threads");
    other.block_on(async {
        assert_eq!(handle.wait().await, Err(ClusterError::Killed));
        assert_eq!(handle.ready().await, Err(ClusterError::Killed));
        rest(&mut events).await;
    });
}

async fn kill() {
    let handle = ready(&plans().shop).await;
    let members = Held::members(&handle);
    let mut events = handle.events();
    // It would have time to finish: this connection is one that its worker knows nothing of the end of.
    let stopping = tokio::spawn({
        let handle = handle.clone();
        async move { handle.shutdown().await }
    });
    until(&mut events, |event| matches!(event, ClusterEvent::Stopping).then_some(())).await;
    assert_eq!(handle.kill().await, Ok(()));
    assert_eq!(stopping.await.expect("no panic"), Ok(()));
    members.expect_gone();
}

async fn two() {
    let (shop, jobs) = tokio::join!(ready(&plans().shop), ready(&plans().jobs));
    assert_ne!(address(&shop).await.port(), address(&jobs).await.port());
    assert_eq!((shop.status().members.len(), jobs.status().members.len()), (3, 1));
    let (mut shop_events, mut jobs_events) = (shop.events(), jobs.events());
    let worker = Held::members(&jobs);
    worker.kill();
    until(&mut jobs_events, |event| match event {
        ClusterEvent::Ready { member } if member.incarnation().get() == 2 => Some(()),
        _ => None,
    })
    .await;
    let shop_members = Held::members(&shop);
    assert_eq!(jobs.shutdown().await, Ok(()));
    assert_eq!(shop.status().ready(Role::WORKER), 2, "it did not notice");
    assert_eq!(shop.shutdown().await, Ok(()));
    shop_members.expect_gone();
    let told = rest(&mut shop_events).await;
    let exits = told.iter().filter(|event| matches!(event, ClusterEvent::Exited { .. })).count();
    assert_eq!(exits, 3, "its own three, at its own stop: {told:#?}");
}

async fn twice() {
    let (one, other) = tokio::join!(ready(&plans().jobs), ready(&plans().jobs));
    assert_ne!(address(&one).await, address(&other).await, "each has bound a port");
    assert_eq!(one.shutdown().await, Ok(()));
    assert_eq!(other.status().ready(Role::WORKER), 1);
    assert_eq!(other.shutdown().await, Ok(()));
}

async fn messages() {
    let handle = plans().shop.start().await.expect("it starts");
    let messenger = handle.messenger();
    let double = |request: hatchery::Request<u32>| async move { Ok::<_, String>(request.body * 2) };
    messenger.answer("double", double).expect("the only one");
    handle.ready().await.expect("all come up");
    let answer = messenger.call_within::<u32>(LONG, Slot::worker(1), "ask the host", &21u32).await;
    assert_eq!(answer.expect("it asks and answers"), 42);
    assert_eq!(handle.shutdown().await, Ok(()));
}

async fn exception() {
    let handle = ready(&plans().shop).await;
    let mut events = handle.events();
    handle.messenger().to(Slot::worker(0), "throw", &()).await.expect("it is accepted");
    let (text, decision) = until(&mut events, |event| match event {
        ClusterEvent::Exception { exception, decision, .. } => Some((exception.to_string(), decision.clone())),
        _ => None,
    })
    .await;
    assert!(text.contains("thrown"), "{text}");
    let decision = decision.expect("it was serving").to_string();
    assert!(decision.starts_with("replace at once"), "{decision}");
    until(&mut events, |event| match event {
        ClusterEvent::Exited { member, decision: Decision::AlreadyReplaced, .. } => {
            (member.slot() == Slot::worker(0)).then_some(())
        }
        _ => None,
    })
    .await;
    assert_eq!(handle.shutdown().await, Ok(()));
}

async fn whole_story() {
    let handle = ready(&plans().jobs).await;
    assert_eq!(handle.shutdown().await, Ok(()));
    let told: Vec<_> = rest(&mut handle.events()).await.iter().map(ToString::to_string).collect();
    let [started, ready, cluster_ready, stopping, exited, stopped] = &told[..] else { panic!("{told:#?}") };
    assert!(started.starts_with("worker/0#1 started, pid "), "{started}");
    assert_eq!([ready, cluster_ready, stopping], ["worker/0#1 ready", "cluster ready", "cluster stopping"]);
    assert_eq!([exited, stopped], ["worker/0#1 exited with code 0 -> stopping", "cluster stopped"]);
    assert!(rest(&mut handle.events()).await.is_empty(), "it is told once");
}
