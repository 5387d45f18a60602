//! How long a role may be without anybody of use, until the cluster gives up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Actions, Cause, Decision, Verdict};
use super::answer::{Directive, Reason};
use super::moment::Moment;
use super::phases::Phase;
use super::seat::{Errand, Place, Seat};

use super::supervisor::{At, Due, RoleState, Supervisor};
use super::written;
use crate::identity::{Incarnation, MemberId};

/// Who was ready for less than this and died has served nobody. If every ready set the clock back, a member that dies
/// right after each would keep a cluster alive that does nothing.
const OF_USE: Duration = Duration::from_secs(1);

/// What is left of the patience with a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Patience {
    /// All of it: somebody serves, or nobody is meant to any more.
    Whole,
    /// Nobody has been of use since the last who was. At this moment that has lasted too long.
    Wearing { out_at: Moment },
    /// It has lasted too long. Those who were starting then are waited for: a boot may take longer than the patience. So
    /// are those whose turn in the restart of a group, or of an operator, was still to come. Whoever is started later is
    /// not, or there would always be another.
    Out {
        #[serde(with = "written::members")]
        chances: Vec<MemberId>,
    },
}

impl Supervisor {
    /// Somebody of the role has become ready, has left after having been ready for `ready_for`, or is not replaced.
    pub(super) fn watch_readiness(&mut self, role: usize, ready_for: Option<Duration>, now: Moment) {
        let state = &mut self.roles[role];
        let was_whole = state.patience == Patience::Whole;
        // Done with, as its strategy or an operator wanted it: nobody is missed.
        let is_done = state.off == state.places.len();
        if is_done || ready_for.is_some_and(|ready_for| ready_for >= OF_USE) {
            state.patience = Patience::Whole;
        }
        if state.patience == Patience::Whole && state.ready == 0 && !is_done {
            state.patience = Patience::Wearing { out_at: now + state.plan.give_up_after };
        }
        // The usual case: one of many comes or goes, and nothing was due or is.
        if !was_whole || state.patience != Patience::Whole {
            self.rearm(role);
        }
    }

    /// The patience with a role is at its end. Somebody may be ready by now: should they have been of use when they leave, all
    /// of it is there again.
    pub(super) fn patience_due(&mut self, role: usize) {
        let state = &mut self.roles[role];
        match &state.patience {
            Patience::Wearing { .. } => {
                state.patience = Patience::Out { chances: state.places.iter().filter_map(Place::prospect).collect() };
            }
            Patience::Whole | Patience::Out { .. } => {}
        }
        self.rearm(role);
    }

    fn rearm(&mut self, role: usize) {
        let state = &self.roles[role];
        let due = match &state.patience {
            Patience::Whole | Patience::Out { .. } => None,
            Patience::Wearing { out_at } => Some(*out_at),
        };
        self.deadlines.set(Due::patience(role), due);
    }

    /// A group begins again. Those whose turn was still to come have had their chance: else a role whose group never gets
    /// as far would have one for ever.
    pub(super) fn forgo_chances(&mut self) {
        for role in &mut self.roles {
            let Patience::Out { chances } = &mut role.patience else { continue };
            let places = &role.places;
            chances.retain(|id| {
                let seat = places.get(usize::from(id.slot().index())).map(|place| &place.seat);
                matches!(seat, Some(Seat::Starting { incarnation, .. }) if *incarnation == id.incarnation())
            });
        }
    }

    /// A role with which the patience is out, and of which nobody is left who might be of use.
    pub(super) fn hopeless(&self) -> Option<usize> {
        self.roles.iter().position(|state| state.is_out() && state.ready == 0 && !state.has_chance(None))
    }

    pub(super) fn give_up(&mut self, role: usize, now: Moment, out: &mut Actions) {
        let state = &self.roles[role];
        if let Some(place) = state.places.first() {
            out.record(
                place.slot.member(place.last.unwrap_or(Incarnation::FIRST)),
                Cause::NobodyReady(state.plan.give_up_after),
                Decision::GiveUp,
            );
        }
        let reason = state.nobody_ready();
        self.begin_stop(Verdict::GaveUp(reason), now, out);
    }

    /// `wanted`, unless it would start another one in place of the last who had a chance: then it is to give up.
    pub(super) fn unless_hopeless(&self, at: At, wanted: Directive, ready_for: Option<Duration>) -> Directive {
        let state = &self.roles[at.0];
        let place = &state.places[at.1];
        let others_ready = state.ready - usize::from(place.ready_since().is_some());
        let is_last = state.is_out() && others_ready == 0 && !state.has_chance(Some(place));
        // The moment at which it had been of use may be about to be told.
        let was_of_use = ready_for.is_some_and(|ready_for| ready_for >= OF_USE);
        match wanted {
            Directive::Restart { .. } | Directive::Replace { .. } | Directive::Park { .. }
                if is_last && !was_of_use =>
            {
                Directive::Escalate(state.nobody_ready())
            }
            Directive::Restart { .. }
            | Directive::Replace { .. }
            | Directive::Park { .. }
            | Directive::Ignore
            | Directive::Remove
            | Directive::Shutdown
            | Directive::Escalate(_) => wanted,
        }
    }
}

impl RoleState {
    fn is_out(&self) -> bool {
        match self.patience {
            Patience::Out { .. } => true,
            Patience::Whole | Patience::Wearing { .. } => false,
        }
    }

    /// Whether one of those who were starting when the patience was out still is, `but` the one in this place.
    fn has_chance(&self, but: Option<&Place>) -> bool {
        let Patience::Out { chances } = &self.patience else { return false };
        let is_one = |place: &Place| place.prospect().is_some_and(|id| chances.contains(&id));
        self.places.iter().any(|place| but.is_none_or(|but| but.slot != place.slot) && is_one(place))
    }

    fn nobody_ready(&self) -> Reason {
        Reason::new(format!("no member of role {} has been ready for {:?}", self.plan.role, self.plan.give_up_after))
    }

    /// What must hold of the patience while the cluster runs.
    pub(super) fn check_patience(&self, phase: &Phase) {
        let missed = self.ready == 0 && self.off < self.places.len();
        if *phase == Phase::Running && missed {
            debug_assert_ne!(self.patience, Patience::Whole, "nobody misses the members of role {}", self.plan.role);
        }
    }
}

impl Place {
    /// Who is being started in it, or will be when the turn of its group comes.
    fn prospect(&self) -> Option<MemberId> {
        match &self.seat {
            Seat::Starting { incarnation, .. } => Some(self.slot.member(*incarnation)),
            // Who leaves because the slot is to be empty has no successor to wait for.
            Seat::Leaving { .. } if self.unwanted_by().is_some() => None,
            Seat::Unstarted | Seat::Leaving { errand: Errand::Group | Errand::Operator(_), .. } => {
                Some(self.slot.member(self.next_incarnation()))
            }
            Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => None,
        }
    }
}
