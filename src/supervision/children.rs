//! Who there is, under the names that a user of OTP looks for.

use super::moment::Moment;
use super::restart_type::RestartType;
use super::seat::{Place, Seat};
use super::supervisor::{RoleState, Supervisor};
use crate::identity::{MemberId, Slot};

/// One slot, as [`Supervisor::which_children`] lists it and as a strategy sees its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Child {
    /// The slot.
    pub slot: Slot,
    /// The process in it, one on its way out included. OTP's pid.
    pub member: Option<MemberId>,
    /// Where it stands.
    pub state: ChildState,
    /// When it is started again, where its strategy can say it in a word.
    pub restart_type: Option<RestartType>,
    /// Whether the cluster may end with it.
    pub significant: bool,
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildState {
    /// Its turn to be started has not come.
    Unstarted,
    /// Its process has not said ready.
    Starting,
    /// Its process serves.
    Ready,
    /// Its process is to go, and the slot waits for that.
    Leaving,
    /// Empty until then. OTP's `restarting`.
    Restarting {
        /// When it is started again.
        restart_at: Moment,
    },
    /// Put aside.
    Parked {
        /// When it is tried again. `None`: never by itself.
        probe_at: Option<Moment>,
    },
    /// Empty until an operator says otherwise. OTP's `undefined`, after `terminate_child`.
    Stopped,
    /// Empty for good, as its strategy wanted it. OTP's `undefined`.
    Vacant,
}

/// How many there are. OTP's words, but for its `supervisors`: no member is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildCounts {
    /// Slots, whatever is in them.
    pub specs: usize,
    /// Processes, those on their way out included: during a replacement there are more than slots.
    pub active: usize,
    /// Members that serve.
    pub ready: usize,
    /// Slots that wait to be started again.
    pub restarting: usize,
    /// Slots that were put aside.
    pub parked: usize,
}

impl Child {
    /// A slot in this state, with no process. For tables.
    pub fn new(slot: Slot, state: ChildState) -> Child {
        Child { slot, member: None, state, restart_type: None, significant: false }
    }

    /// The same, of this restart type.
    pub fn restart_type(mut self, restart: RestartType) -> Child {
        self.restart_type = Some(restart);
        self
    }

    /// The same, and significant.
    pub fn significant(mut self) -> Child {
        self.significant = true;
        self
    }

    pub(super) fn of(role: &RoleState, place: &Place) -> Child {
        let (seated, state) = match &place.seat {
            Seat::Unstarted => (None, ChildState::Unstarted),
            Seat::Starting { incarnation, .. } => (Some(*incarnation), ChildState::Starting),
            Seat::Ready { incarnation, .. } => (Some(*incarnation), ChildState::Ready),
            Seat::Leaving { departure, .. } => (Some(departure.incarnation), ChildState::Leaving),
            Seat::Waiting { restart_at } => (None, ChildState::Restarting { restart_at: *restart_at }),
            Seat::Parked { probe_at } => (None, ChildState::Parked { probe_at: *probe_at }),
            // A slot that is scaled away is listed as long as somebody leaves it.
            Seat::Stopped | Seat::Closed => (None, ChildState::Stopped),
            Seat::Vacant => (None, ChildState::Vacant),
        };
        Child {
            slot: place.slot,
            member: seated.map(|incarnation| place.slot.member(incarnation)),
            state,
            restart_type: role.restart_type,
            significant: role.significant,
        }
    }
}

impl Supervisor {
    /// Every slot, in the order of the start. OTP's `which_children`. A walk over all slots: for people, not for every
    /// event.
    pub fn which_children(&self) -> impl Iterator<Item = Child> + '_ {
        self.roles.iter().flat_map(RoleState::children)
    }

    /// How many there are. OTP's `count_children`. A walk over all slots.
    pub fn count_children(&self) -> ChildCounts {
        let mut counts = ChildCounts::default();
        for role in &self.roles {
            counts.active += role.processes;
            counts.ready += role.ready;
            for child in role.children() {
                counts.specs += 1;
                match child.state {
                    ChildState::Restarting { .. } => counts.restarting += 1,
                    ChildState::Parked { .. } => counts.parked += 1,
                    ChildState::Unstarted
                    | ChildState::Starting
                    | ChildState::Ready
                    | ChildState::Leaving
                    | ChildState::Stopped
                    | ChildState::Vacant => {}
                }
            }
        }
        counts
    }
}

impl RoleState {
    /// The slots that it has: those that are scaled away are none.
    pub(super) fn children(&self) -> impl Iterator<Item = Child> + '_ {
        self.places[..self.open].iter().map(|place| Child::of(self, place))
    }
}
