//! What follows when a member that is alive reports that something in it went wrong.

use std::time::Duration;

use super::action::{Action, Actions, Cause, Decision, Record, Verdict};
use super::fact::{Exception, ExceptionKind, Fact};
use super::moment::Moment;
use super::seat::{Departure, Errand, Killing, Seat};
use super::strategy::Directive;
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
                out.push(Action::Record(Record {
                    member: id,
                    cause: Cause::Exception(exception),
                    decision: Decision::Stopping,
                }));
                out.push(Action::Stay(id));
            }
            // It says that it cannot do what it is for: nobody would call that a start.
            Seat::Ready { incarnation, .. }
                if incarnation == id.incarnation()
                    && self.phase.is_booting()
                    && exception.kind == ExceptionKind::Returned =>
            {
                let cause = Cause::Exception(exception);
                out.push(Action::Record(Record { member: id, cause: cause.clone(), decision: Decision::StartFailed }));
                self.begin_stop(Verdict::StartFailed(id, cause), now, out);
            }
            Seat::Ready { incarnation, since } if incarnation == id.incarnation() => {
                let directive = self.judge(at, &Fact::Exception(&exception), Some(now - since), now);
                let cause = Cause::Exception(exception);
                let decision = Decision::Strategy(directive.clone());
                out.push(Action::Record(Record { member: id, cause: cause.clone(), decision }));
                self.follow_exception(at, id, now - since, directive, now, out);
                if self.phase.is_booting() && !self.may_become_ready(at) {
                    self.begin_stop(Verdict::StartFailed(id, cause), now, out);
                }
            }
            // From one who is leaving anyway, or whose seat has moved on.
            Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant => {}
        }
    }

    /// Carries out `directive` about the member in the seat, which is ready and alive.
    fn follow_exception(
        &mut self,
        at: At,
        id: MemberId,
        ready_for: Duration,
        directive: Directive,
        now: Moment,
        out: &mut Actions,
    ) {
        let patience = self.roles[at.0].plan.stop_timeout;
        match directive {
            Directive::Ignore => out.push(Action::Stay(id)),
            // Others go on: what is queued at its port is theirs, or its successor's.
            Directive::Restart { after } => {
                out.push(Action::Drain(id, patience));
                let departure = Departure::asked(id.incarnation(), patience, now);
                let (ready_for, errand) = (Some(ready_for), Errand::Restart(after));
                self.set_seat(at, Seat::Leaving { departure, ready_for, errand }, now);
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
            Directive::Escalate(reason) => {
                self.begin_stop(Verdict::GaveUp(reason), now, out);
            }
        }
    }

    /// Moves the member out of its seat: it drains beside it. One that was draining there already has had its time.
    fn see_out(&mut self, at: At, id: MemberId, drain: Duration, now: Moment, out: &mut Actions) {
        let place = &mut self.roles[at.0].places[at.1];
        for earlier in &mut place.outgoing {
            if earlier.kill(Killing::Displaced, now) {
                out.push(Action::Kill(place.slot.member(earlier.incarnation)));
            }
        }
        place.outgoing.push(Departure::asked(id.incarnation(), drain, now));
        self.roles[at.0].processes += 1;
        out.push(Action::Drain(id, drain));
    }

    /// Whether the seat is, or leads to, a ready one: a start that waits for one that does not would wait for ever.
    fn may_become_ready(&self, at: At) -> bool {
        match self.roles[at.0].places[at.1].seat {
            Seat::Starting { .. } | Seat::Ready { .. } | Seat::Waiting { .. } => true,
            Seat::Leaving { errand: Errand::Restart(_), .. } => true,
            Seat::Leaving { .. } | Seat::Unstarted | Seat::Parked { .. } | Seat::Vacant => false,
        }
    }
}
