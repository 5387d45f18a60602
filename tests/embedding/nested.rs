//! A supervisor in a supervisor: a cluster as a child of a ractor supervisor that starts it again when it fails, and may end
//! with it when it is done. What OTP's own suite checks of nested supervisors, by its rows.

use hatchery::supervision::Conclusion;
use hatchery::{Cluster, ClusterError, ClusterHandle, Role, Slot};
use libtest_mimic::Trial;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use tokio::sync::mpsc;

use crate::plans::plans;
use crate::processes::Held;
use crate::story;

pub fn trials() -> Vec<Trial> {
    vec![
        story("c37: a cluster that gives up is started again by its supervisor, as the plan has it", tripped),
        story("c52: a cluster that is done ends a supervisor for which it is significant", significant),
        story("c52: a cluster that is done leaves a supervisor alone for which it is not", insignificant),
    ]
}

/// A supervisor of one child, which is a cluster.
struct Outer {
    cluster: Cluster,
    /// Ends when the cluster is done.
    significant: bool,
    /// Who began to run, as often as it does; then how it ended.
    children: mpsc::UnboundedSender<Child>,
}

#[derive(Debug)]
enum Child {
    Started(ClusterHandle),
    Failed(ClusterError),
    Done,
}

impl Outer {
    async fn begin(&self, myself: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        let (_, _, handle) = self.cluster.spawn_linked(None, myself.get_cell()).await?;
        self.children.send(Child::Started(handle))?;
        Ok(())
    }
}

#[ractor::actor(message = (), state = (), arguments = ())]
impl Outer {
    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        self.begin(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
            SupervisionEvent::ActorFailed(_, error) => {
                let error = error.downcast::<ClusterError>().expect("a typed reason");
                self.children.send(Child::Failed(*error))?;
                self.begin(&myself).await?;
            }
            SupervisionEvent::ActorTerminated(..) => {
                self.children.send(Child::Done)?;
                if self.significant {
                    myself.stop(None);
                }
            }
        }
        Ok(())
    }
}

async fn outer(cluster: &Cluster, significant: bool) -> (ActorRef<()>, mpsc::UnboundedReceiver<Child>) {
    let (children, heard) = mpsc::unbounded_channel();
    let outer = Outer { cluster: cluster.clone(), significant, children };
    let (outer, _) = Actor::spawn(None, outer, ()).await.expect("it starts");
    (outer, heard)
}

/// The next cluster that is started, when all of it are ready.
async fn ready(heard: &mut mpsc::UnboundedReceiver<Child>) -> ClusterHandle {
    let Some(Child::Started(handle)) = heard.recv().await else { panic!("no cluster is started") };
    handle.ready().await.expect("all come up");
    handle
}

async fn tripped() {
    let (outer, mut heard) = outer(&plans().touchy, false).await;
    let first = ready(&mut heard).await;
    assert_eq!(first.scale(Role::WORKER, 3).await, Conclusion::Done);
    let members = Held::members(&first);
    assert_eq!(members.count(), 3);
    members.kill();
    let failed = heard.recv().await.expect("the supervisor lives");
    assert!(matches!(&failed, Child::Failed(ClusterError::GaveUp { .. })), "{failed:?}");
    members.expect_gone();
    // What was in the plan has returned, and what was added has not.
    let second = ready(&mut heard).await;
    let ids: Vec<String> = second.status().members.iter().map(|member| member.id.to_string()).collect();
    assert_eq!(ids, ["worker/0#1"]);
    assert_eq!(second.shutdown().await, Ok(()));
    assert!(matches!(heard.recv().await, Some(Child::Done)));
    outer.stop_and_wait(None, None).await.expect("it ends");
}

/// The worker that the plan is about has done what it was for.
async fn is_done(heard: &mut mpsc::UnboundedReceiver<Child>) {
    let handle = ready(heard).await;
    let members = Held::members(&handle);
    handle.messenger().to(Slot::worker(0), "done", &()).await.expect("it is there");
    let done = heard.recv().await.expect("the supervisor lives");
    assert!(matches!(&done, Child::Done), "{done:?}");
    members.expect_gone();
    assert_eq!(handle.wait().await, Ok(()), "no failure");
}

async fn significant() {
    let (outer, mut heard) = outer(&plans().errand, true).await;
    is_done(&mut heard).await;
    outer.get_cell().wait(None).await.expect("it ends");
    assert_eq!(outer.get_status(), ActorStatus::Stopped);
}

async fn insignificant() {
    let (outer, mut heard) = outer(&plans().errand, false).await;
    is_done(&mut heard).await;
    assert_eq!(outer.get_status(), ActorStatus::Running);
    assert!(heard.try_recv().is_err(), "and nobody is started again");
    outer.stop_and_wait(None, None).await.expect("it ends");
}
