//! How far a cluster is, for those who look.

use std::fmt;

/// How far a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterStage {
    /// Not all members have been ready at once.
    Starting,
    /// They have. Some may be restarting: the roster tells.
    Ready,
    /// It is on its way out: it was asked to stop, or has given up.
    Stopping,
    /// Nobody is left.
    Ended,
}

impl fmt::Display for ClusterStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClusterStage::Starting => "starting",
            ClusterStage::Ready => "ready",
            ClusterStage::Stopping => "stopping",
            ClusterStage::Ended => "ended",
        })
    }
}
