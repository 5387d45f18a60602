//! What an operator asked for, from the wish to its conclusion. The table of what meets what stands at
//! [`Operation`].

use serde::{Deserialize, Serialize};

use super::action::{Action, Actions, Cause};
use super::history::History;
use super::moment::Moment;
use super::operation::{Conclusion, Operation, OperationError, OperationId};
use super::phases::Phase;
use super::seat::{Errand, Place, Seat, Task};
use super::supervisor::{At, RoleState, Supervisor};
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// The scaling of a role that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scaling {
    id: OperationId,
    /// Slots that have still to become ready, or empty.
    remaining: usize,
}

impl Supervisor {
    pub(super) fn operate(&mut self, id: OperationId, operation: Operation, now: Moment, out: &mut Actions) {
        let refusal = match &self.phase {
            Phase::Idle | Phase::Booting(_) => Some(OperationError::NotReadyYet),
            Phase::Stopping(..) | Phase::Finished => Some(OperationError::Stopping),
            Phase::Running => None,
        };
        let refusal = match (refusal, operation) {
            (Some(refusal), _) => Some(refusal),
            (None, Operation::Scale(role, count)) => self.scale(role, count, id, now, out).err(),
            (None, Operation::Restart(slot)) => match self.find_open(slot) {
                Some(at) => {
                    self.restart(at, id, now, out);
                    None
                }
                None => Some(OperationError::NoSuchSlot(slot)),
            },
            (None, Operation::Stop(slot)) => match self.find_open(slot) {
                Some(at) => {
                    self.stop_slot(at, id, now, out);
                    None
                }
                None => Some(OperationError::NoSuchSlot(slot)),
            },
        };
        if let Some(refusal) = refusal {
            out.push(Action::Conclude(id, Conclusion::Failed(refusal)));
        }
    }

    fn restart(&mut self, at: At, id: OperationId, now: Moment, out: &mut Actions) {
        let place = &mut self.roles[at.0].places[at.1];
        if place.task.is_some() {
            // Behind what is under way. Who asks a thousand times gets two restarts, not a thousand, and not none.
            if let Some(earlier) = place.next.replace(id) {
                out.push(Action::Conclude(earlier, Conclusion::Superseded));
            }
            return;
        }
        let task = Task::Restart { id, later_than: place.last };
        let seat = place.seat.clone();
        self.change(at, now, |place| place.task = Some(task));
        if self.goes_along(at).is_some() {
            // Its group is restarted, and it with it.
            if matches!(seat, Seat::Parked { .. } | Seat::Vacant | Seat::Stopped) {
                self.set_seat(at, Seat::Unstarted, now);
            }
            return;
        }
        match seat {
            Seat::Ready { .. } if self.roles[at.0].plan.overlap => self.resume_restart(at, now, out),
            Seat::Ready { incarnation, since } => {
                self.ask_to_leave(at, incarnation, Some(now - since), Errand::Operator(id), now, out);
            }
            Seat::Starting { incarnation, .. } => {
                self.ask_to_leave(at, incarnation, None, Errand::Operator(id), now, out);
            }
            // When it has gone.
            Seat::Leaving { .. } => {}
            Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => {
                self.start(at, now, out);
            }
        }
    }

    /// Has the member in the seat drain and starts its successor, as the restart under way wants it; unless another one
    /// drains there still. A slot has one that does at a time, and what that one has accepted is not to be lost for a
    /// wish: this is for when it has gone.
    fn resume_restart(&mut self, at: At, now: Moment, out: &mut Actions) {
        if let Some((_, id)) = self.waiting_restart(at)
            && self.roles[at.0].places[at.1].outgoing.is_empty()
        {
            self.begin_restart(at, id, now, out);
        }
    }

    /// The member drains beside its successor, which is started.
    pub(super) fn begin_restart(&mut self, at: At, id: MemberId, now: Moment, out: &mut Actions) {
        self.see_out(at, id, self.roles[at.0].plan.stop_timeout, now, out);
        self.spawn(at, now, out);
    }

    /// The restart that the member in the seat is still to leave for, and that member.
    pub(super) fn waiting_restart(&self, at: At) -> Option<(OperationId, MemberId)> {
        let place = &self.roles[at.0].places[at.1];
        match (place.task, &place.seat) {
            (Some(Task::Restart { id, later_than }), Seat::Ready { incarnation, .. })
                if Some(*incarnation) <= later_than && self.goes_along(at).is_none() =>
            {
                Some((id, place.slot.member(*incarnation)))
            }
            _ => None,
        }
    }

    /// Somebody who drained beside the seat has gone.
    pub(super) fn made_way(&mut self, at: At, now: Moment, out: &mut Actions) {
        self.attend(at, now, out);
        self.resume_restart(at, now, out);
    }

    fn stop_slot(&mut self, at: At, id: OperationId, now: Moment, out: &mut Actions) {
        self.supersede(at, now, out);
        self.change(at, now, |place| place.task = Some(Task::Stop { id }));
        // It will not become ready, as was asked: nobody waits for it.
        self.scaled_one(at, out);
        self.empty(at, id, now, out);
        self.attend(at, now, out);
    }

    /// Has whoever is in the place leave, and nobody follow.
    fn empty(&mut self, at: At, id: OperationId, now: Moment, out: &mut Actions) {
        let patience = self.roles[at.0].plan.stop_timeout;
        let place = &mut self.roles[at.0].places[at.1];
        for departure in &mut place.outgoing {
            departure.hurry(patience, now);
        }
        match &mut place.seat {
            Seat::Starting { incarnation, .. } => {
                let incarnation = *incarnation;
                self.ask_to_leave(at, incarnation, None, Errand::Operator(id), now, out);
            }
            Seat::Ready { incarnation, since } => {
                let (incarnation, ready_for) = (*incarnation, now - *since);
                self.ask_to_leave(at, incarnation, Some(ready_for), Errand::Operator(id), now, out);
            }
            Seat::Leaving { departure, .. } => {
                departure.hurry(patience, now);
                self.reindex(at);
            }
            Seat::Unstarted | Seat::Waiting { .. } | Seat::Parked { .. } | Seat::Vacant => self.set_aside(at, now, out),
            Seat::Stopped | Seat::Closed => self.reindex(at),
        }
    }

    /// The place is empty, as an operator wanted it.
    pub(super) fn set_aside(&mut self, at: At, now: Moment, out: &mut Actions) {
        self.set_seat(at, Seat::Stopped, now);
        out.push(Action::Vacate(self.roles[at.0].places[at.1].slot));
    }

    fn scale(
        &mut self,
        role: Role,
        count: u16,
        id: OperationId,
        now: Moment,
        out: &mut Actions,
    ) -> Result<(), OperationError> {
        let position = self.roles.iter().position(|state| state.plan.role == role);
        let position = position.ok_or(OperationError::NoSuchRole(role))?;
        let state = &mut self.roles[position];
        let most = state.plan.max_count;
        if count > most {
            return Err(OperationError::TooMany { role, most });
        }
        if let Some(earlier) = state.scaling.take() {
            out.push(Action::Conclude(earlier.id, Conclusion::Superseded));
        }
        let (before, after) = (state.open, usize::from(count));
        state.open = after;
        // Until it is counted nobody concludes it.
        state.scaling = Some(Scaling { id, remaining: usize::MAX });
        for index in before..after {
            self.open((position, index), now, out);
        }
        for index in (after..before).rev() {
            self.retire((position, index), id, now, out);
        }
        let scaled = self.roles[position].places.iter().filter(|place| place.scaled).count();
        self.roles[position].scaling = Some(Scaling { id, remaining: scaled });
        self.conclude_scaling(position, out);
        Ok(())
    }

    /// A slot that is new, or comes back.
    fn open(&mut self, at: At, now: Moment, out: &mut Actions) {
        let role = &mut self.roles[at.0];
        let slot = Slot::new(role.plan.role, at.1 as u16);
        if at.1 == role.places.len() {
            let mut place = Place::new(slot);
            place.seat = Seat::Closed;
            role.off += 1;
            role.places.push(place);
        }
        role.places[at.1].scaled = true;
        if role.places[at.1].seat == Seat::Closed {
            out.push(Action::Open(slot));
        }
        self.change(at, now, |place| place.closing = None);
        match &self.roles[at.0].places[at.1].seat {
            // When it has gone.
            Seat::Leaving { .. } => {}
            Seat::Closed | Seat::Stopped => self.start(at, now, out),
            Seat::Unstarted
            | Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant => unreachable!("a slot that was scaled away is empty, or about to be"),
        }
    }

    /// A slot that the role is to have no longer.
    fn retire(&mut self, at: At, id: OperationId, now: Moment, out: &mut Actions) {
        self.supersede(at, now, out);
        self.roles[at.0].places[at.1].scaled = true;
        self.change(at, now, |place| place.closing = Some(id));
        self.empty(at, id, now, out);
        self.attend(at, now, out);
    }

    /// What was asked of the place is no longer of interest.
    fn supersede(&mut self, at: At, now: Moment, out: &mut Actions) {
        let (task, next) = self.change(at, now, |place| (place.task.take(), place.next.take()));
        for id in task.map(Task::id).into_iter().chain(next) {
            out.push(Action::Conclude(id, Conclusion::Superseded));
        }
    }

    /// Concludes what was asked of a place when nobody is left in it.
    pub(super) fn attend(&mut self, at: At, now: Moment, out: &mut Actions) {
        let place = &self.roles[at.0].places[at.1];
        if place.processes().next().is_some() {
            return;
        }
        let (slot, task) = (place.slot, place.task);
        if place.closing.is_some() && place.seat != Seat::Closed {
            self.change(at, now, |place| {
                place.seat = Seat::Closed;
                // Should it come back, it is a new one in all but its number.
                (place.history, place.parked, place.memory) = (History::default(), 0, 0);
            });
            out.push(Action::Close(slot));
            self.scaled_one(at, out);
        }
        if let Some(Task::Stop { id }) = task {
            self.finish_task(at, id, Conclusion::Done, now, out);
        }
    }

    /// Somebody in the place is ready.
    pub(super) fn became_ready(&mut self, at: At, incarnation: Incarnation, now: Moment, out: &mut Actions) {
        self.scaled_one(at, out);
        match self.roles[at.0].places[at.1].task {
            Some(Task::Restart { id, later_than }) if Some(incarnation) > later_than => {
                self.finish_task(at, id, Conclusion::Done, now, out);
            }
            Some(Task::Restart { .. } | Task::Stop { .. }) | None => {}
        }
    }

    /// Somebody whom an operation waited for will not be ready. Supervision goes on as ever, and the operation does not.
    pub(super) fn will_not_be_ready(
        &mut self,
        at: At,
        member: MemberId,
        cause: &Cause,
        now: Moment,
        out: &mut Actions,
    ) {
        let failed = || Conclusion::Failed(OperationError::BootFailed { member, cause: Box::new(cause.clone()) });
        let place = &self.roles[at.0].places[at.1];
        let (task, scaled) = (place.task, place.scaled);
        if scaled {
            let role = &mut self.roles[at.0];
            role.places.iter_mut().for_each(|place| place.scaled = false);
            if let Some(scaling) = role.scaling.take() {
                out.push(Action::Conclude(scaling.id, failed()));
            }
        }
        if let Some(Task::Restart { id, .. }) = task {
            self.finish_task(at, id, failed(), now, out);
        }
    }

    /// The task of a place has come to its end, and the next has its turn.
    fn finish_task(&mut self, at: At, id: OperationId, conclusion: Conclusion, now: Moment, out: &mut Actions) {
        let next = self.change(at, now, |place| {
            place.task = None;
            place.next.take()
        });
        out.push(Action::Conclude(id, conclusion));
        if let Some(next) = next {
            self.restart(at, next, now, out);
        }
    }

    /// The scaling of the role need not wait for this place any more.
    fn scaled_one(&mut self, at: At, out: &mut Actions) {
        let role = &mut self.roles[at.0];
        if std::mem::take(&mut role.places[at.1].scaled)
            && let Some(scaling) = &mut role.scaling
        {
            scaling.remaining -= 1;
            self.conclude_scaling(at.0, out);
        }
    }

    fn conclude_scaling(&mut self, role: usize, out: &mut Actions) {
        if let Some(scaling) = self.roles[role].scaling.take_if(|scaling| scaling.remaining == 0) {
            out.push(Action::Conclude(scaling.id, Conclusion::Done));
        }
    }

    /// The cluster stops, whatever operators wanted.
    pub(super) fn drop_operations(&mut self, now: Moment, out: &mut Actions) {
        let mut dropped = Vec::new();
        for role in 0..self.roles.len() {
            for index in 0..self.roles[role].places.len() {
                self.roles[role].places[index].scaled = false;
                if self.roles[role].places[index].task.is_some() {
                    let (task, next) = self.change((role, index), now, |place| (place.task.take(), place.next.take()));
                    dropped.extend(task.map(Task::id).into_iter().chain(next));
                }
            }
            dropped.extend(self.roles[role].scaling.take().map(|scaling| scaling.id));
        }
        for id in dropped {
            out.push(Action::Conclude(id, Conclusion::Failed(OperationError::Stopping)));
        }
    }
}

impl RoleState {
    /// What must hold of the operations.
    pub(super) fn check_operations(&self, phase: &Phase) {
        let scaled = self.places.iter().filter(|place| place.scaled).count();
        debug_assert_eq!(self.scaling.map_or(0, |scaling| scaling.remaining), scaled, "the scaling waits for others");
        for (index, place) in self.places.iter().enumerate() {
            debug_assert!(
                place.next.is_none() || place.task.is_some(),
                "{} has a restart that waits for nothing",
                place.slot
            );
            debug_assert!(place.task.is_none() || *phase == Phase::Running, "{} has a task in {phase:?}", place.slot);
            debug_assert_eq!(place.closing.is_some(), index >= self.open, "{} is open or closed by halves", place.slot);
        }
    }
}
