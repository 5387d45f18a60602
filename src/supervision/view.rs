//! What a strategy sees of the cluster when it decides.

use super::children::Child;
use super::history::{Failure, History};
use super::moment::Moment;
use super::restart_type::RestartType;
use super::supervisor::RoleState;
use super::table::Table;
use crate::identity::{Role, Slot};

/// What a strategy sees of the cluster when it decides.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct View<'a> {
    /// The present.
    pub now: Moment,
    /// Whom the fact is about.
    pub slot: Slot,
    /// When its role is restarted, where its strategy can say it in a word.
    pub restart_type: Option<RestartType>,
    /// The fact as it will be remembered, should the answer be anything but [`Directive::Ignore`](super::Directive::Ignore).
    pub failure: Failure,
    /// The failures of this slot before this one.
    pub history: &'a History,
    /// The failures of all slots of the role before this one.
    pub role_history: &'a History,
    /// The failures of all slots of the cluster before this one.
    pub cluster_history: &'a History,
    /// How often in a row this slot has been parked.
    pub parked: usize,
    /// What the strategy said last that it wanted to remember about this slot. 0 in the beginning.
    pub memory: u64,
    pub(super) around: Around<'a>,
}

/// Where the siblings are: in a cluster, or in a table. One of them is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) roles: &'a [RoleState],
    pub(super) table: &'a [Child],
}

impl<'a> View<'a> {
    /// A view for a table test, of a slot that has no past, an hour after the start of the master.
    pub fn table(slot: Slot) -> Table {
        Table::new(slot)
    }

    /// The role of the slot.
    pub fn role(&self) -> Role {
        self.slot.role()
    }

    /// All other slots of the cluster, in the order of the start.
    pub fn siblings(&self) -> impl Iterator<Item = Child> + use<'a> {
        let slot = self.slot;
        let Around { roles, table } = self.around;
        roles.iter().flat_map(RoleState::children).chain(table.iter().copied()).filter(move |child| child.slot != slot)
    }
}
