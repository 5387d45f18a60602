//! How long nobody of a role may be of use, until the cluster gives up.

use std::time::Duration;

use super::super::super::Moment;
use super::{Empty, Model, Phase, SECOND, SlotModel, Stage, Why};
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// Nobody of a role serves.
pub(super) struct Missed {
    /// Until when that is borne.
    out_at: Moment,
    /// When it no longer is: whose start is still waited for.
    chances: Option<Vec<MemberId>>,
}

impl Model {
    /// The clock of a role runs from when nobody serves of whom it is wanted.
    pub(super) fn look_for_the_missed(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        for index in 0..self.roles.len() {
            let (role, patience) = (self.roles[index].settings.role, self.roles[index].settings.give_up_after);
            if self.slots_of(role).all(SlotModel::is_off) {
                self.roles[index].missed = None;
            } else if self.serving_longest(role).is_none() {
                let missed = Missed { out_at: self.now + patience, chances: None };
                self.roles[index].missed.get_or_insert(missed);
            }
        }
    }

    /// It does not serve any more. Whoever has been of use for a second sets the clock back.
    pub(super) fn ends_to_serve(&mut self, id: MemberId) {
        let now = self.now;
        if let Stage::Serving(since) = self.process(id).stage {
            self.process(id).served = Some(now - since);
            if Self::was_of_use(Some(now - since)) {
                self.role(id.role()).missed = None;
            }
        }
    }

    pub(super) fn was_of_use(served: Option<Duration>) -> bool {
        served.is_some_and(|served| served >= SECOND)
    }

    pub(super) fn patience_due(&self, role: Role) -> Option<Moment> {
        let state = self.roles.iter().find(|state| state.settings.role == role)?;
        match state.missed.as_ref()? {
            Missed { out_at, chances: None } => Some(*out_at),
            // Whoever comes to be of use later sets the clock back as they leave.
            Missed { chances: Some(_), .. } => None,
        }
    }

    /// Whoever is starting has a last chance.
    pub(super) fn patience_is_out(&mut self, role: Role) {
        let served = self.serving_longest(role).map(|since| self.now - since);
        let chances = self.slots_of(role).filter_map(SlotModel::prospect).collect();
        let state = self.role(role);
        if Self::was_of_use(served) {
            state.missed = None;
        } else if let Some(missed) = &mut state.missed {
            missed.chances.get_or_insert(chances);
        }
    }

    /// Whether patience is out, and nobody is left, `but` the one in this slot, who might be of use.
    pub(super) fn is_hopeless(&self, role: Role, but: Option<Slot>) -> bool {
        let state = self.roles.iter().find(|state| state.settings.role == role);
        let missed = state.and_then(|state| state.missed.as_ref());
        let Some(Missed { chances: Some(chances), .. }) = missed else { return false };
        let may_be = |slot: &SlotModel| {
            slot.serving_since().is_some() || slot.prospect().is_some_and(|id| chances.contains(&id))
        };
        !self.slots_of(role).any(|slot| Some(slot.slot) != but && may_be(slot))
    }

    fn serving_longest(&self, role: Role) -> Option<Moment> {
        self.slots_of(role).filter_map(SlotModel::serving_since).min()
    }
}

impl SlotModel {
    /// Whether nobody is missed in it.
    fn is_off(&self) -> bool {
        match self.seat().map(|process| process.stage) {
            None => matches!(self.empty, Empty::Vacant | Empty::Stopped | Empty::Closed),
            Some(Stage::Leaving(Why::Operator(_))) => true,
            Some(Stage::Leaving(_)) => self.unwanted_by().is_some(),
            Some(Stage::Booting | Stage::Serving(_)) => false,
        }
    }

    /// Who is being started in it, or will be as soon as the one is gone for whom an operator wants another.
    fn prospect(&self) -> Option<MemberId> {
        match self.seat()?.stage {
            Stage::Booting => Some(self.seat()?.id),
            Stage::Leaving(Why::Operator(_)) if self.unwanted_by().is_none() => {
                Some(self.slot.member(Incarnation::new(self.last + 1)))
            }
            Stage::Serving(_) | Stage::Leaving(_) => None,
        }
    }
}
