//! What operators ask for, as the table at [`Operation`] says it.

use super::super::super::{Operation, OperationError, OperationId};
use super::{Empty, Model, Phase, Process, SlotModel, Stage, Task, Why};
use crate::identity::{MemberId, Role, Slot};

impl Model {
    pub(super) fn operate(&mut self, id: OperationId, operation: Operation) {
        let is_open = |slot| self.slots.get(&slot).is_some_and(|slot| slot.closing.is_none());
        let refusal = match (self.phase, operation) {
            (Phase::Idle | Phase::Starting, _) => Some(OperationError::NotReadyYet),
            (Phase::Stopping(_) | Phase::Over, _) => Some(OperationError::Stopping),
            (Phase::Running, Operation::Restart(slot) | Operation::Stop(slot)) if !is_open(slot) => {
                Some(OperationError::NoSuchSlot(slot))
            }
            (Phase::Running, Operation::Restart(slot)) => {
                self.restart(slot, id);
                None
            }
            (Phase::Running, Operation::Stop(slot)) => {
                self.stop_slot(slot, id);
                None
            }
            (Phase::Running, Operation::Scale(role, count)) => self.scale(role, count, id).err(),
        };
        if let Some(refusal) = refusal {
            self.say(format!("{id} failed: {refusal}"));
        }
    }

    fn restart(&mut self, slot: Slot, id: OperationId) {
        let settings = self.settings(slot.role());
        let state = self.slot(slot);
        if state.task.is_some() {
            if let Some(earlier) = state.next.replace(id) {
                self.say(format!("{earlier} superseded by a later operation"));
            }
            return;
        }
        state.task = Some(Task::Restart(id, state.last));
        match state.seat().map(|process| (process.id, process.stage)) {
            None => self.spawn(slot),
            Some((_, Stage::Serving(_))) if settings.overlap => self.resume_restart(slot),
            Some((member, Stage::Booting | Stage::Serving(_))) => {
                self.drain(member, Why::Operator(id), settings.stop_timeout);
            }
            // When it has gone.
            Some((_, Stage::Leaving(_))) => {}
        }
    }

    /// One drains at a time: a restart waits for whoever does so from before.
    pub(super) fn resume_restart(&mut self, slot: Slot) {
        if self.slot(slot).beside().is_empty()
            && let Some((_, member)) = self.slot(slot).waiting_restart()
        {
            self.replace(member);
        }
    }

    pub(super) fn replace(&mut self, member: MemberId) {
        self.see_out(member, self.settings(member.role()).stop_timeout);
        self.spawn(member.slot());
    }

    fn stop_slot(&mut self, slot: Slot, id: OperationId) {
        self.supersede(slot);
        self.slot(slot).task = Some(Task::Stop(id));
        self.scaled_one(slot);
        self.clear(slot, id);
    }

    fn scale(&mut self, role: Role, count: u16, id: OperationId) -> Result<(), OperationError> {
        let settings = self.roles.iter().find(|state| state.settings.role == role).map(|state| state.settings.clone());
        let most = settings.ok_or(OperationError::NoSuchRole(role))?.most;
        if count > most {
            return Err(OperationError::TooMany { role, most });
        }
        if let Some(earlier) = self.role(role).scaling.take() {
            self.say(format!("{earlier} superseded by a later operation"));
        }
        let open = self.slots_of(role).filter(|slot| slot.closing.is_none()).count() as u16;
        for slot in (open..count).map(|index| Slot::new(role, index)) {
            let state = self.slots.entry(slot).or_insert_with(|| SlotModel::new(slot, Empty::Closed));
            (state.scaled, state.closing) = (true, None);
            let (seat, empty) = (state.seat(), state.empty);
            if seat.is_none() {
                if empty == Empty::Closed {
                    self.say(format!("open {slot}"));
                }
                self.spawn(slot);
            }
        }
        for slot in (count..open).rev().map(|index| Slot::new(role, index)) {
            self.supersede(slot);
            let state = self.slot(slot);
            (state.scaled, state.closing) = (true, Some(id));
            self.clear(slot, id);
        }
        self.role(role).scaling = Some(id);
        self.conclude_scaling(role);
        Ok(())
    }

    /// Whoever is in the slot leaves, and nobody follows.
    fn clear(&mut self, slot: Slot, id: OperationId) {
        let patience = self.settings(slot.role()).stop_timeout;
        for Process { id: member, stage, .. } in self.slot(slot).processes.clone() {
            match stage {
                Stage::Booting | Stage::Serving(_) => self.drain(member, Why::Operator(id), patience),
                Stage::Leaving(_) => self.hurry(member, patience),
            }
        }
        let is_set_aside = matches!(self.slot(slot).empty, Empty::Stopped | Empty::Closed);
        if self.slot(slot).seat().is_none() && !is_set_aside {
            self.vacate(slot, Empty::Stopped);
        }
        self.attend(slot);
    }

    /// Nobody may be left in the slot: then that is what somebody wanted.
    pub(super) fn attend(&mut self, slot: Slot) {
        let state = self.slot(slot);
        if !state.processes.is_empty() {
            return;
        }
        if state.closing.is_some() && state.empty != Empty::Closed {
            // Should it come back, it is a new one in all but its number.
            (state.empty, state.parked) = (Empty::Closed, 0);
            state.failures.clear();
            self.say(format!("close {slot}"));
            self.scaled_one(slot);
        }
        if let Some(Task::Stop(id)) = self.slot(slot).task {
            self.finish(slot, id, "done");
        }
    }

    pub(super) fn is_ready(&mut self, member: MemberId) {
        self.scaled_one(member.slot());
        match self.slot(member.slot()).task {
            Some(Task::Restart(id, last)) if member.incarnation().get() > last => {
                self.finish(member.slot(), id, "done")
            }
            Some(Task::Restart(..) | Task::Stop(_)) | None => {}
        }
    }

    /// Who waited for it has failed. Supervision goes on as ever.
    pub(super) fn will_not_be_ready(&mut self, member: MemberId) {
        let failed = format!("failed: {member} did not become ready");
        if self.slot(member.slot()).scaled {
            self.slots.values_mut().filter(|s| s.slot.role() == member.role()).for_each(|slot| slot.scaled = false);
            if let Some(id) = self.role(member.role()).scaling.take() {
                self.say(format!("{id} {failed}"));
            }
        }
        if let Some(Task::Restart(id, _)) = self.slot(member.slot()).task {
            self.finish(member.slot(), id, &failed);
        }
    }

    fn finish(&mut self, slot: Slot, id: OperationId, how: &str) {
        self.say(format!("{id} {how}"));
        self.slot(slot).task = None;
        if let Some(next) = self.slot(slot).next.take() {
            // As if it were asked for now.
            self.look_for_the_missed();
            self.restart(slot, next);
        }
    }

    fn scaled_one(&mut self, slot: Slot) {
        if std::mem::take(&mut self.slot(slot).scaled) {
            self.conclude_scaling(slot.role());
        }
    }

    fn conclude_scaling(&mut self, role: Role) {
        if !self.slots_of(role).any(|slot| slot.scaled)
            && let Some(id) = self.role(role).scaling.take()
        {
            self.say(format!("{id} done"));
        }
    }

    fn supersede(&mut self, slot: Slot) {
        for id in self.slot(slot).take_wishes() {
            self.say(format!("{id} superseded by a later operation"));
        }
    }

    /// The cluster stops, whatever operators wanted.
    pub(super) fn drop_wishes(&mut self) {
        self.slots.values_mut().for_each(|slot| slot.scaled = false);
        let scalings = self.roles.iter_mut().filter_map(|role| role.scaling.take());
        let wishes = self.slots.values_mut().flat_map(SlotModel::take_wishes);
        for id in scalings.chain(wishes).collect::<Vec<_>>() {
            self.say(format!("{id} failed: {}", OperationError::Stopping));
        }
    }
}

impl SlotModel {
    fn take_wishes(&mut self) -> Vec<OperationId> {
        let task = self.task.take().map(|(Task::Restart(id, _) | Task::Stop(id))| id);
        task.into_iter().chain(self.next.take()).collect()
    }

    /// Who wants another one in the place of the one who serves.
    pub(super) fn waiting_restart(&self) -> Option<(OperationId, MemberId)> {
        let seated = self.seat().filter(|process| matches!(process.stage, Stage::Serving(_)))?;
        match self.task {
            Some(Task::Restart(id, last)) if seated.id.incarnation().get() <= last => Some((id, seated.id)),
            Some(Task::Restart(..) | Task::Stop(_)) | None => None,
        }
    }

    /// Who wants nobody in it.
    pub(super) fn unwanted_by(&self) -> Option<OperationId> {
        match (self.closing, self.task) {
            (Some(id), _) | (None, Some(Task::Stop(id))) => Some(id),
            (None, Some(Task::Restart(..)) | None) => None,
        }
    }

    /// Who wants another one in the place of this.
    pub(super) fn recalled_by(&self, process: &Process) -> Option<OperationId> {
        match (self.task, process.stage) {
            (Some(Task::Restart(id, last)), _) if process.id.incarnation().get() <= last => Some(id),
            (_, Stage::Leaving(Why::Operator(id))) => Some(id),
            (
                Some(Task::Restart(..) | Task::Stop(_)) | None,
                Stage::Booting | Stage::Serving(_) | Stage::Leaving(_),
            ) => None,
        }
    }
}
