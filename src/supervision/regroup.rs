//! The restart of a group: those who go along with a failure leave, the last role first; when all are gone they are
//! started again, the first role first.
//!
//! There is one at a time. A failure while it is under way that wants a group, too, makes it larger, and it begins again:
//! whoever is in that other group leaves once more, whoever has been started and is not, stays. So does OTP.

use std::cmp::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Action, Actions};
use super::answer::Scope;
use super::moment::Moment;
use super::seat::{Departure, Errand, Seat};
use super::supervisor::{At, Due, RoleState, Supervisor};
use super::written;
use crate::identity::{Incarnation, MemberId};

/// A group, and how far its restart has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Regroup {
    /// Of each role the first slot that goes along; all behind it do.
    firsts: Vec<Option<usize>>,
    /// With whose failure.
    #[serde(with = "written::member")]
    pub(super) first: MemberId,
    /// Nobody is started before.
    due: Moment,
    stage: Stage,
    /// Of the role that has its turn: processes that are still there, or slots that have still to become ready.
    remaining: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The role at this position is on its way out; those of it behind it are gone.
    Stopping(usize),
    /// All are gone, and it is too early to start them.
    Pausing,
    /// The role at this position is being started; those of it before it are ready.
    Starting(usize),
}

impl Regroup {
    fn covers(&self, at: At) -> bool {
        self.firsts[at.0].is_some_and(|first| at.1 >= first)
    }

    /// The positions of the roles that have somebody in it.
    fn roles(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.firsts.iter().enumerate().filter_map(|(role, first)| first.map(|_| role))
    }

    /// A place has changed: processes and awaited ones, before and after.
    pub(super) fn recount(&mut self, at: At, processes: (usize, usize), awaited: (usize, usize)) {
        let (before, after) = match self.stage {
            Stage::Stopping(role) if role == at.0 && self.covers(at) => processes,
            Stage::Starting(role) if role == at.0 && self.covers(at) => awaited,
            Stage::Stopping(_) | Stage::Starting(_) | Stage::Pausing => return,
        };
        self.remaining = self.remaining + after - before;
    }
}

impl Supervisor {
    /// Restarts the group of `scope` around `first`, not before `due`. Whoever failed is in its place as what it is by now:
    /// empty, or on its way out.
    pub(super) fn begin_regroup(
        &mut self,
        at: At,
        scope: Scope,
        first: MemberId,
        due: Moment,
        now: Moment,
        out: &mut Actions,
    ) {
        let mut firsts = self.reach(at, scope);
        let mut latest = due;
        if let Some(under_way) = &self.regroup {
            latest = latest.max(under_way.due);
            let started = match under_way.stage {
                Stage::Stopping(_) | Stage::Pausing => 0,
                Stage::Starting(role) => role + 1,
            };
            for (mine, theirs) in firsts.iter_mut().zip(&under_way.firsts).skip(started) {
                *mine = match (*mine, *theirs) {
                    (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
                    (mine, theirs) => mine.or(theirs),
                };
            }
        }
        if self.regroup.take().is_some() {
            self.forgo_chances();
        }
        for (role, from) in firsts.iter().enumerate() {
            let Some(from) = *from else { continue };
            for index in from..self.roles[role].places.len() {
                match self.roles[role].places[index].seat {
                    // Its restart is that of the group.
                    Seat::Waiting { .. } => self.set_seat((role, index), Seat::Unstarted, now),
                    Seat::Unstarted
                    | Seat::Starting { .. }
                    | Seat::Ready { .. }
                    | Seat::Leaving { .. }
                    | Seat::Parked { .. }
                    | Seat::Vacant
                    | Seat::Stopped
                    | Seat::Closed => {}
                }
            }
        }
        let regroup = Regroup { firsts, first, due: latest, stage: Stage::Pausing, remaining: 0 };
        let last = regroup.roles().next_back();
        self.regroup = Some(regroup);
        if let Some(last) = last {
            self.stop_group_of(last, now, out);
        }
    }

    /// Of each role the first slot that is in `scope` around `at`.
    fn reach(&self, at: At, scope: Scope) -> Vec<Option<usize>> {
        let first = |role: usize| match (scope, role.cmp(&at.0)) {
            (Scope::All, _) | (Scope::Rest, Ordering::Greater) | (Scope::Role, Ordering::Equal) => Some(0),
            (Scope::Rest, Ordering::Equal) => Some(at.1),
            // Of one alone there is no group.
            (Scope::One, _) | (Scope::Rest | Scope::Role, Ordering::Less) | (Scope::Role, Ordering::Greater) => None,
        };
        (0..self.roles.len()).map(first).collect()
    }

    /// Has those of the group leave who are of the role at this position.
    fn stop_group_of(&mut self, role: usize, now: Moment, out: &mut Actions) {
        let Some(regroup) = &mut self.regroup else { return };
        let Some(from) = regroup.firsts[role] else { return };
        let patience = self.roles[role].plan.stop_timeout;
        regroup.stage = Stage::Stopping(role);
        regroup.remaining = self.roles[role].places[from..].iter().map(|place| place.processes().count()).sum();
        for index in (from..self.roles[role].places.len()).rev() {
            let at = (role, index);
            let place = &mut self.roles[role].places[index];
            for departure in &mut place.outgoing {
                departure.hurry(patience, now);
            }
            match &mut place.seat {
                Seat::Starting { incarnation, .. } => {
                    let incarnation = *incarnation;
                    self.ask_to_leave(at, incarnation, None, Errand::Group, now, out);
                }
                Seat::Ready { incarnation, since } => {
                    let (incarnation, ready_for) = (*incarnation, now - *since);
                    self.ask_to_leave(at, incarnation, Some(ready_for), Errand::Group, now, out);
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

    /// Asks a member to leave although the cluster goes on: what is queued at its port is for others, or its successor.
    pub(super) fn ask_to_leave(
        &mut self,
        at: At,
        incarnation: Incarnation,
        ready_for: Option<Duration>,
        errand: Errand,
        now: Moment,
        out: &mut Actions,
    ) {
        let patience = self.roles[at.0].plan.stop_timeout;
        let id = self.roles[at.0].places[at.1].slot.member(incarnation);
        // Also one that has accepted nothing: others serve on, and a stop shuts the socket that all of them share.
        out.push(Action::Drain(id, patience));
        let departure = Departure::asked(incarnation, patience, now);
        self.set_seat(at, Seat::Leaving { departure, ready_for, errand }, now);
    }

    /// Starts those of the group who are of the role at this position.
    fn start_group_of(&mut self, role: usize, now: Moment, out: &mut Actions) {
        let Some(regroup) = &mut self.regroup else { return };
        let Some(from) = regroup.firsts[role] else { return };
        regroup.stage = Stage::Starting(role);
        regroup.remaining = self.roles[role].places[from..].iter().filter(|place| place.is_awaited()).count();
        for index in from..self.roles[role].places.len() {
            if self.roles[role].places[index].seat == Seat::Unstarted {
                self.spawn((role, index), now, out);
            }
        }
    }

    /// Moves the group on by a step. Whether there was one to take.
    pub(super) fn advance_regroup(&mut self, now: Moment, out: &mut Actions) -> bool {
        let Some(regroup) = &mut self.regroup else { return false };
        match regroup.stage {
            Stage::Stopping(_) | Stage::Starting(_) if regroup.remaining > 0 => false,
            Stage::Stopping(role) => {
                let next = regroup.roles().rev().find(|&earlier| earlier < role);
                match next {
                    Some(earlier) => self.stop_group_of(earlier, now, out),
                    None => {
                        regroup.stage = Stage::Pausing;
                        self.deadlines.set(Due::Regroup, Some(regroup.due));
                    }
                }
                true
            }
            Stage::Pausing if regroup.due > now => false,
            Stage::Pausing => {
                self.deadlines.set(Due::Regroup, None);
                let first = regroup.roles().next();
                if let Some(first) = first {
                    self.start_group_of(first, now, out);
                }
                true
            }
            Stage::Starting(role) => {
                let next = regroup.roles().find(|&later| later > role);
                match next {
                    Some(later) => self.start_group_of(later, now, out),
                    None => self.regroup = None,
                }
                true
            }
        }
    }

    /// The stop of the cluster wins.
    pub(super) fn drop_regroup(&mut self) {
        self.regroup = None;
        self.deadlines.set(Due::Regroup, None);
    }

    /// With whom the place goes along, if its turn is to be emptied: now, or when the roles behind it have gone.
    pub(super) fn goes_along(&self, at: At) -> Option<MemberId> {
        let regroup = self.regroup.as_ref().filter(|regroup| regroup.covers(at))?;
        match regroup.stage {
            Stage::Stopping(_) | Stage::Pausing => Some(regroup.first),
            Stage::Starting(_) => None,
        }
    }

    /// Whether the place is empty until its group is started.
    pub(super) fn waits_for_its_group(&self, at: At) -> bool {
        self.regroup.as_ref().filter(|regroup| regroup.covers(at)).is_some_and(|regroup| match regroup.stage {
            Stage::Stopping(_) | Stage::Pausing => true,
            Stage::Starting(role) => at.0 > role,
        })
    }

    /// What must hold of a group.
    pub(super) fn check_regroup(&self) {
        for (position, role) in self.roles.iter().enumerate() {
            for (index, place) in role.places.iter().enumerate() {
                if place.seat == Seat::Unstarted && self.phase == super::phases::Phase::Running {
                    debug_assert!(self.waits_for_its_group((position, index)), "{} waits for nothing", place.slot);
                }
            }
        }
        let Some(regroup) = &self.regroup else { return };
        let covered = |role: usize, count: fn(&RoleState, usize) -> usize| -> usize {
            let from = regroup.firsts[role].unwrap_or(usize::MAX);
            (from..self.roles[role].places.len()).map(|index| count(&self.roles[role], index)).sum()
        };
        let processes = |role: &RoleState, index: usize| role.places[index].processes().count();
        let awaited = |role: &RoleState, index: usize| usize::from(role.places[index].is_awaited());
        let empty_behind = match regroup.stage {
            Stage::Stopping(role) => {
                debug_assert_eq!(
                    regroup.remaining,
                    covered(role, processes),
                    "the count of those who leave has drifted"
                );
                role + 1
            }
            Stage::Pausing => 0,
            Stage::Starting(role) => {
                debug_assert_eq!(regroup.remaining, covered(role, awaited), "the count of the awaited has drifted");
                role + 1
            }
        };
        for role in empty_behind..self.roles.len() {
            debug_assert_eq!(covered(role, processes), 0, "role {} is not gone", self.roles[role].plan.role);
        }
    }
}
