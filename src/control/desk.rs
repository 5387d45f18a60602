//! From a request to its reply. Knows no socket, and never waits longer than whoever asks.

use std::time::Duration;

use super::operations::{Operations, audit, slot_named};
use super::reply::ControlReply;
use super::request::ControlRequest;
use super::settings::Admins;
use super::survey::Survey;
use crate::cluster::{ClusterHandle, WeakHandle};
use crate::process::peer::Peer;

/// Where an operator's wishes are dealt with.
pub(super) struct Desk {
    /// A socket holds no cluster.
    cluster: WeakHandle,
    admins: Admins,
    survey: Survey,
    pub(super) operations: Operations,
}

impl Desk {
    pub(super) fn new(cluster: &ClusterHandle, admins: Admins) -> Desk {
        Desk { cluster: cluster.downgrade(), admins, survey: Survey::default(), operations: Operations::default() }
    }

    /// Answers within `deadline`, and a breath. Cancellation: what was begun goes on.
    pub(super) async fn answer(&self, request: ControlRequest, peer: Peer, deadline: Duration) -> ControlReply {
        if request.is_admin()
            && let Err(why) = self.admins.admit(peer)
        {
            audit(&request, peer, &format!("denied: {why}"), Duration::ZERO);
            return ControlReply::Denied { why: why.into() };
        }
        let Some(cluster) = self.cluster.upgrade() else {
            return ControlReply::Failed { why: "the cluster has ended".into() };
        };
        match request {
            ControlRequest::Status => ControlReply::Status(self.survey.status(&cluster, deadline).await),
            ControlRequest::Why { slot } => why(&cluster, &slot),
            ControlRequest::Schedules => match self.survey.schedules(&cluster, deadline).await {
                Some(schedules) => ControlReply::Schedules { schedules },
                None => ControlReply::Failed { why: "the agent has not said how its schedules are".into() },
            },
            ControlRequest::Restart { .. }
            | ControlRequest::StopSlot { .. }
            | ControlRequest::Scale { .. }
            | ControlRequest::Stop { .. }
            | ControlRequest::Reopen => self.operations.carry_out(cluster, request, peer, deadline).await,
        }
    }
}

impl Admins {
    fn admit(self, peer: Peer) -> Result<(), &'static str> {
        match self {
            Admins::OwnerAndRoot if peer.is_same_user() || peer.is_root() => Ok(()),
            Admins::Owner if peer.is_same_user() => Ok(()),
            Admins::OwnerAndRoot | Admins::Owner => Err("only the user of the master may change something"),
            Admins::Nobody => Err("nothing can be changed over this socket"),
        }
    }
}

fn why(cluster: &ClusterHandle, name: &str) -> ControlReply {
    let slot = match slot_named(cluster.plan(), name) {
        Ok(slot) => slot,
        Err(why) => return ControlReply::Failed { why },
    };
    match cluster.why(slot) {
        // Its moments count from the start of the master: so that they say something, so does the present.
        Some(why) => ControlReply::Why { text: format!("{why}\n  {} now", cluster.now()) },
        None => ControlReply::Failed { why: format!("there is no slot {slot}") },
    }
}
