//! What follows when a process ends, loses its link, or has had its time.

use std::time::Duration;

use super::action::{Action, Actions, Cause, Decision, Verdict};
use super::answer::{Directive, Scope};
use super::fact::{BootFailure, Exit, ExitStatus, Fact, LinkError};
use super::moment::Moment;
use super::operation::OperationId;
use super::restart_type::RestartType;
use super::seat::{Departure, Errand, Killing, Place, Seat, Task};
use super::supervisor::{At, Supervisor};
use crate::identity::MemberId;

/// A process whose link is gone is usually on its way out: the news of its exit follows within a millisecond. One
/// that has closed its link and lives on, without having been told to leave, is out of reach.
const LINK_GRACE: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn link_lost(&mut self, id: MemberId, error: LinkError, now: Moment, out: &mut Actions) {
        let Some(at) = self.find(id.slot()) else { return };
        // One who breaks the protocol is not asked to leave: whatever it still does may be part of it.
        let hostile = matches!(error, LinkError::Protocol(_));
        let place = &mut self.roles[at.0].places[at.1];
        if let Some(departure) = place.outgoing.iter_mut().find(|d| d.incarnation == id.incarnation()) {
            // It is on its way out, and may close its link before it has done all that it does at the end.
            if hostile && departure.kill(Killing::Broke(error), now) {
                out.push(Action::Kill(id));
            }
            self.reindex(at);
            return;
        }
        let ready_for = match &mut place.seat {
            Seat::Starting { incarnation, .. } if *incarnation == id.incarnation() => None,
            Seat::Ready { incarnation, since } if *incarnation == id.incarnation() => Some(now - *since),
            Seat::Leaving { departure, .. } if departure.incarnation == id.incarnation() => {
                if hostile && departure.kill(Killing::Broke(error), now) {
                    out.push(Action::Kill(id));
                }
                self.reindex(at);
                return;
            }
            // The seat has moved on.
            Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => return,
        };
        let departure = match hostile {
            true => {
                out.push(Action::Kill(id));
                Departure::killed(id.incarnation(), Killing::Deserved, now)
            }
            false => Departure::asked(id.incarnation(), LINK_GRACE, now),
        };
        self.set_seat(at, Seat::Leaving { departure, ready_for, errand: Errand::LinkLost(error) }, now);
    }

    pub(super) fn exited(&mut self, id: MemberId, exit: Exit, now: Moment, out: &mut Actions) {
        // Nobody waited for it any more, and it has gone after all.
        self.leftovers.retain(|leftover| *leftover != id);
        let Some(at) = self.find(id.slot()) else { return };
        let stopping = self.phase.is_stopping();
        let place = &mut self.roles[at.0].places[at.1];
        if place.outgoing.iter().any(|departure| departure.incarnation == id.incarnation())
            && let Some(departure) = self.change(at, now, |place| place.take_outgoing(id.incarnation()))
        {
            let decision = match self.roles[at.0].places[at.1].last {
                _ if stopping => Decision::Stopping,
                last if last > Some(id.incarnation()) => Decision::AlreadyReplaced,
                _ => Decision::AlreadyDecided,
            };
            out.record(id, departure.cause(exit), decision);
            self.made_way(at, now, out);
            return;
        }
        let place = &self.roles[at.0].places[at.1];
        let (cause, ready_for, restart) = match &place.seat {
            Seat::Starting { incarnation, .. } if *incarnation == id.incarnation() => {
                (Cause::BootFailed(BootFailure::Ended(exit)), None, None)
            }
            Seat::Ready { incarnation, since } if *incarnation == id.incarnation() => {
                (Cause::Exited(exit), Some(now - *since), None)
            }
            Seat::Leaving { departure, ready_for, errand } if departure.incarnation == id.incarnation() => {
                let restart = match errand {
                    Errand::Restart(after) => Some(*after),
                    Errand::Stop
                    | Errand::BootTimeout(_)
                    | Errand::BootException
                    | Errand::LinkLost(_)
                    | Errand::Group
                    | Errand::Operator(_) => None,
                };
                (told(errand, departure, *ready_for, exit), *ready_for, restart)
            }
            // Heard before.
            Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => return,
        };
        if stopping {
            out.record(id, cause, Decision::Stopping);
            self.vacate(at, now, out);
        } else if self.phase.is_booting() && restart.is_none() {
            out.record(id, cause.clone(), Decision::StartFailed);
            self.vacate(at, now, out);
            self.begin_stop(Verdict::StartFailed(id, cause), now, out);
        } else if let Some(operation) = place.unwanted_by() {
            out.record(id, cause, Decision::Operated(operation));
            self.set_aside(at, now, out);
            self.attend(at, now, out);
        } else if let Some(first) = self.goes_along(at) {
            let is_asked_for = place.task.is_some() || place.scaled;
            out.record(id, cause, Decision::Regrouped(first));
            match self.roles[at.0].restart_type {
                Some(RestartType::Temporary) if !is_asked_for => self.vacate(at, now, out),
                Some(RestartType::Temporary | RestartType::Transient | RestartType::Permanent) | None => {
                    self.set_seat(at, Seat::Unstarted, now);
                }
            }
        } else if let Some(operation) = recalled(place, id) {
            out.record(id, cause, Decision::Operated(operation));
            self.start(at, now, out);
        } else {
            let directive = match (restart, &cause) {
                // Decided when it was told to go.
                (Some(after), _) => Directive::Restart { scope: Scope::One, after },
                (None, Cause::BootFailed(failure)) => self.judge(at, &Fact::BootFailed(failure), ready_for, now),
                (None, Cause::LinkLost(error, _)) => self.judge(at, &Fact::LinkLost(error), ready_for, now),
                (
                    None,
                    Cause::Exited(exit)
                    | Cause::Left(exit)
                    | Cause::Overdue(_, exit)
                    | Cause::Hurried(exit)
                    | Cause::Displaced(exit),
                ) => self.judge(at, &Fact::Exited(exit), ready_for, now),
                (None, Cause::Exception(_) | Cause::Unresponsive(_) | Cause::NobodyReady(_)) => {
                    unreachable!("an end has none of these causes")
                }
            };
            let decision = Decision::Strategy(directive.clone());
            let was_not_ready = ready_for.is_none().then(|| cause.clone());
            out.record(id, cause, decision);
            self.follow_exit(at, id, directive, now, out);
            if let Some(cause) = was_not_ready {
                self.will_not_be_ready(at, id, &cause, now, out);
            }
        }
    }

    /// Carries out `directive` about a seat whose process, `id`, is gone.
    fn follow_exit(&mut self, at: At, id: MemberId, directive: Directive, now: Moment, out: &mut Actions) {
        match directive {
            Directive::Ignore | Directive::Remove => self.vacate(at, now, out),
            Directive::Restart { scope: Scope::One, after } if !after.is_zero() => {
                self.roles[at.0].places[at.1].parked = 0;
                self.set_seat(at, Seat::Waiting { restart_at: now + after }, now);
            }
            Directive::Restart { scope: Scope::One, .. } | Directive::Replace { .. } => {
                self.roles[at.0].places[at.1].parked = 0;
                self.start(at, now, out);
            }
            Directive::Restart { scope: scope @ (Scope::Rest | Scope::Role | Scope::All), after } => {
                self.roles[at.0].places[at.1].parked = 0;
                self.set_seat(at, Seat::Unstarted, now);
                self.begin_regroup(at, scope, id, now + after, now, out);
            }
            Directive::Park { probe } => self.park(at, probe, now, out),
            Directive::Shutdown => {
                self.vacate(at, now, out);
                self.begin_stop(Verdict::Completed(id), now, out);
            }
            Directive::Escalate(reason) => {
                self.vacate(at, now, out);
                self.begin_stop(Verdict::GaveUp(reason), now, out);
            }
        }
    }

    /// Something about a place is due: a boot that took too long, a departure, a restart.
    pub(super) fn overdue(&mut self, at: At, now: Moment, out: &mut Actions) {
        let mut abandoned = Vec::new();
        let place = &mut self.roles[at.0].places[at.1];
        let slot = place.slot;
        for departure in place.outgoing.iter_mut().filter(|departure| departure.is_due(now)) {
            match departure.kill(Killing::Deserved, now) {
                true => out.push(Action::Kill(slot.member(departure.incarnation))),
                false => abandoned.push(departure.incarnation),
            }
        }
        // It may be that only one beside it is.
        if place.seat.is_due(now) {
            match &mut place.seat {
                Seat::Starting { incarnation, .. } => {
                    let id = slot.member(*incarnation);
                    out.push(Action::Kill(id));
                    let departure = Departure::killed(id.incarnation(), Killing::Deserved, now);
                    let errand = Errand::BootTimeout(self.roles[at.0].plan.ready_timeout);
                    self.set_seat(at, Seat::Leaving { departure, ready_for: None, errand }, now);
                }
                Seat::Leaving { departure, .. } => match departure.kill(Killing::Deserved, now) {
                    true => out.push(Action::Kill(slot.member(departure.incarnation))),
                    false => abandoned.push(departure.incarnation),
                },
                Seat::Waiting { .. } | Seat::Parked { .. } => self.start(at, now, out),
                Seat::Unstarted | Seat::Ready { .. } | Seat::Vacant | Seat::Stopped | Seat::Closed => {
                    unreachable!("nothing in it is ever due")
                }
            }
        }
        self.reindex(at);
        for incarnation in abandoned {
            let id = slot.member(incarnation);
            out.push(Action::Abandon(id));
            self.exited(id, Exit::new(ExitStatus::Unkillable), now, out);
            self.leftovers.push(id);
        }
    }
}

/// Who has asked that the place be started again when this one has gone, if anybody.
fn recalled(place: &Place, id: MemberId) -> Option<OperationId> {
    match (&place.seat, place.task) {
        (_, Some(Task::Restart { id: operation, later_than })) if Some(id.incarnation()) <= later_than => {
            Some(operation)
        }
        // Whoever asked for it has been superseded by one who wants the slot to stay.
        (Seat::Leaving { errand: Errand::Operator(operation), .. }, _) => Some(*operation),
        (
            Seat::Unstarted
            | Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed,
            _,
        ) => None,
    }
}

/// The end of one who was told to go, as what it was.
fn told(errand: &Errand, departure: &Departure, ready_for: Option<Duration>, exit: Exit) -> Cause {
    let was_killed = !departure.is_asked();
    match errand {
        Errand::Stop | Errand::Restart(_) | Errand::Group | Errand::Operator(_) => departure.cause(exit),
        Errand::BootTimeout(allowed) => Cause::BootFailed(BootFailure::TimedOut { allowed: *allowed, exit }),
        Errand::BootException => Cause::BootFailed(BootFailure::Ended(exit)),
        Errand::LinkLost(error) => match (was_killed, ready_for) {
            // Its link went because it went: the usual order of the two reports.
            (false, None) => Cause::BootFailed(BootFailure::Ended(exit)),
            (false, Some(_)) => Cause::Exited(exit),
            (true, None) => Cause::BootFailed(BootFailure::LinkLost { error: error.clone(), exit }),
            (true, Some(_)) => Cause::LinkLost(error.clone(), exit),
        },
    }
}
