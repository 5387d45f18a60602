//! What can be wrong with a simulation.

use std::time::Duration;

use crate::cluster::StartError;
use crate::hatchery::PlanError;

/// Why a simulation did not do what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The plan is at fault.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The cluster could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A cluster is running in this world.
    #[error("a cluster is running in this simulation: shut it down before another is started")]
    Running,
    /// It did not come about.
    #[error("not within {0:?} of virtual time")]
    NotWithin(Duration),
    /// Something is left.
    #[error("not quiet: {}", .0.join(", "))]
    NotQuiet(Vec<String>),
}
