//! From role to role: up when all of one serve, down when all of one are gone.

use std::time::Duration;

use super::super::super::Urgency;
use super::{Empty, Model, Phase, Process, SECOND, Stage, Why};
use crate::identity::{Incarnation, Role, Slot};

impl Model {
    /// As far as the phase allows.
    pub(super) fn move_on(&mut self) {
        match self.phase {
            Phase::Starting => match self.roles.iter().find(|role| !self.all_serve(role.settings.role)) {
                Some(role) => {
                    let unstarted = self.slots_of(role.settings.role).filter(|slot| slot.last == 0).map(|s| s.slot);
                    unstarted.collect::<Vec<_>>().into_iter().for_each(|slot| self.spawn(slot));
                }
                None => {
                    self.phase = Phase::Running;
                    self.say("announce ready");
                }
            },
            Phase::Running => {
                if let Some(role) = self.roles.iter().find(|role| self.is_hopeless(role.settings.role, None)) {
                    let first = &self.slots[&Slot::new(role.settings.role, 0)];
                    let id = first.slot.member(Incarnation::new(first.last.max(1)));
                    self.say(format!("{id}: nobody ready -> give up"));
                    self.begin_stop("gave up");
                    self.move_on();
                }
            }
            Phase::Stopping(why) => match self.living().last() {
                Some(process) => self.tell_to_stop(process.id.role()),
                None => {
                    self.phase = Phase::Over;
                    self.say(format!("finish: {why}, still there: {:?}", self.leftovers));
                }
            },
            Phase::Idle | Phase::Over => {}
        }
    }

    pub(super) fn stop(&mut self, urgency: Urgency) {
        let asked_already = self.is_stopping();
        let same = self.stop_asked.is_some_and(|asked| self.now - asked < Duration::from_millis(200));
        match urgency {
            Urgency::Graceful if asked_already && same => return,
            Urgency::Graceful if !asked_already => {
                self.stop_asked = Some(self.now);
                return self.begin_stop("stopped");
            }
            Urgency::Graceful | Urgency::Quick => self.begin_stop("stopped"),
        }
        for process in self.living() {
            if !matches!(process.stage, Stage::Leaving(_)) {
                self.leave(process.id, Why::Stop, SECOND);
            }
            self.kill(process.id, "hurried");
        }
    }

    /// From here on nobody is started.
    pub(super) fn begin_stop(&mut self, why: &'static str) {
        if self.is_stopping() {
            return;
        }
        self.phase = Phase::Stopping(why);
        self.drop_wishes();
        let hoping = self.slots.values().filter(|slot| slot.seat().is_none());
        let hoping = hoping.filter(|slot| matches!(slot.empty, Empty::NotYet | Empty::Until(_))).map(|slot| slot.slot);
        hoping.collect::<Vec<_>>().into_iter().for_each(|slot| self.vacate(slot, Empty::Vacant));
        self.tell_to_stop(self.roles[self.roles.len() - 1].settings.role);
    }

    pub(super) fn tell_to_stop(&mut self, role: Role) {
        let patience = self.settings(role).stop_timeout;
        for Process { id, stage, .. } in self.living().into_iter().filter(|process| process.id.role() == role) {
            match stage {
                Stage::Booting | Stage::Serving(_) => {
                    self.say(format!("terminate {id} {patience:?}"));
                    self.leave(id, Why::Stop, patience);
                }
                Stage::Leaving(_) => self.hurry(id, patience),
            }
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping(_) | Phase::Over)
    }
}
