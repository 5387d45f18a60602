//! Why a cluster was not even begun.

use std::io;

use crate::process::BindError;

/// Why a cluster could not be started. Nothing has been bound or started that was not undone.
///
/// What goes wrong later, in a member that does not come up, is told by [`ClusterHandle::ready`](super::ClusterHandle::ready).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address of the plan cannot be bound.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// This process ignores SIGCHLD, or was started with it ignored.
    #[error(
        "SIGCHLD is ignored in this process, so that the kernel throws away how its children end: set it back to its \
         default before the cluster is started (`nohup` and some shells ignore it for what they start)"
    )]
    ChildrenIgnored,
    /// The operating system refused something.
    #[error("{0}: {1}")]
    Os(&'static str, #[source] io::Error),
    /// The actor could not be spawned: its name is taken, or its supervisor is ending.
    #[error("the actor of the cluster could not be spawned: {0}")]
    Actor(#[source] ractor::SpawnErr),
}

impl StartError {
    pub(super) fn os(step: &'static str) -> impl Fn(io::Error) -> StartError {
        move |error| StartError::Os(step, error)
    }
}
