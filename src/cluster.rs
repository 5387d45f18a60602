//! A cluster as a value: a plan that can be started, in a program that does other things besides.
//!
//! ```text
//!  Hatchery::enter ─► Cluster ── start ───────► ClusterHandle      its last one gone: all killed
//!                        └────── spawn_linked ─► ClusterActor      in the user's tree: lives and ends with it
//!                                                 └─ Master …      actors/
//!  attend: a task that owns the backend and the sockets, and tells the end when nobody is left
//! ```

mod actor;
mod end;
mod events;
mod handle;
mod launch;
mod slot;
mod stage;
mod start_error;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorCell, ActorRef};
use tokio::task::JoinHandle;

use crate::actors::Blueprint;
use crate::process::signals::ends_are_ignored;
use crate::process::{
    Address, BindError, Bound, Capabilities, Lent, Nursery, Orphans, ProcessBackend, adopt_descendants, clock,
    have_descriptors, random,
};
use crate::supervision::Plan;
use crate::threads::{Program, Threads};

pub use self::actor::ClusterMsg;
pub use self::end::ClusterError;
pub use self::events::{ClusterEvent, ClusterEvents};
pub use self::handle::ClusterHandle;
#[cfg(feature = "control")]
pub(crate) use self::handle::WeakHandle;
pub(crate) use self::launch::{Home, Launch, Logbook, launch};
pub use self::slot::SlotHandle;
pub use self::stage::ClusterStage;
pub use self::start_error::StartError;

/// How many descriptors a master needs for itself, before it starts anybody.
pub(crate) const DESCRIPTORS: usize = 16;

/// A plan that was found good, in the process that is its master. Not running yet.
///
/// Cheap to clone, and not used up by a start: a supervisor that restarts a cluster which gave up starts the same value
/// again. Each start binds the plan's addresses anew.
///
/// Nothing of the process that it is started in is changed: no signal handler, no panic hook. What that process ignores
/// (signals, by a launcher such as `nohup`), its members find ignored, but for those that they need.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) plan: Plan,
    pub(crate) blueprint: Blueprint,
    pub(crate) listeners: Vec<(String, Address)>,
    pub(crate) backlog: i32,
    /// What members leave behind is to be handed to this process.
    pub(crate) adopt: bool,
    /// What members run that are threads. `None`: they are processes.
    pub(crate) program: Option<Arc<Program>>,
    /// Where what members cannot write down themselves is written down.
    pub(crate) logbook: Option<Arc<dyn Logbook>>,
}

/// Sockets that are lent, by name, and what keeps them.
pub(crate) type Sockets = (Vec<(String, Lent)>, Vec<Bound>);

impl Cluster {
    /// What the core is given: the roles with their strategies, for a [replay](crate::supervision::Recording::replay).
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Binds the listeners and starts the cluster in the present tokio runtime. Returns as soon as the first members are
    /// being started: [`ClusterHandle::ready`] waits for the rest.
    ///
    /// The cluster lives as long as somebody holds the handle or a clone of it, and as long as the runtime: when the last
    /// one is dropped, or the runtime is, every process of it is killed. [`ClusterHandle::shutdown`] is the polite way.
    ///
    /// Cancellation: dropped before it resolves, nothing is left bound or running.
    ///
    /// # Errors
    /// [`StartError`]: an address cannot be bound, or this process cannot be a master.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time.
    pub async fn start(&self) -> Result<ClusterHandle, StartError> {
        let (_, _, handle) = self.start_in(Home::Handle).await?;
        Ok(handle)
    }

    /// Starts the cluster as a child of an actor of yours.
    ///
    /// Your supervisor hears `ActorStarted` now, and one end: `ActorTerminated` when the cluster was asked to end,
    /// `ActorFailed` with a [`ClusterError`] (`error.downcast_ref::<ClusterError>()`) when it gave up or failed to start.
    /// What is restarted inside is no event of your tree: see [`ClusterHandle::events`].
    ///
    /// The actor stops in order: `stop`, `stop_and_wait` and `drain` have it stop the members first. ractor *kills* the
    /// children of an actor that ends, without a word to them: a supervisor that wants its cluster to end in order has to
    /// wait for [`ClusterHandle::shutdown`] in its own `post_stop`. Killed, or with a parent that was, the cluster's
    /// processes are killed too; nothing is left. Dropping the handle does nothing here: the tree owns the cluster.
    ///
    /// `name` is registered with ractor for as long as the cluster lives; without one, nothing is.
    ///
    /// Cancellation: dropped before it resolves, nothing is left bound or running.
    ///
    /// # Errors
    /// [`StartError`], also when the name is taken or the supervisor is ending. There is no supervision event then: no
    /// child has been.
    ///
    /// # Panics
    /// Outside of a tokio runtime with IO and time.
    pub async fn spawn_linked(
        &self,
        name: Option<String>,
        supervisor: ActorCell,
    ) -> Result<(ActorRef<ClusterMsg>, JoinHandle<()>, ClusterHandle), StartError> {
        self.start_in(Home::Tree { name, supervisor }).await
    }

    async fn start_in(&self, home: Home) -> Result<(ActorRef<ClusterMsg>, JoinHandle<()>, ClusterHandle), StartError> {
        // These panic where the runtime lacks one of them. Later it would be a task of ours that did.
        drop((tokio::time::sleep(Duration::ZERO), tokio::net::UnixStream::pair()));
        if self.program.is_none() && ends_are_ignored() {
            return Err(StartError::ChildrenIgnored);
        }
        have_descriptors(DESCRIPTORS).map_err(StartError::os("failed to open descriptors"))?;
        let cluster = self.clone();
        // To look up the name of a host takes as long as it takes.
        let bound = tokio::task::spawn_blocking(move || cluster.bind());
        let bound = bound.await.map_err(|error| StartError::Os("failed to bind", std::io::Error::other(error)))?;
        let orphans = if self.adopt { Orphans::Adopted } else { Orphans::Elsewhere };
        let backend = self.backend(orphans, None)?;
        launch(self.launch(bound?, backend)?, home).await
    }

    /// What its members are made of. `stderr` is what they get for theirs, once they are ready; `None`: that of this process.
    pub(crate) fn backend(
        &self,
        orphans: Orphans,
        stderr: Option<OwnedFd>,
    ) -> Result<Arc<dyn ProcessBackend>, StartError> {
        if let Some(program) = &self.program {
            return Ok(Arc::new(Threads::new(program.clone())));
        }
        match orphans {
            Orphans::Ours | Orphans::Adopted => {
                adopt_descendants().map_err(StartError::os("failed to adopt what members leave behind"))?;
            }
            Orphans::Elsewhere => {}
        }
        let nursery = Nursery::start(orphans, stderr).map_err(StartError::os("failed to start the nursery"))?;
        Ok(Arc::new(nursery))
    }

    /// What can be done to its members.
    pub fn capabilities(&self) -> Capabilities {
        match &self.program {
            Some(_) => Capabilities::THREADS,
            None => Capabilities::PROCESSES,
        }
    }

    /// Binds the listeners, in the order of the plan.
    pub(crate) fn bind(&self) -> Result<Sockets, BindError> {
        let (mut lent, mut kept) = (Vec::new(), Vec::new());
        for (name, address) in &self.listeners {
            let bound = Bound::bind(address, self.backlog)?;
            lent.push((name.clone(), bound.lend()));
            kept.push(bound);
        }
        Ok((lent, kept))
    }

    /// What it takes to start it on `backend`.
    pub(crate) fn launch(&self, (lent, kept): Sockets, backend: Arc<dyn ProcessBackend>) -> Result<Launch, StartError> {
        // What grows while one cluster runs is not for the next.
        let directory = Arc::new(self.blueprint.directory.declared());
        let blueprint = Blueprint { listeners: lent, directory, ..self.blueprint.clone() };
        let seed = random().map_err(StartError::os("failed to draw a seed"))?;
        Ok(Launch {
            plan: self.plan.clone(),
            blueprint,
            backend,
            seed,
            observers: Vec::new(),
            logbook: self.logbook.clone(),
            calendar: Arc::new(clock::calendar),
            sockets: kept,
        })
    }
}
