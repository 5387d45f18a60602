//! What is to run: the roles in their order, and the patience that each is shown.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::one_for_one::OneForOne;
use super::strategy::Strategy;
use crate::identity::{Role, Slot};

/// The roles of a cluster in start order. They are stopped in reverse.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) roles: Vec<RolePlan>,
}

/// One role: how many, how patient, and who decides.
#[derive(Clone)]
pub struct RolePlan {
    /// The role.
    pub role: Role,
    /// How many slots it has.
    pub count: u16,
    /// How many it may be scaled to.
    pub max_count: u16,
    /// Whether an operator's restart starts the successor while the old process drains. Otherwise the old one goes first.
    pub overlap: bool,
    /// How long a member may take to say ready.
    pub ready_timeout: Duration,
    /// How long a member may take to stop when asked to.
    pub stop_timeout: Duration,
    /// Nobody of the role ready for this long, and the cluster gives up. Less than a second of being ready does not
    /// count, and whoever is starting then has a last chance.
    pub give_up_after: Duration,
    /// Who decides what follows a failure.
    pub strategy: Arc<dyn Strategy>,
}

impl Plan {
    /// A plan of these roles, in their own order.
    pub fn new(mut roles: Vec<RolePlan>) -> Plan {
        roles.sort_by_key(|role| role.role);
        Plan { roles }
    }

    /// The roles in start order.
    pub fn roles(&self) -> &[RolePlan] {
        &self.roles
    }
}

impl RolePlan {
    /// A role with the patience that roles have unless told otherwise: 60 s to be ready, 5 s to stop, 60 s without anybody
    /// ready. Its restarts overlap, and it may be scaled to any size.
    pub fn new(role: Role, count: u16, strategy: impl Strategy) -> RolePlan {
        RolePlan {
            role,
            count,
            max_count: u16::MAX,
            overlap: true,
            ready_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
            strategy: Arc::new(strategy),
        }
    }

    /// In place of one that was not written down.
    pub(super) fn unknown() -> RolePlan {
        RolePlan::new(Role::WORKER, 0, OneForOne::worker())
    }

    /// The slots of the role, in order.
    pub fn slots(&self) -> impl DoubleEndedIterator<Item = Slot> + use<> {
        let role = self.role;
        (0..self.count).map(move |index| Slot::new(role, index))
    }
}

impl fmt::Debug for RolePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RolePlan")
            .field("role", &self.role)
            .field("count", &self.count)
            .field("overlap", &self.overlap)
            .field("ready_timeout", &self.ready_timeout)
            .field("stop_timeout", &self.stop_timeout)
            .field("give_up_after", &self.give_up_after)
            .finish_non_exhaustive()
    }
}
