//! As a child in a tree of actors.

use std::sync::Arc;

use hatchery::{Cluster, ClusterError, ClusterEvent, ClusterHandle, ClusterMsg, Role, StartError};
use libtest_mimic::Trial;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use tokio::sync::mpsc;

use crate::handle::until;
use crate::plans::plans;
use crate::processes::Held;
use crate::story;

pub fn trials() -> Vec<Trial> {
    vec![
        story("a cluster that is shut down ends as ActorTerminated, after its processes", shut_down),
        story("stopping or draining its actor stops the members in order first", stop_actor),
        story("a message to its actor stops it", stop_by_message),
        story("a cluster that gives up ends as ActorFailed, with the reason to be downcast", gives_up),
        story("a cluster that fails to start ends as ActorFailed, with who and why", start_fails),
        story("a supervisor that waits in its post_stop ends its cluster in order", post_stop),
        story("a supervisor that is killed leaves no process", supervisor_killed),
        story("a supervisor that just stops leaves no process", supervisor_stops),
        story("a supervisor that panics leaves no process", supervisor_panics),
        story("a cluster's actor that is killed leaves no process", actor_killed),
        story("what is restarted inside is no event of the tree, and dropping the handle changes nothing", inside),
        story("a name is registered when one was given, and free again at the end", names),
        story("a supervisor that has ended gets no cluster, and nobody is left", no_supervisor),
    ]
}

/// A supervisor of the kind that users write.
struct Supervisor {
    cluster: Cluster,
    name: Option<String>,
    /// Whether its `post_stop` waits for the cluster.
    polite: bool,
    heard: mpsc::UnboundedSender<Heard>,
}

/// What it hears.
#[derive(Debug, PartialEq)]
enum Heard {
    Started,
    Terminated,
    Failed(ClusterError),
}

enum Ask {
    Handle(ractor::RpcReplyPort<ClusterHandle>),
    Panic,
}

#[ractor::actor(message = Ask, state = ClusterHandle, arguments = ())]
impl Supervisor {
    async fn pre_start(&self, myself: ActorRef<Ask>, (): ()) -> Result<ClusterHandle, ActorProcessingErr> {
        let (_, _, handle) = self.cluster.spawn_linked(self.name.clone(), myself.get_cell()).await?;
        Ok(handle)
    }

    async fn handle(&self, _: ActorRef<Ask>, ask: Ask, handle: &mut ClusterHandle) -> Result<(), ActorProcessingErr> {
        match ask {
            Ask::Handle(reply) => drop(reply.send(handle.clone())),
            Ask::Panic => panic!("a fault in the supervisor"),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Ask>,
        event: SupervisionEvent,
        _: &mut ClusterHandle,
    ) -> Result<(), ActorProcessingErr> {
        let heard = match event {
            SupervisionEvent::ActorStarted(_) => Heard::Started,
            SupervisionEvent::ActorTerminated(..) => Heard::Terminated,
            SupervisionEvent::ActorFailed(_, error) => {
                Heard::Failed(*error.downcast::<ClusterError>().expect("a typed reason"))
            }
            SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let _ = self.heard.send(heard);
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Ask>, handle: &mut ClusterHandle) -> Result<(), ActorProcessingErr> {
        if self.polite {
            handle.shutdown().await?;
        }
        Ok(())
    }
}

/// A running tree.
struct Tree {
    supervisor: ActorRef<Ask>,
    handle: ClusterHandle,
    heard: mpsc::UnboundedReceiver<Heard>,
}

async fn plant(cluster: &Cluster, name: Option<String>, polite: bool) -> Tree {
    let (heard, ears) = mpsc::unbounded_channel();
    let supervisor = Supervisor { cluster: cluster.clone(), name, polite, heard };
    let (supervisor, _) = Actor::spawn(None, supervisor, ()).await.expect("it starts");
    let handle = ractor::call!(supervisor, Ask::Handle).expect("it answers");
    Tree { supervisor, handle, heard: ears }
}

/// All are ready.
async fn grown(cluster: &Cluster) -> (Tree, Held) {
    let mut tree = plant(cluster, None, false).await;
    tree.handle.ready().await.expect("all come up");
    assert_eq!(tree.heard.recv().await, Some(Heard::Started));
    let members = Held::members(&tree.handle);
    (tree, members)
}

impl Tree {
    /// Its cluster's members were killed, not asked.
    async fn expect_killed(&self, members: &Held) {
        assert_eq!(self.handle.wait().await, Err(ClusterError::Killed));
        members.expect_gone();
    }
}

async fn shut_down() {
    let (mut tree, members) = grown(&plans().shop).await;
    assert_eq!(tree.handle.shutdown().await, Ok(()));
    members.expect_gone();
    assert_eq!(tree.heard.recv().await, Some(Heard::Terminated));
    assert_eq!(tree.supervisor.get_status(), ActorStatus::Running, "its life is its own");
    tree.supervisor.stop_and_wait(None, None).await.expect("it ends");
    assert_eq!(tree.heard.recv().await, None, "one end was told");
}

async fn stop_actor() {
    for drain in [false, true] {
        let (mut tree, members) = grown(&plans().shop).await;
        let mut events = tree.handle.events();
        let actor = tree.handle.actor();
        match drain {
            true => actor.drain_and_wait(None).await.expect("it ends"),
            false => actor.stop_and_wait(None, None).await.expect("it ends"),
        }
        members.expect_gone();
        assert_eq!(tree.heard.recv().await, Some(Heard::Terminated));
        let last = until(&mut events, |event| match event {
            ClusterEvent::Exited { cause, .. } => {
                assert!(matches!(cause, hatchery::supervision::Cause::Left(_)), "it was asked: {cause}");
                None
            }
            ClusterEvent::Finished(end) => Some(end.clone()),
            _ => None,
        });
        assert_eq!(last.await, Ok(()));
    }
}

async fn stop_by_message() {
    for message in [ClusterMsg::shutdown(), ClusterMsg::kill()] {
        let (mut tree, members) = grown(&plans().shop).await;
        tree.handle.actor().cast(message).expect("it lives");
        assert_eq!(tree.heard.recv().await, Some(Heard::Terminated));
        members.expect_gone();
        assert_eq!(tree.handle.wait().await, Ok(()));
    }
}

async fn gives_up() {
    let (mut tree, members) = grown(&plans().touchy).await;
    members.kill();
    let heard = tree.heard.recv().await.expect("the supervisor lives");
    let Heard::Failed(error @ ClusterError::GaveUp { .. }) = heard else { panic!("{heard:?}") };
    assert_eq!(error.to_string(), "gave up: a worker killed by signal 9");
    assert_eq!(tree.handle.wait().await, Err(error));
}

async fn start_fails() {
    let mut tree = plant(&plans().broken, None, false).await;
    assert_eq!(tree.heard.recv().await, Some(Heard::Started));
    let heard = tree.heard.recv().await.expect("the supervisor lives");
    let Heard::Failed(error) = heard else { panic!("{heard:?}") };
    assert!(matches!(error, ClusterError::StartFailed { member, .. } if member.role() == Role::WORKER), "{error}");
    assert_eq!(tree.handle.ready().await, Err(error));
}

async fn post_stop() {
    let tree = plant(&plans().shop, None, true).await;
    tree.handle.ready().await.expect("all come up");
    let members = Held::members(&tree.handle);
    tree.supervisor.stop_and_wait(None, None).await.expect("it ends");
    members.expect_gone();
    assert_eq!(tree.handle.wait().await, Ok(()), "in order");
}

async fn supervisor_killed() {
    let (tree, members) = grown(&plans().shop).await;
    tree.supervisor.kill_and_wait(None).await.expect("it ends");
    tree.expect_killed(&members).await;
}

async fn supervisor_stops() {
    let (tree, members) = grown(&plans().shop).await;
    tree.supervisor.stop(None);
    tree.expect_killed(&members).await;
}

async fn supervisor_panics() {
    let (tree, members) = grown(&plans().shop).await;
    tree.supervisor.cast(Ask::Panic).expect("it lives");
    tree.expect_killed(&members).await;
}

async fn actor_killed() {
    let (mut tree, members) = grown(&plans().shop).await;
    tree.handle.actor().kill();
    assert_eq!(tree.heard.recv().await, Some(Heard::Terminated), "ractor calls a kill so");
    tree.expect_killed(&members).await;
}

async fn inside() {
    let (mut tree, members) = grown(&plans().jobs).await;
    let mut events = tree.handle.events();
    members.kill();
    until(&mut events, |event| match event {
        ClusterEvent::Ready { member } => (member.incarnation().get() == 2).then_some(()),
        _ => None,
    })
    .await;
    assert!(tree.heard.try_recv().is_err(), "one child, and it lives");
    let weak = Arc::new(());
    let Tree { supervisor, handle, mut heard } = tree;
    drop((handle, weak));
    let handle = ractor::call!(supervisor, Ask::Handle).expect("it answers");
    assert_eq!(handle.status().ready(Role::WORKER), 1);
    assert_eq!(handle.shutdown().await, Ok(()));
    assert_eq!(heard.recv().await, Some(Heard::Terminated));
}

async fn names() {
    let name = format!("jobs of {}", std::process::id());
    let nameless = plant(&plans().jobs, None, true).await;
    nameless.handle.ready().await.expect("it comes up");
    let before = ractor::registry::registered();
    assert!(!before.iter().any(|other| other.contains("jobs of")), "{before:?}");
    let tree = plant(&plans().jobs, Some(name.clone()), true).await;
    tree.handle.ready().await.expect("it comes up");
    assert!(ractor::registry::where_is(name.clone()).is_some());
    let (heard, _ears) = mpsc::unbounded_channel();
    let second = Supervisor { cluster: plans().jobs.clone(), name: Some(name.clone()), polite: true, heard };
    let error = Actor::spawn(None, second, ()).await.expect_err("the name is taken").to_string();
    assert!(error.contains("the actor of the cluster could not be spawned"), "{error}");
    tree.supervisor.stop_and_wait(None, None).await.expect("it ends");
    // ractor kills the children of an actor that has ended, and waits for none of them.
    tree.handle.actor().get_cell().wait(None).await.expect("it ends");
    assert!(ractor::registry::where_is(name).is_none());
    nameless.supervisor.stop_and_wait(None, None).await.expect("it ends");
}

async fn no_supervisor() {
    let (tree, members) = grown(&plans().jobs).await;
    tree.supervisor.stop_and_wait(None, None).await.expect("it ends");
    members.until_gone();
    let refused = plans().jobs.spawn_linked(None, tree.supervisor.get_cell()).await;
    assert!(matches!(refused, Err(StartError::Actor(_))), "{:?}", refused.map(|(_, _, handle)| handle));
}
