//! What follows when something goes wrong in a member that is alive: it says so, or it says nothing any more.

use std::time::Duration;

use super::action::{Action, Actions, Cause, Decision, Verdict};
use super::answer::{Directive, Scope};
use super::fact::{Exception, ExceptionKind, Fact};
use super::moment::Moment;
use super::seat::{Departure, Errand, Killing, Seat};
use super::supervisor::{At, Supervisor};
use crate::identity::MemberId;

/// A member that failed before it was ready ends itself at once. This is for one that cannot.
const BOOT_EXCEPTION_GRACE: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn exception(&mut self, id: MemberId, exception: Exception, now: Moment, out: &mut Actions) {
        let Some(at) = self.find(id.slot()) else { return };
        match self.roles[at.0].places[at.1].seat {
            Seat::Starting { incarnation, .. } if incarnation == id.incarnation() => {
                let departure = Departure::asked(incarnation, BOOT_EXCEPTION_GRACE, now);
                let errand = Errand::BootException;
                self.set_seat(at, Seat::Leaving { departure, ready_for: None, errand }, now);
            }
            // Its role's turn to stop comes: until then it is needed, and a successor would not be.
            Seat::Ready { incarnation, .. } if incarnation == id.incarnation() && self.phase.is_stopping() => {
                out.record(id, Cause::Exception(exception), Decision::Stopping);
                out.push(Action::Stay(id));
            }
            // It says that it cannot do what it is for: nobody would call that a start.
            Seat::Ready { incarnation, .. }
                if incarnation == id.incarnation()
                    && self.phase.is_booting()
                    && exception.kind == ExceptionKind::Returned =>
            {
                let cause = Cause::Exception(exception);
                out.record(id, cause.clone(), Decision::StartFailed);
                self.begin_stop(Verdict::StartFailed(id, cause), now, out);
            }
            // Nor does it leave before those behind it in its group have.
            Seat::Ready { incarnation, .. } if incarnation == id.incarnation() && self.goes_along(at).is_some() => {
                let first = self.goes_along(at).unwrap_or(id);
                out.record(id, Cause::Exception(exception), Decision::Regrouped(first));
                out.push(Action::Stay(id));
            }
            Seat::Ready { incarnation, since } if incarnation == id.incarnation() => {
                let directive = self.judge(at, &Fact::Exception(&exception), Some(now - since), now);
                self.follow_alive(at, id, Cause::Exception(exception), since, directive, now, out);
            }
            // From one who is leaving anyway, or whose seat has moved on.
            Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => {}
        }
    }

    /// A member has not been heard of for `span`. The strategy is asked while it is there: so it can be left alone, or
    /// replaced before it has gone.
    pub(super) fn unresponsive(&mut self, id: MemberId, span: Duration, now: Moment, out: &mut Actions) {
        let Some(at) = self.find(id.slot()) else { return };
        match self.roles[at.0].places[at.1].seat {
            // It is to go anyway, and has a deadline for that.
            Seat::Ready { .. } if self.phase.is_stopping() || self.goes_along(at).is_some() => {}
            Seat::Ready { incarnation, .. } if incarnation == id.incarnation() && self.phase.is_booting() => {
                let cause = Cause::Unresponsive(span);
                out.record(id, cause.clone(), Decision::StartFailed);
                self.begin_stop(Verdict::StartFailed(id, cause), now, out);
            }
            Seat::Ready { incarnation, since } if incarnation == id.incarnation() => {
                let directive = self.judge(at, &Fact::Unresponsive(span), Some(now - since), now);
                self.follow_alive(at, id, Cause::Unresponsive(span), since, directive, now, out);
            }
            // It has a deadline, or its seat has moved on.
            Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant
            | Seat::Stopped
            | Seat::Closed => {}
        }
    }

    /// Carries out `directive` about the member in the seat, which is ready since then and alive.
    #[expect(clippy::too_many_arguments, reason = "who, what, since when, and what follows")]
    fn follow_alive(
        &mut self,
        at: At,
        id: MemberId,
        cause: Cause,
        since: Moment,
        directive: Directive,
        now: Moment,
        out: &mut Actions,
    ) {
        // A group that has to begin again before all have been ready once has not started, and who has no successor for now
        // would be waited for in vain.
        let is_false_start = self.phase.is_booting()
            && match directive {
                Directive::Restart { scope: Scope::Rest | Scope::Role | Scope::All, .. }
                | Directive::Park { .. }
                | Directive::Remove => true,
                Directive::Restart { scope: Scope::One, .. }
                | Directive::Ignore
                | Directive::Replace { .. }
                | Directive::Shutdown
                | Directive::Escalate(_) => false,
            };
        if is_false_start {
            out.record(id, cause.clone(), Decision::StartFailed);
            return self.begin_stop(Verdict::StartFailed(id, cause), now, out);
        }
        // Nobody is to follow, says the strategy, and an operator wants a new one: wishes come first.
        let wish = self.waiting_restart(at).filter(|_| matches!(directive, Directive::Park { .. } | Directive::Remove));
        if let Some((operation, _)) = wish {
            out.record(id, cause, Decision::Operated(operation));
            return self.begin_restart(at, id, now, out);
        }
        let decision = Decision::Strategy(directive.clone());
        let waits_for_a_word = match cause {
            Cause::Exception(_) => true,
            Cause::Exited(_)
            | Cause::Left(_)
            | Cause::Overdue(..)
            | Cause::Hurried(_)
            | Cause::Displaced(_)
            | Cause::BootFailed(_)
            | Cause::LinkLost(..)
            | Cause::Unresponsive(_)
            | Cause::NobodyReady(_) => false,
        };
        out.record(id, cause, decision);
        let patience = self.roles[at.0].plan.stop_timeout;
        match directive {
            Directive::Ignore if waits_for_a_word => out.push(Action::Stay(id)),
            Directive::Ignore => {}
            Directive::Restart { scope: Scope::One, after } => {
                self.ask_to_leave(at, id.incarnation(), Some(now - since), Errand::Restart(after), now, out);
            }
            Directive::Restart { scope: scope @ (Scope::Rest | Scope::Role | Scope::All), after } => {
                self.ask_to_leave(at, id.incarnation(), Some(now - since), Errand::Group, now, out);
                self.begin_regroup(at, scope, id, now + after, now, out);
            }
            Directive::Replace { drain } => {
                self.see_out(at, id, drain, now, out);
                self.roles[at.0].places[at.1].parked = 0;
                self.spawn(at, now, out);
            }
            Directive::Park { probe } => {
                self.see_out(at, id, patience, now, out);
                self.park(at, probe, now, out);
            }
            Directive::Remove => {
                self.see_out(at, id, patience, now, out);
                self.vacate(at, now, out);
            }
            Directive::Shutdown => self.begin_stop(Verdict::Completed(id), now, out),
            Directive::Escalate(reason) => self.begin_stop(Verdict::GaveUp(reason), now, out),
        }
    }

    /// Moves the member out of its seat: it drains beside it. One that was draining there already has had its time.
    pub(super) fn see_out(&mut self, at: At, id: MemberId, drain: Duration, now: Moment, out: &mut Actions) {
        let place = &mut self.roles[at.0].places[at.1];
        for earlier in &mut place.outgoing {
            if earlier.kill(Killing::Displaced, now) {
                out.push(Action::Kill(place.slot.member(earlier.incarnation)));
            }
        }
        // One more process, for the moment: the seat is about to be another's.
        self.change(at, now, |place| place.outgoing.push(Departure::asked(id.incarnation(), drain, now)));
        out.push(Action::Drain(id, drain));
    }
}
