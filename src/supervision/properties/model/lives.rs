//! What members say and do, and what is done to them.

use std::time::Duration;

use super::super::super::{ExceptionKind, Exit, ExitStatus, LinkError};
use super::answers::Fate;
use super::{Empty, Model, Phase, Process, SECOND, Stage, Why};
use crate::identity::{Incarnation, MemberId, Slot};

impl Model {
    pub(super) fn ready(&mut self, id: MemberId) {
        let Some(Stage::Booting) = self.stage(id) else { return };
        let (stage, due) = (Stage::Serving(self.now), None);
        *self.process(id) = Process { stage, due, ..*self.process(id) };
        self.say(format!("admit {id}"));
        if self.phase == Phase::Running {
            self.say(format!("resend ready {id}"));
        }
        self.is_ready(id);
    }

    pub(super) fn exception(&mut self, id: MemberId, kind: ExceptionKind) {
        match self.stage(id) {
            // It ends itself, if it can.
            Some(Stage::Booting) => self.leave(id, Why::BootException, SECOND),
            // It is needed until its role's turn comes.
            Some(Stage::Serving(_)) if self.is_stopping() => {
                self.say(format!("{id}: exception -> stopping"));
                self.say(format!("stay {id}"));
            }
            Some(Stage::Serving(_)) if self.phase == Phase::Starting && kind == ExceptionKind::Returned => {
                self.start_failed(id, "exception");
            }
            Some(Stage::Serving(since)) => {
                let served = Some(self.now - since);
                let fate = self.after_exception(id, served);
                self.follow_alive(id, "exception", served, fate);
            }
            Some(Stage::Leaving(_)) | None => {}
        }
    }

    pub(super) fn unresponsive(&mut self, id: MemberId) {
        let Some(Stage::Serving(since)) = self.stage(id) else { return };
        if self.phase == Phase::Starting {
            self.start_failed(id, "unresponsive");
        } else if !self.is_stopping() {
            let served = Some(self.now - since);
            let fate = self.after_end(id, None, served);
            self.follow_alive(id, "unresponsive", served, fate);
        }
    }

    /// It is usually on its way out. Who breaks the protocol is not waited for.
    pub(super) fn link_lost(&mut self, id: MemberId, error: &LinkError) {
        let Some(stage) = self.stage(id) else { return };
        if !matches!(stage, Stage::Leaving(_)) {
            self.leave(id, Why::LinkLost, SECOND);
        }
        if matches!(error, LinkError::Protocol(_)) {
            self.kill(id, "link lost");
        }
    }

    pub(super) fn exited(&mut self, id: MemberId, exit: &Exit) {
        self.leftovers.retain(|leftover| *leftover != id);
        let Some(stage) = self.stage(id) else { return };
        self.ends_to_serve(id);
        let gone = *self.process(id);
        let slot = self.slot(id.slot());
        let has_successor = slot.last > id.incarnation().get();
        slot.processes.retain(|process| process.id != id);
        let (unwanted, recalled) = (slot.unwanted_by(), slot.recalled_by(&gone));
        let cause = gone.cause();
        if let Stage::Leaving(Why::Replaced) = stage {
            let decision = match has_successor {
                _ if self.is_stopping() => "stopping",
                true => "replaced before",
                false => "decided before",
            };
            self.say(format!("{id}: {cause} -> {decision}"));
            self.attend(id.slot());
            self.resume_restart(id.slot());
        } else if self.is_stopping() {
            self.say(format!("{id}: {cause} -> stopping"));
            self.vacate(id.slot(), Empty::Vacant);
        } else if self.phase == Phase::Starting {
            self.vacate(id.slot(), Empty::Vacant);
            self.start_failed(id, cause);
        } else if let Some(operation) = unwanted {
            self.say(format!("{id}: {cause} -> as {operation} asked"));
            self.vacate(id.slot(), Empty::Stopped);
            self.attend(id.slot());
        } else if let Some(operation) = recalled {
            self.say(format!("{id}: {cause} -> as {operation} asked"));
            self.spawn(id.slot());
        } else {
            let fate = match (stage, gone.killed) {
                // Asked, and counted, when it was told to go.
                (Stage::Leaving(Why::Silent(after)), _) => Fate::Restart(after),
                // How we ended it is not how it was.
                (Stage::Leaving(Why::BootTimeout), _) | (Stage::Leaving(Why::LinkLost), Some(_)) => {
                    let fate = self.after_end(id, None, gone.served);
                    self.count(id, gone.served, fate)
                }
                (Stage::Booting | Stage::Serving(_) | Stage::Leaving(_), _) => {
                    let fate = self.after_end(id, Some(&exit.status), gone.served);
                    self.count(id, gone.served, fate)
                }
            };
            self.say(format!("{id}: {cause} -> {fate}"));
            self.follow_end(id, fate);
            if gone.served.is_none() {
                self.will_not_be_ready(id);
            }
        }
    }

    /// It was killed and does not go: nobody waits for it any more.
    pub(super) fn abandon(&mut self, id: MemberId) {
        self.say(format!("abandon {id}"));
        self.exited(id, &Exit::new(ExitStatus::Unkillable));
        self.leftovers.push(id);
    }

    pub(super) fn start_failed(&mut self, id: MemberId, cause: &str) {
        self.say(format!("{id}: {cause} -> the start has failed"));
        self.begin_stop("start failed");
    }

    pub(super) fn spawn(&mut self, slot: Slot) {
        let due = Some(self.now + self.settings(slot.role()).ready_timeout);
        let state = self.slot(slot);
        state.last += 1;
        let id = slot.member(Incarnation::new(state.last));
        state.processes.push(Process { id, stage: Stage::Booting, due, killed: None, served: None });
        self.say(format!("spawn {id}"));
    }

    /// It drains beside the seat, and whoever did so before has had its time.
    pub(super) fn see_out(&mut self, id: MemberId, within: Duration) {
        for earlier in self.slot(id.slot()).beside() {
            self.kill(earlier, "displaced");
        }
        self.drain(id, Why::Replaced, within);
    }

    pub(super) fn drain(&mut self, id: MemberId, why: Why, within: Duration) {
        self.say(format!("drain {id} {within:?}"));
        self.leave(id, why, within);
    }

    pub(super) fn leave(&mut self, id: MemberId, why: Why, within: Duration) {
        self.ends_to_serve(id);
        let (stage, due) = (Stage::Leaving(why), Some(self.now + within));
        *self.process(id) = Process { stage, due, ..*self.process(id) };
    }

    /// It has no longer than this.
    pub(super) fn hurry(&mut self, id: MemberId, within: Duration) {
        let by = self.now + within;
        let process = self.process(id);
        if process.killed.is_none() {
            process.due = process.due.map(|due| due.min(by));
        }
    }

    pub(super) fn kill(&mut self, id: MemberId, word: &'static str) {
        let now = self.now;
        let process = self.process(id);
        if process.killed.is_none() {
            let is_late = process.due.is_some_and(|due| due <= now);
            process.killed = Some(if is_late { "overdue" } else { word });
            process.due = Some(now + 5 * SECOND);
            self.say(format!("kill {id}"));
        }
    }

    pub(super) fn vacate(&mut self, slot: Slot, empty: Empty) {
        self.slot(slot).empty = empty;
        self.say(format!("vacate {slot}"));
    }
}

impl Process {
    /// The word for its end.
    fn cause(&self) -> &'static str {
        match (self.stage, self.served, self.killed) {
            (Stage::Booting | Stage::Leaving(Why::BootException | Why::BootTimeout), ..) => "boot failed",
            (Stage::Leaving(Why::LinkLost), None, _) => "boot failed",
            (Stage::Leaving(Why::LinkLost), Some(_), Some(_)) => "link lost",
            (Stage::Serving(_), ..) | (Stage::Leaving(Why::LinkLost), Some(_), None) => "exited",
            (Stage::Leaving(Why::Replaced | Why::Silent(_) | Why::Operator(_) | Why::Stop), _, killed) => {
                killed.unwrap_or("left")
            }
        }
    }
}
