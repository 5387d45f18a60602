//! What may be asked.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::maybe_millis;

/// What an operator's command may ask of a cluster that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ControlRequest {
    /// Who is there, and how they are.
    Status,
    /// Why a slot stands where it does.
    Why {
        /// As in `worker/2`.
        slot: String,
    },
    /// How the schedules are.
    Schedules,
    /// A new process for a slot: [`ClusterHandle::restart`](crate::ClusterHandle::restart).
    Restart {
        /// As in `worker/2`.
        slot: String,
    },
    /// A slot is to be empty: [`ClusterHandle::stop`](crate::ClusterHandle::stop).
    StopSlot {
        /// As in `worker/2`.
        slot: String,
    },
    /// So many slots for a role: [`ClusterHandle::scale`](crate::ClusterHandle::scale).
    Scale {
        /// As in `worker`.
        role: String,
        /// How many.
        count: u16,
    },
    /// The cluster is to stop in order: [`ClusterHandle::shutdown`](crate::ClusterHandle::shutdown).
    Stop {
        /// Whoever is left after this long is killed. `None`: each role has its own time, and no more.
        #[serde(default, rename = "timeout_ms", with = "maybe_millis", skip_serializing_if = "Option::is_none")]
        timeout: Option<Duration>,
    },
    /// Every member that keeps files open, to write to them, is to open them anew:
    /// [`Context::on_reopen`](crate::Context::on_reopen).
    Reopen,
}

impl ControlRequest {
    /// Whether it changes anything. Who may ask such a thing is set by [`Admins`](super::Admins); all others are for everybody
    /// who may connect.
    pub fn is_admin(&self) -> bool {
        match self {
            ControlRequest::Status | ControlRequest::Why { .. } | ControlRequest::Schedules => false,
            ControlRequest::Restart { .. }
            | ControlRequest::StopSlot { .. }
            | ControlRequest::Scale { .. }
            | ControlRequest::Stop { .. }
            | ControlRequest::Reopen => true,
        }
    }
}

impl fmt::Display for ControlRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlRequest::Status => f.write_str("status"),
            ControlRequest::Why { slot } => write!(f, "why {slot}"),
            ControlRequest::Schedules => f.write_str("schedules"),
            ControlRequest::Restart { slot } => write!(f, "restart {slot}"),
            ControlRequest::StopSlot { slot } => write!(f, "stop {slot}"),
            ControlRequest::Scale { role, count } => write!(f, "scale {role} to {count}"),
            ControlRequest::Stop { .. } => f.write_str("stop"),
            ControlRequest::Reopen => f.write_str("reopen"),
        }
    }
}
