//! From boot to finish: role after role up, all ready, role after role down.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Action, Actions, Outcome, Verdict};
use super::moment::Moment;
use super::seat::{Departure, Errand, Killing, Seat};
use super::supervisor::{Due, RoleState, Supervisor};

/// Two stops this close to each other are one wish: `timeout` of the coreutils signals its child and then the group that
/// the child is in, within microseconds. Whoever has seen that nothing happens, and asks again, takes longer.
const SAME_STOP: Duration = Duration::from_millis(200);

/// No step has more moves: of 256 roles, that is all that there are ranks for, each leaves once, comes once and stops once.
const MOVES: usize = 1_024;

/// How far the cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Nobody has been started.
    Idle,
    /// The role at this position is being started; those before it have been ready.
    Booting(usize),
    /// All have been ready at once, and that was told.
    Running,
    /// The role at this position is being stopped; those behind it are gone.
    Stopping(usize, Verdict),
    /// Everyone is gone.
    Finished,
}

impl Phase {
    pub(super) fn is_booting(&self) -> bool {
        match self {
            Phase::Booting(_) => true,
            Phase::Idle | Phase::Running | Phase::Stopping(..) | Phase::Finished => false,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        match self {
            Phase::Stopping(..) | Phase::Finished => true,
            Phase::Idle | Phase::Booting(_) | Phase::Running => false,
        }
    }

    /// What must hold for the role at `position`.
    pub(super) fn check(&self, position: usize, role: &RoleState) {
        match self {
            Phase::Idle | Phase::Finished => {
                debug_assert_eq!(role.processes, 0, "role {} has processes in {self:?}", role.plan.role);
            }
            Phase::Booting(booting) if position > *booting => {
                debug_assert_eq!(role.processes, 0, "role {} is started before its turn", role.plan.role);
            }
            Phase::Stopping(stopping, _) if position > *stopping => {
                debug_assert_eq!(role.processes, 0, "role {} is stopped before its turn", role.plan.role);
            }
            Phase::Booting(_) | Phase::Running | Phase::Stopping(..) => {}
        }
    }
}

impl Supervisor {
    pub(super) fn boot(&mut self, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Booting(0);
                self.start_role(0, now, out);
            }
            Phase::Booting(_) | Phase::Running | Phase::Stopping(..) | Phase::Finished => {}
        }
    }

    pub(super) fn stop(&mut self, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Idle | Phase::Booting(_) | Phase::Running => {
                self.stop_asked = Some(now);
                self.begin_stop(Verdict::Stopped, now, out);
            }
            Phase::Stopping(..) if self.stop_asked.is_some_and(|asked| now - asked < SAME_STOP) => {}
            // Asked twice, or while it was failing anyway: whoever asks is in a hurry.
            Phase::Stopping(..) => self.stop_quick(now, out),
            Phase::Finished => {}
        }
    }

    pub(super) fn stop_quick(&mut self, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Idle | Phase::Booting(_) | Phase::Running => self.begin_stop(Verdict::Stopped, now, out),
            Phase::Stopping(..) => {}
            Phase::Finished => return,
        }
        for role in (0..self.roles.len()).rev() {
            for index in 0..self.roles[role].places.len() {
                self.kill_all((role, index), now, out);
            }
        }
    }

    /// Kills every process of a place.
    fn kill_all(&mut self, at: (usize, usize), now: Moment, out: &mut Actions) {
        let place = &mut self.roles[at.0].places[at.1];
        let slot = place.slot;
        for departure in &mut place.outgoing {
            if departure.kill(Killing::QuickStop, now) {
                out.push(Action::Kill(slot.member(departure.incarnation)));
            }
        }
        match &mut place.seat {
            Seat::Starting { incarnation, .. } | Seat::Ready { incarnation, .. } => {
                let id = slot.member(*incarnation);
                out.push(Action::Kill(id));
                let departure = Departure::killed(id.incarnation(), Killing::QuickStop, now);
                self.set_seat(at, Seat::Leaving { departure, ready_for: None, errand: Errand::Stop }, now);
            }
            Seat::Leaving { departure, .. } => {
                if departure.kill(Killing::QuickStop, now) {
                    out.push(Action::Kill(slot.member(departure.incarnation)));
                }
            }
            Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => {}
        }
        self.reindex(at);
    }

    /// From here on nobody is started. What waits to be is given up, and the last role is asked to stop.
    pub(super) fn begin_stop(&mut self, verdict: Verdict, now: Moment, out: &mut Actions) {
        if self.phase.is_stopping() {
            return;
        }
        self.drop_regroup();
        let last = self.roles.len() - 1;
        self.phase = Phase::Stopping(last, verdict);
        self.drop_operations(now, out);
        for role in 0..self.roles.len() {
            self.deadlines.set(Due::patience(role), None);
            for index in 0..self.roles[role].places.len() {
                match self.roles[role].places[index].seat {
                    Seat::Unstarted | Seat::Waiting { .. } | Seat::Parked { .. } => {
                        self.vacate((role, index), now, out);
                    }
                    Seat::Starting { .. }
                    | Seat::Ready { .. }
                    | Seat::Leaving { .. }
                    | Seat::Vacant
                    | Seat::Stopped
                    | Seat::Closed => {}
                }
            }
        }
        self.stop_role(last, now, out);
    }

    /// Moves on as far as the phase allows.
    pub(super) fn settle(&mut self, now: Moment, out: &mut Actions) {
        for _ in 0..MOVES {
            match &self.phase {
                Phase::Booting(role) => {
                    let role = *role;
                    // Also of those before it: since they were ready, one of them may have had to be replaced.
                    if self.roles[..=role].iter().any(|role| role.ready < role.places.len()) {
                        return;
                    }
                    if role + 1 < self.roles.len() {
                        self.phase = Phase::Booting(role + 1);
                        self.start_role(role + 1, now, out);
                    } else {
                        self.phase = Phase::Running;
                        out.push(Action::AnnounceReady);
                        for role in 0..self.roles.len() {
                            self.watch_readiness(role, None, now);
                        }
                    }
                }
                Phase::Stopping(role, verdict) => {
                    if self.roles[*role].processes > 0 {
                        return;
                    }
                    if let Some(next) = role.checked_sub(1) {
                        self.phase = Phase::Stopping(next, verdict.clone());
                        self.stop_role(next, now, out);
                    } else {
                        let verdict = verdict.clone();
                        let leftovers = std::mem::take(&mut self.leftovers);
                        out.push(Action::Finish(Box::new(Outcome { verdict, leftovers })));
                        self.phase = Phase::Finished;
                    }
                }
                Phase::Running => {
                    if self.advance_regroup(now, out) {
                        continue;
                    }
                    match self.hopeless() {
                        Some(role) => self.give_up(role, now, out),
                        None => return,
                    }
                }
                Phase::Idle | Phase::Finished => return,
            }
        }
        unreachable!("it goes round in a circle: {:?}", self.phase)
    }

    fn start_role(&mut self, role: usize, now: Moment, out: &mut Actions) {
        for index in 0..self.roles[role].places.len() {
            self.spawn((role, index), now, out);
        }
    }

    /// Asks everyone of the role to stop, those who drain already included.
    fn stop_role(&mut self, role: usize, now: Moment, out: &mut Actions) {
        let patience = self.roles[role].plan.stop_timeout;
        for index in 0..self.roles[role].places.len() {
            let at = (role, index);
            let place = &mut self.roles[role].places[index];
            let slot = place.slot;
            for departure in &mut place.outgoing {
                departure.hurry(patience, now);
                out.push(Action::Terminate(slot.member(departure.incarnation), patience));
            }
            match &mut place.seat {
                Seat::Starting { incarnation, .. } => {
                    let incarnation = *incarnation;
                    self.ask_to_stop(at, incarnation, None, now, out);
                }
                Seat::Ready { incarnation, since } => {
                    let (incarnation, ready_for) = (*incarnation, now - *since);
                    self.ask_to_stop(at, incarnation, Some(ready_for), now, out);
                }
                Seat::Leaving { departure, .. } => departure.hurry(patience, now),
                Seat::Unstarted
                | Seat::Waiting { .. }
                | Seat::Parked { .. }
                | Seat::Vacant
                | Seat::Stopped
                | Seat::Closed => {}
            }
            self.reindex(at);
        }
    }

    fn ask_to_stop(
        &mut self,
        at: (usize, usize),
        incarnation: crate::identity::Incarnation,
        ready_for: Option<Duration>,
        now: Moment,
        out: &mut Actions,
    ) {
        let patience = self.roles[at.0].plan.stop_timeout;
        out.push(Action::Terminate(self.roles[at.0].places[at.1].slot.member(incarnation), patience));
        let departure = Departure::asked(incarnation, patience, now);
        self.set_seat(at, Seat::Leaving { departure, ready_for, errand: Errand::Stop }, now);
    }
}
