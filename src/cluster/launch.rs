//! From a plan to a running master, whatever its processes are made of.

use std::fmt;
use std::sync::Arc;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorCell, ActorRef};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::actor::{ClusterActor, ClusterArguments, ClusterMsg, Told};
use super::end::ClusterError;
use super::events::Herald;
use super::handle::{Bell, ClusterHandle};
use super::start_error::StartError;
use crate::actors::{Blueprint, Clerk, Observe, SharedBoard, SharedCore};
use crate::deputy::Deputy;
use crate::member::Calendar;
use crate::messenger::Messenger;
use crate::process::{Bound, ProcessBackend};
use crate::supervision::{Outcome, Plan};

/// What a cluster is started with. Nothing here is the operating system's unless `backend` is.
pub(crate) struct Launch {
    pub(crate) plan: Plan,
    pub(crate) blueprint: Blueprint,
    pub(crate) backend: Arc<dyn ProcessBackend>,
    pub(crate) seed: u64,
    /// Those who are told of every step.
    pub(crate) observers: Vec<Arc<dyn Observe>>,
    /// Where what members cannot write down themselves is written down, if anywhere, and when it is.
    pub(crate) logbook: Option<Arc<dyn Logbook>>,
    pub(crate) calendar: Calendar,
    /// Kept until nobody is left: a port is never without a socket while somebody may come back to it.
    pub(crate) sockets: Vec<Bound>,
}

/// What begins a clerk for each cluster that is started.
pub(crate) trait Logbook: Send + Sync + fmt::Debug + 'static {
    /// `nonce`: a number that no other cluster has.
    fn begin(&self, messenger: Messenger, calendar: Calendar, nonce: u64) -> Arc<dyn Clerk>;
}

/// Whose the cluster is.
pub(crate) enum Home {
    /// That of those who hold its handle.
    Handle,
    /// That of an actor.
    Tree { name: Option<String>, supervisor: ActorCell },
}

/// Starts a cluster on the present runtime.
pub(crate) async fn launch(
    mut launch: Launch,
    home: Home,
) -> Result<(ActorRef<ClusterMsg>, JoinHandle<()>, ClusterHandle), StartError> {
    let board = Arc::new(SharedBoard::new(&launch.plan, launch.backend.master_pid()));
    let core = Arc::new(SharedCore::new(launch.plan.clone(), launch.seed));
    let bell = Arc::new(Bell::default());
    let (herald, audience) = Herald::new();
    let Blueprint { directory, limits, .. } = &launch.blueprint;
    let (deputy, desk) = Deputy::new(directory.clone(), *limits, Handle::current());
    let clerk =
        launch.logbook.take().map(|logbook| logbook.begin(deputy.messenger(), launch.calendar.clone(), launch.seed));
    launch.blueprint.clerk = clerk;
    let arguments =
        ClusterArguments { launch, core: core.clone(), board: board.clone(), bell: bell.clone(), herald, desk };
    let owned = matches!(home, Home::Handle);
    let spawned = match home {
        Home::Handle => ClusterActor::spawn(None, ClusterActor, arguments).await,
        Home::Tree { name, supervisor } => ClusterActor::spawn_linked(name, ClusterActor, arguments, supervisor).await,
    };
    let (actor, join) = spawned.map_err(StartError::Actor)?;
    let handle = ClusterHandle::new(actor.clone(), owned, bell, core, board, audience, deputy);
    Ok((actor, join, handle))
}

/// Owns what must outlive the master: however that ends, nobody is left, then the sockets go, then the end is told. A
/// task of its own, since the state of an actor that was killed is in the hands of its supervisor. Dropped with its
/// runtime, it lets go of the backend, which ends what it owns.
pub(super) async fn attend(
    master: JoinHandle<()>,
    mut outcome: oneshot::Receiver<Outcome>,
    backend: Arc<dyn ProcessBackend>,
    (sockets, clerk): (Vec<Bound>, Option<Arc<dyn Clerk>>),
    herald: Herald,
    cluster: ActorRef<ClusterMsg>,
) {
    // Its actor catches its panics.
    let _ = master.await;
    let end = match outcome.try_recv() {
        Ok(outcome) => ClusterError::of(outcome),
        Err(_) => Err(without_verdict(&cluster).await),
    };
    backend.close().await;
    drop(sockets);
    if let Some(clerk) = clerk {
        clerk.conclude().await;
    }
    herald.ended(end);
    // One that is ending has been waiting for that.
    let _ = cluster.cast(ClusterMsg(Told::Ended));
}

/// Why a master has ended that did not say: because all were killed, or by a fault of ours.
async fn without_verdict(cluster: &ActorRef<ClusterMsg>) -> ClusterError {
    match cluster.call(|reply| ClusterMsg(Told::Alive(reply)), None).await {
        Ok(CallResult::Success(())) => ClusterError::internal(),
        Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => ClusterError::Killed,
    }
}
