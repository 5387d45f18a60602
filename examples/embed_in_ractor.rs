//! A tree of actors, with a cluster as one child of it: what happens inside is the cluster's business, its end is a
//! supervision event like any child's.
//!
//! ```console
//! $ cargo run --example embed_in_ractor
//! the supervisor heard: the cluster is a child
//! worker/0#1 is ready, and is killed: that is no event of this tree
//! worker/0#2 is ready
//! the supervisor heard: the cluster gave up: worker/0 threw once too often
//! the supervisor starts it again
//! the supervisor heard: the cluster is a child
//! worker/0#1 is ready, and the supervisor is stopped
//! the supervisor waited for its cluster: stopped in order
//! ```
//!
//! and, on stderr, what the worker panics of. It ends by itself.

use std::process::ExitCode;

use hatchery::supervision::{Directive, Fact, Reason, Scope, from_fn};
use hatchery::{Cluster, ClusterError, ClusterEvent, ClusterHandle, Context, Hatchery, Message, Slot};
// The version that hatchery was built with. `#[hatchery::ractor::actor(crate_path = hatchery::ractor, ..)]` works for those
// who do not have it in their manifest.
use hatchery::ractor::{self, Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

pub(crate) fn main() -> ExitCode {
    // Whoever dies is replaced; whoever throws is too much.
    let strategy = from_fn(|fact, view, _dice| match fact {
        Fact::Exception(_) => Directive::Escalate(Reason::new(format!("{} threw once too often", view.slot))),
        _ => Directive::Restart { scope: Scope::One, after: std::time::Duration::ZERO },
    });
    let plan = Hatchery::new().workers(1, worker).tune("worker", |role| {
        role.strategy(strategy);
    });
    // First of all: a worker is this program started again, and gets no further than here.
    let cluster = match plan.enter() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a machine with threads");
    match runtime.block_on(watch(cluster)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Supervises one cluster, and starts it again when it has given up.
struct Supervisor {
    cluster: Cluster,
    /// Where others find the handle of the present one.
    handles: watch::Sender<Option<ClusterHandle>>,
}

#[ractor::actor(message = (), state = ClusterHandle, arguments = ())]
impl Supervisor {
    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<ClusterHandle, ActorProcessingErr> {
        let (_actor, _join, handle) = self.cluster.spawn_linked(None, myself.get_cell()).await?;
        self.handles.send_replace(Some(handle.clone()));
        Ok(handle)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        handle: &mut ClusterHandle,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorStarted(_) => println!("the supervisor heard: the cluster is a child"),
            // The reason is a value: another supervisor might treat a failed start and giving up differently.
            SupervisionEvent::ActorFailed(_, error) => match error.downcast_ref::<ClusterError>() {
                Some(ClusterError::GaveUp { reason, .. }) => {
                    println!("the supervisor heard: the cluster gave up: {reason}");
                    println!("the supervisor starts it again");
                    let (_, _, again) = self.cluster.spawn_linked(None, myself.get_cell()).await?;
                    self.handles.send_replace(Some(again.clone()));
                    *handle = again;
                }
                Some(_) | None => return Err(error),
            },
            SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    /// ractor kills the children of an actor that ends. Who wants them to end in order waits for that here.
    async fn post_stop(&self, _: ActorRef<()>, handle: &mut ClusterHandle) -> Result<(), ActorProcessingErr> {
        handle.shutdown().await?;
        println!("the supervisor waited for its cluster: stopped in order");
        Ok(())
    }
}

async fn watch(cluster: Cluster) -> hatchery::Result<()> {
    let (handles, mut present) = watch::channel(None);
    let (supervisor, join) = Actor::spawn(None, Supervisor { cluster, handles }, ()).await?;
    let handle = next(&mut present).await?;
    let mut events = handle.events();
    println!("worker/0#1 is ready, and is killed: that is no event of this tree");
    handle.messenger().to(Slot::worker(0), "die", &()).await?;
    while let Some(event) = events.next().await {
        match event {
            ClusterEvent::Ready { member } if member.incarnation().get() == 2 => {
                println!("{member} is ready");
                handle.messenger().to(Slot::worker(0), "throw", &()).await?;
            }
            _ => {}
        }
    }
    next(&mut present).await?;
    println!("worker/0#1 is ready, and the supervisor is stopped");
    supervisor.stop(None);
    join.await?;
    Ok(())
}

/// The next cluster that the supervisor starts, when it is ready.
async fn next(present: &mut watch::Receiver<Option<ClusterHandle>>) -> hatchery::Result<ClusterHandle> {
    loop {
        present.changed().await?;
        let handle = present.borrow_and_update().clone();
        if let Some(handle) = handle {
            handle.ready().await?;
            return Ok(handle);
        }
    }
}

async fn worker(cx: Context) -> hatchery::Result<()> {
    cx.messenger().on("die", |_: Message<()>| async { die() });
    cx.messenger().on("throw", |_: Message<()>| async { throw() });
    cx.ready();
    cx.stopping().await;
    Ok(())
}

fn die() {
    std::process::abort();
}

fn throw() {
    panic!("once too often");
}
