//! The actor that a cluster is to a ractor tree: it decides nothing, lets the master end in order before it ends itself,
//! and ends as the cluster did.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::oneshot;

use super::events::Herald;
use super::handle::{Bell, Stage};
use super::launch::{Launch, attend};
use crate::actors::{Desk, Master, MasterArguments, SharedBoard, SharedCore};
use crate::bulletin::Reader;
use crate::supervision::Urgency;

/// What the actor of a cluster can be told.
#[derive(Debug)]
pub struct ClusterMsg(pub(super) Told);

#[derive(Debug)]
pub(super) enum Told {
    /// Somebody asks for the end.
    Stop(Urgency),
    /// Whether the actor lives. One that was killed answers no more.
    Alive(RpcReplyPort<()>),
    /// Nobody is left.
    Ended,
}

impl ClusterMsg {
    /// Stop in order, then end. The same as stopping the actor, but that it can be sent later, or by a timer.
    pub fn shutdown() -> ClusterMsg {
        ClusterMsg(Told::Stop(Urgency::Graceful))
    }

    /// Kill every member, then end.
    pub fn kill() -> ClusterMsg {
        ClusterMsg(Told::Stop(Urgency::Quick))
    }
}

pub(super) struct ClusterActor;

/// What the actor is born with.
pub(super) struct ClusterArguments {
    pub(super) launch: Launch,
    pub(super) core: Arc<SharedCore>,
    pub(super) board: Arc<SharedBoard>,
    pub(super) bell: Arc<Bell>,
    pub(super) herald: Herald,
    pub(super) desk: Desk,
}

/// Only what may outlive the actor: whoever supervises it is handed this.
pub(super) struct ClusterState {
    bell: Arc<Bell>,
    stage: Reader<Stage>,
}

#[ractor::actor(message = ClusterMsg, state = ClusterState, arguments = ClusterArguments)]
impl ClusterActor {
    async fn pre_start(
        &self,
        myself: ActorRef<ClusterMsg>,
        arguments: ClusterArguments,
    ) -> Result<ClusterState, ActorProcessingErr> {
        let ClusterArguments { launch, core, board, bell, herald, desk } = arguments;
        // The core has the plan.
        let Launch { plan: _, blueprint, backend, seed, mut observers, sockets, logbook: _, calendar: _ } = launch;
        let clerk = blueprint.clerk.clone();
        let stage = herald.stage();
        observers.push(Arc::new(herald.clone()));
        let (finished, outcome) = oneshot::channel();
        let arguments = MasterArguments {
            core,
            blueprint: Arc::new(blueprint),
            backend: backend.clone(),
            seed,
            board,
            observers,
            desk,
            finished,
        };
        let (master, ended) = Master::spawn_linked(None, Master, arguments, myself.get_cell()).await?;
        bell.hang(master);
        tokio::spawn(attend(ended, outcome, backend, (sockets, clerk), herald, myself));
        Ok(ClusterState { bell, stage })
    }

    async fn handle(
        &self,
        myself: ActorRef<ClusterMsg>,
        message: ClusterMsg,
        state: &mut ClusterState,
    ) -> Result<(), ActorProcessingErr> {
        match message.0 {
            Told::Stop(Urgency::Graceful) => state.bell.stop("the actor of the cluster was asked"),
            Told::Stop(Urgency::Quick) => state.bell.kill("the actor of the cluster was asked"),
            Told::Alive(reply) => drop(reply.send(())),
            Told::Ended => {
                let end = state.stage.get().end();
                return match end {
                    Some(Err(error)) if error.is_failure() => Err(Box::new(error)),
                    Some(_) | None => {
                        myself.stop(None);
                        Ok(())
                    }
                };
            }
        }
        Ok(())
    }

    /// Somebody stops the actor: the members first. The mailbox is closed by now, so the end is heard from the stage.
    async fn post_stop(&self, _: ActorRef<ClusterMsg>, state: &mut ClusterState) -> Result<(), ActorProcessingErr> {
        if state.stage.get().end().is_none() {
            state.bell.stop("the actor of the cluster was stopped");
        }
        match Stage::until_ended(&mut state.stage).await {
            Err(error) if error.is_failure() => Err(Box::new(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The end of the master is told by whoever attends it, when nobody is left.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<ClusterMsg>,
        event: SupervisionEvent,
        _: &mut ClusterState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, error) => tracing::error!(%error, "the actor of the master failed"),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}
