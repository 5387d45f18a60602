//! What holds a running cluster.

use std::fmt;
#[cfg(feature = "control")]
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::actor::ClusterMsg;
use super::end::ClusterError;
use super::events::{Audience, ClusterEvents};
use super::slot::SlotHandle;
use super::stage::ClusterStage;
use crate::actors::{MasterMsg, SharedBoard, SharedCore};
use crate::bulletin::{Closed, Reader};
use crate::deputy::Deputy;
use crate::identity::{Role, Slot};
use crate::messenger::Messenger;
use crate::roster::{Life, Roster};
#[cfg(feature = "simulation")]
use crate::supervision::Event;
use crate::supervision::{
    Child, ChildCounts, Conclusion, Moment, Operation, OperationError, Plan, Recording, Urgency, Why,
};

/// A running cluster. Cheap to clone; all clones are the same cluster.
///
/// From [`Cluster::start`](super::Cluster::start), it owns the cluster: when the last clone is dropped, every process of
/// it is killed, at once and without a word. (A host that ends in the same breath may be gone before that is done: then
/// the members end as they do when their master dies.) From [`Cluster::spawn_linked`](super::Cluster::spawn_linked), the
/// supervision tree owns it, and dropping a handle does nothing.
///
/// No method needs the runtime that the cluster runs in.
#[derive(Clone)]
pub struct ClusterHandle {
    shared: Arc<Shared>,
}

/// A handle that does not hold the cluster.
#[cfg(feature = "control")]
#[derive(Clone)]
pub(crate) struct WeakHandle {
    shared: Weak<Shared>,
}

#[cfg(feature = "control")]
impl WeakHandle {
    /// `None`: nobody holds it any more, and it was killed.
    pub(crate) fn upgrade(&self) -> Option<ClusterHandle> {
        self.shared.upgrade().map(|shared| ClusterHandle { shared })
    }
}

struct Shared {
    actor: ActorRef<ClusterMsg>,
    owned: bool,
    bell: Arc<Bell>,
    core: Arc<SharedCore>,
    board: Arc<SharedBoard>,
    audience: Audience,
    deputy: Deputy,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.owned {
            self.actor.kill();
        }
    }
}

impl ClusterHandle {
    pub(super) fn new(
        actor: ActorRef<ClusterMsg>,
        owned: bool,
        bell: Arc<Bell>,
        core: Arc<SharedCore>,
        board: Arc<SharedBoard>,
        audience: Audience,
        deputy: Deputy,
    ) -> ClusterHandle {
        ClusterHandle { shared: Arc::new(Shared { actor, owned, bell, core, board, audience, deputy }) }
    }

    /// Waits until every member has been ready at once, for the first time. At once if that has been.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The end of the cluster, when that comes first or has been: [`ClusterError::StartFailed`] with who and why,
    /// [`ClusterError::Stopped`] when it was asked to stop.
    pub async fn ready(&self) -> Result<(), ClusterError> {
        let mut stage = self.shared.audience.stage();
        let reached = stage.wait_for(|stage| !matches!(stage, Stage::Starting)).await;
        match reached {
            // Whoever would have told of the end may have been dropped with the runtime.
            Ok(Stage::Ready) if stage.is_closed() => Err(ClusterError::Killed),
            Ok(Stage::Ready) => Ok(()),
            Ok(Stage::Ended(Err(error))) => Err(error),
            Ok(Stage::Ended(Ok(())) | Stage::Starting) => Err(ClusterError::Stopped),
            Err(_) => Err(ClusterError::Killed),
        }
    }

    /// Who is there and how they are, at this moment. Waits for nobody; after the end, how it was then.
    pub fn status(&self) -> Roster {
        self.shared.board.roster()
    }

    /// The processes that there are at this moment, those that drain included: how long each has been there, and how many
    /// messages have gone over its link. Waits for nobody.
    pub fn lives(&self) -> Vec<Life> {
        self.shared.board.lives()
    }

    /// How far the cluster is. Waits for nobody.
    pub fn stage(&self) -> ClusterStage {
        let stage = self.shared.audience.stage();
        match stage.get() {
            Stage::Ended(_) => ClusterStage::Ended,
            // Whoever would have told of the end may have been dropped with the runtime.
            Stage::Starting | Stage::Ready if stage.is_closed() => ClusterStage::Ended,
            Stage::Starting | Stage::Ready if self.shared.core.lock().supervisor.is_stopping() => {
                ClusterStage::Stopping
            }
            Stage::Starting => ClusterStage::Starting,
            Stage::Ready => ClusterStage::Ready,
        }
    }

    /// What happens from here on. The first stream that is taken of a cluster begins with its start, as far as it is
    /// remembered: see [`ClusterEvents`].
    pub fn events(&self) -> ClusterEvents {
        self.shared.audience.events()
    }

    /// The messenger of the program that embeds the cluster: it sends, calls, answers and listens like any member's, and
    /// members reach it as [`Slot::master`](crate::Slot::master). Its handlers are tasks of the runtime that the cluster
    /// was started in. Always the same one; it does not keep the cluster alive.
    pub fn messenger(&self) -> Messenger {
        self.shared.deputy.messenger()
    }

    /// One slot: the way to the actors that are served there.
    pub fn slot(&self, slot: Slot) -> SlotHandle {
        SlotHandle { slot, messenger: self.messenger() }
    }

    /// Stops the cluster in order: the roles in reverse, each member with its time to finish; then whoever is late is
    /// killed. Returns when nobody is left. Asked again, or by several, it is one stop, and all hear its end.
    ///
    /// Bounded: for each role, one after the other, its `stop_timeout`, and five seconds more where somebody was killed and
    /// does not go; and two seconds at the very end for those.
    /// Cancellation: the stop goes on; ask again, or [`wait`](ClusterHandle::wait), to hear its end.
    ///
    /// # Errors
    /// As [`wait`](ClusterHandle::wait): it had ended, or was ending, otherwise.
    pub async fn shutdown(&self) -> Result<(), ClusterError> {
        self.shared.bell.stop("shutdown");
        self.wait().await
    }

    /// Kills every member, with its descendants, and returns when nobody is left. Also while it stops in order.
    ///
    /// Cancellation: they are killed all the same.
    ///
    /// # Errors
    /// As [`wait`](ClusterHandle::wait).
    pub async fn kill(&self) -> Result<(), ClusterError> {
        self.shared.bell.kill("kill");
        self.wait().await
    }

    /// Waits for the end, however it comes about: then no process of the cluster is left and its addresses are free.
    ///
    /// Cancel-safe. To be waited for by as many as like.
    ///
    /// # Errors
    /// Any end but one that was asked for and left nobody.
    pub async fn wait(&self) -> Result<(), ClusterError> {
        Stage::until_ended(&mut self.shared.audience.stage()).await
    }

    /// Has a role have so many slots from now on. Resolves when the new ones are ready, or those that are too many gone.
    ///
    /// What operations there are, and what happens when two of them meet, is told by [`Operation`]. None counts against a
    /// limit. Cancellation: what was asked for goes on.
    pub async fn scale(&self, role: Role, count: u16) -> Conclusion {
        self.shared.bell.operate(Operation::Scale(role, count)).await
    }

    /// A new process for a slot, without a gap where the role overlaps: see
    /// [`RoleSettings::overlap`](crate::RoleSettings::overlap). An empty slot is started. Resolves when the new process is
    /// ready. While yet another process of the slot drains, after an exception or an earlier restart, it waits for that.
    /// Cancellation: as of [`scale`](ClusterHandle::scale).
    pub async fn restart(&self, slot: Slot) -> Conclusion {
        self.shared.bell.operate(Operation::Restart(slot)).await
    }

    /// Has a slot empty until it is [restarted](ClusterHandle::restart). Resolves when its process has gone.
    /// Cancellation: as of [`scale`](ClusterHandle::scale).
    pub async fn stop(&self, slot: Slot) -> Conclusion {
        self.shared.bell.operate(Operation::Stop(slot)).await
    }

    /// Every slot and where it stands, in the order of the start: OTP's `which_children`. As the next three, it waits for
    /// nobody, and after the end tells how it was then. Its moments are to be compared with [`now`](ClusterHandle::now).
    pub fn which_children(&self) -> Vec<Child> {
        self.shared.core.lock().supervisor.which_children().collect()
    }

    /// How many there are of which kind: OTP's `count_children`.
    pub fn count_children(&self) -> ChildCounts {
        self.shared.core.lock().supervisor.count_children()
    }

    /// Why a slot stands where it does: the last things that happened there, each with what was decided. Written out, it
    /// is what an operator reads. `None`: there is no such slot.
    pub fn why(&self, slot: Slot) -> Option<Why> {
        let core = self.shared.core.lock();
        core.recorder.why(slot, &core.supervisor)
    }

    /// What the core was told and what it decided, as far back as it is remembered, up to the end of the cluster if that
    /// has been: to be read, written down with serde, and [replayed](Recording::replay) with the
    /// [plan](ClusterHandle::plan). A copy of up to some MiB, during which the core decides nothing.
    pub fn recording(&self) -> Recording {
        self.shared.core.lock().recorder.recording()
    }

    /// The plan that it was started with, its strategies included.
    pub fn plan(&self) -> &Plan {
        self.shared.core.plan()
    }

    /// The present as the core counts it, from the start of the master.
    pub fn now(&self) -> Moment {
        self.shared.board.now()
    }

    /// The actor of the cluster, for those who know ractor.
    pub fn actor(&self) -> ActorRef<ClusterMsg> {
        self.shared.actor.clone()
    }

    /// How the master is told a fact again that it has been told before.
    #[cfg(feature = "simulation")]
    pub(crate) fn repeater(&self) -> impl Fn(Event) + Send + Sync + use<> {
        let bell = self.shared.bell.clone();
        move |event| {
            if let Some(master) = bell.master.get() {
                let _ = master.cast(MasterMsg::Fact(event, None));
            }
        }
    }

    /// Whether the master's actor has come round to a message that is sent now. `false`: it has ended. One that is stuck
    /// never says.
    pub(crate) async fn turns(&self) -> bool {
        let (asker, answer) = oneshot::channel();
        let Some(master) = self.shared.bell.master.get() else { return false };
        let _ = master.cast(MasterMsg::Turn(asker));
        answer.await.is_ok()
    }

    /// One that does not hold the cluster.
    #[cfg(feature = "control")]
    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle { shared: Arc::downgrade(&self.shared) }
    }

    /// Passes on a wish of the operator's, as often as it comes: the core knows whether it is the second time.
    pub(crate) fn pass_on(&self, urgency: Urgency, why: &'static str) {
        self.shared.bell.ring(urgency, why);
    }
}

impl fmt::Debug for ClusterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterHandle").field("stage", &self.shared.audience.stage().get()).finish_non_exhaustive()
    }
}

/// How far a cluster is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Starting,
    /// All have been ready.
    Ready,
    /// Nobody is left.
    Ended(Result<(), ClusterError>),
}

impl Stage {
    pub(super) fn end(&self) -> Option<Result<(), ClusterError>> {
        match self {
            Stage::Ended(end) => Some(end.clone()),
            Stage::Starting | Stage::Ready => None,
        }
    }

    pub(super) async fn until_ended(stage: &mut Reader<Stage>) -> Result<(), ClusterError> {
        match stage.wait_for(|stage| stage.end().is_some()).await {
            Ok(stage) => stage.end().unwrap_or(Err(ClusterError::Killed)),
            // Whoever would have told was dropped with the runtime.
            Err(Closed) => Err(ClusterError::Killed),
        }
    }
}

/// How the master is told to stop, by whoever wants it to.
#[derive(Default)]
pub(super) struct Bell {
    master: OnceLock<ActorRef<MasterMsg>>,
    /// Several who ask for a stop mean one. To the core a second one would be a hurry.
    stopped: AtomicBool,
    killed: AtomicBool,
}

impl Bell {
    pub(super) fn hang(&self, master: ActorRef<MasterMsg>) {
        let _ = self.master.set(master);
    }

    pub(super) fn stop(&self, why: &'static str) {
        if !self.stopped.swap(true, Ordering::Relaxed) {
            self.ring(Urgency::Graceful, why);
        }
    }

    pub(super) fn kill(&self, why: &'static str) {
        self.stopped.store(true, Ordering::Relaxed);
        if !self.killed.swap(true, Ordering::Relaxed) {
            self.ring(Urgency::Quick, why);
        }
    }

    /// Passes on what an operator asks for, and hears how it ended.
    async fn operate(&self, operation: Operation) -> Conclusion {
        let (asker, conclusion) = oneshot::channel();
        let Some(master) = self.master.get() else { return Conclusion::Failed(OperationError::NotReadyYet) };
        // A master that has ended, or ends before it has told, stops.
        let _ = master.cast(MasterMsg::Operate(operation, asker));
        conclusion.await.unwrap_or(Conclusion::Failed(OperationError::Stopping))
    }

    /// A master that does not hear has ended.
    fn ring(&self, urgency: Urgency, why: &'static str) {
        if let Some(master) = self.master.get() {
            let _ = master.cast(MasterMsg::Stop(urgency, why));
        }
    }
}
