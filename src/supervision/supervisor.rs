//! The decision core: facts in, actions out, no hands.
//!
//! Keeps the seats and what must hold whatever a [`Strategy`](super::Strategy) answers: at most one process in a slot
//! outside of a replacement, roles started in order and stopped in reverse, stop wins over restart, one decision for
//! every exit. It knows no agent and no worker: a plan is an ordered list of roles. How the phases follow each other
//! stands in [`phases`](super::phases).

use std::time::Duration;

use super::action::{Action, Actions, Cause, Decision, Record, Verdict};
use super::deadlines::Deadlines;
use super::dice::Dice;
use super::event::{Event, Urgency};
use super::fact::{BootFailure, Exception, Exit, ExitStatus, Fact, LinkError};
use super::history::{Failure, History};
use super::moment::Moment;
use super::phases::Phase;
use super::plan::{Plan, RolePlan};
use super::seat::{Departure, Errand, Place, Seat, Stage};
use super::strategy::{Directive, Reason, View};
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// A process whose link is gone is usually on its way out: the news of its exit follows within a millisecond. One
/// that has closed its link and lives on is out of reach.
const LINK_GRACE: Duration = Duration::from_secs(1);

/// A member that failed before it was ready ends itself at once. This is for one that cannot.
const BOOT_EXCEPTION_GRACE: Duration = Duration::from_secs(1);

/// The state of a cluster, and what follows from every fact about it.
#[derive(Clone, Debug)]
pub struct Supervisor {
    pub(super) phase: Phase,
    pub(super) roles: Vec<RoleState>,
    pub(super) deadlines: Deadlines<Due>,
    pub(super) leftovers: Vec<MemberId>,
    dice: Dice,
}

/// What a deadline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Place(Slot),
    NobodyReady(Role),
}

/// A role, its places and how many of them are of which kind.
#[derive(Clone, Debug)]
pub(super) struct RoleState {
    pub(super) plan: RolePlan,
    pub(super) places: Vec<Place>,
    pub(super) ready: usize,
    /// Processes, those on their way out included.
    pub(super) processes: usize,
    history: History,
}

impl Supervisor {
    /// A cluster of which nothing has been started.
    pub fn new(plan: Plan, seed: u64) -> Supervisor {
        let roles = plan.roles.into_iter().map(|plan| RoleState {
            places: plan.slots().map(Place::new).collect(),
            plan,
            ready: 0,
            processes: 0,
            history: History::default(),
        });
        Supervisor {
            phase: Phase::Idle,
            roles: roles.collect(),
            deadlines: Deadlines::default(),
            leftovers: Vec::new(),
            dice: Dice::seeded(seed),
        }
    }

    /// When the core has something to say unasked: [`Event::DeadlinePassed`] is due then.
    pub fn deadline(&self) -> Option<Moment> {
        self.deadlines.next()
    }

    /// Where `slot` stands, the latest incarnation that was started there, and those that drain beside its seat.
    pub fn stand(&self, slot: Slot) -> Option<(&Seat, Option<Incarnation>, impl Iterator<Item = Incarnation> + '_)> {
        let (role, index) = self.find(slot)?;
        let place = &self.roles[role].places[index];
        Some((&place.seat, place.last, place.outgoing.iter().map(|departure| departure.incarnation)))
    }

    /// What follows from `event` at `now`.
    pub fn handle(&mut self, event: Event, now: Moment) -> Actions {
        let mut out = Actions::default();
        match event {
            Event::Boot => self.boot(now, &mut out),
            Event::Ready(id) => self.ready(id, now, &mut out),
            Event::Exception(id, exception) => self.exception(id, exception, now, &mut out),
            Event::LinkLost(id, error) => self.link_lost(id, error, now, &mut out),
            Event::Exited(id, exit) => self.exited(id, exit, now, &mut out),
            Event::Stop(Urgency::Graceful) => self.stop(now, &mut out),
            Event::Stop(Urgency::Quick) => self.stop_quick(now, &mut out),
            Event::DeadlinePassed => {
                while let Some(due) = self.deadlines.pop_due(now) {
                    match due {
                        Due::Place(slot) => self.overdue(slot, now, &mut out),
                        Due::NobodyReady(role) => self.nobody_ready(role, now, &mut out),
                    }
                }
            }
        }
        self.settle(now, &mut out);
        self.check();
        out
    }

    fn ready(&mut self, id: MemberId, now: Moment, out: &mut Actions) {
        let Some(at) = self.find(id.slot()) else { return };
        match self.roles[at.0].places[at.1].seat {
            Seat::Starting { incarnation, .. } if incarnation == id.incarnation() => {
                self.set_seat(at, Seat::Ready { incarnation, since: now }, now);
                out.push(Action::Admit(id));
                if self.phase == Phase::Running {
                    out.push(Action::ResendReady(id));
                }
            }
            // Said twice, or by one who was told to go, or whose seat has moved on.
            Seat::Starting { .. }
            | Seat::Ready { .. }
            | Seat::Leaving { .. }
            | Seat::Unstarted
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Vacant => {}
        }
    }

    fn exception(&mut self, id: MemberId, exception: Exception, now: Moment, out: &mut Actions) {
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
            Directive::Restart { after } => {
                out.push(Action::Terminate(id, patience));
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
            if earlier.kill(now) {
                out.push(Action::Kill(place.slot.member(earlier.incarnation)));
            }
        }
        place.outgoing.push(Departure::asked(id.incarnation(), drain, now));
        self.roles[at.0].processes += 1;
        out.push(Action::Drain(id, drain));
    }

    fn link_lost(&mut self, id: MemberId, error: LinkError, now: Moment, out: &mut Actions) {
        let Some(at) = self.find(id.slot()) else { return };
        // One who breaks the protocol is not asked to leave: whatever it still does may be part of it.
        let hostile = matches!(error, LinkError::Protocol(_));
        let place = &mut self.roles[at.0].places[at.1];
        if let Some(departure) = place.outgoing.iter_mut().find(|d| d.incarnation == id.incarnation()) {
            departure.hurry(LINK_GRACE, now);
            if hostile && departure.kill(now) {
                out.push(Action::Kill(id));
            }
            self.reindex(at);
            return;
        }
        let ready_for = match &mut place.seat {
            Seat::Starting { incarnation, .. } if *incarnation == id.incarnation() => None,
            Seat::Ready { incarnation, since } if *incarnation == id.incarnation() => Some(now - *since),
            Seat::Leaving { departure, .. } if departure.incarnation == id.incarnation() => {
                departure.hurry(LINK_GRACE, now);
                if hostile && departure.kill(now) {
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
            | Seat::Vacant => return,
        };
        let departure = match hostile {
            true => {
                out.push(Action::Kill(id));
                Departure::killed(id.incarnation(), now)
            }
            false => Departure::asked(id.incarnation(), LINK_GRACE, now),
        };
        self.set_seat(at, Seat::Leaving { departure, ready_for, errand: Errand::LinkLost(error) }, now);
    }

    fn exited(&mut self, id: MemberId, exit: Exit, now: Moment, out: &mut Actions) {
        let Some(at) = self.find(id.slot()) else { return };
        let stopping = self.phase.is_stopping();
        let place = &mut self.roles[at.0].places[at.1];
        if let Some(departure) = place.take_outgoing(id.incarnation()) {
            self.roles[at.0].processes -= 1;
            self.reindex(at);
            let decision = if stopping { Decision::Stopping } else { Decision::AlreadyReplaced };
            out.push(Action::Record(Record { member: id, cause: departure.cause(exit), decision }));
            return;
        }
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
                    Errand::Stop | Errand::BootTimeout(_) | Errand::BootException | Errand::LinkLost(_) => None,
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
            | Seat::Vacant => return,
        };
        if stopping {
            out.push(Action::Record(Record { member: id, cause, decision: Decision::Stopping }));
            self.vacate(at, now, out);
        } else if self.phase.is_booting() && restart.is_none() {
            out.push(Action::Record(Record { member: id, cause: cause.clone(), decision: Decision::StartFailed }));
            self.vacate(at, now, out);
            self.begin_stop(Verdict::StartFailed(id, cause), now, out);
        } else {
            let directive = match (restart, &cause) {
                // Decided when it was told to go.
                (Some(after), _) => Directive::Restart { after },
                (None, Cause::BootFailed(failure)) => self.judge(at, &Fact::BootFailed(failure), ready_for, now),
                (None, Cause::LinkLost(error, _)) => self.judge(at, &Fact::LinkLost(error), ready_for, now),
                (None, Cause::Exited(exit) | Cause::Left(exit) | Cause::Overdue(_, exit) | Cause::Hurried(exit)) => {
                    self.judge(at, &Fact::Exited(exit), ready_for, now)
                }
                (None, Cause::Exception(_) | Cause::NobodyReady(_)) => unreachable!("an end has none of these causes"),
            };
            let decision = Decision::Strategy(directive.clone());
            out.push(Action::Record(Record { member: id, cause, decision }));
            self.follow_exit(at, directive, now, out);
        }
    }

    /// Carries out `directive` about a seat whose process is gone.
    fn follow_exit(&mut self, at: At, directive: Directive, now: Moment, out: &mut Actions) {
        match directive {
            Directive::Ignore | Directive::Remove => self.vacate(at, now, out),
            Directive::Restart { after } if !after.is_zero() => {
                self.roles[at.0].places[at.1].parked = 0;
                self.set_seat(at, Seat::Waiting { restart_at: now + after }, now);
            }
            Directive::Restart { .. } | Directive::Replace { .. } => {
                self.roles[at.0].places[at.1].parked = 0;
                self.spawn(at, now, out);
            }
            Directive::Park { probe } => self.park(at, probe, now, out),
            Directive::Escalate(reason) => {
                self.vacate(at, now, out);
                self.begin_stop(Verdict::GaveUp(reason), now, out);
            }
        }
    }

    /// Asks the strategy of the role, and remembers the failure unless the answer is that it was none.
    fn judge(&mut self, at: At, fact: &Fact<'_>, ready_for: Option<Duration>, now: Moment) -> Directive {
        let role = &mut self.roles[at.0];
        let place = &mut role.places[at.1];
        let failure = Failure { at: now, ready_for };
        let view = View {
            now,
            slot: place.slot,
            failure,
            history: &place.history,
            role_history: &role.history,
            parked: place.parked,
        };
        let directive = role.plan.strategy.decide(fact, &view, &mut self.dice);
        if directive != Directive::Ignore {
            place.history.record(failure);
            role.history.record(failure);
        }
        directive
    }

    /// Something about `slot` is due: a boot that took too long, a departure, a restart.
    fn overdue(&mut self, slot: Slot, now: Moment, out: &mut Actions) {
        let Some(at) = self.find(slot) else { return };
        let mut abandoned = Vec::new();
        let place = &mut self.roles[at.0].places[at.1];
        for departure in place.outgoing.iter_mut().filter(|departure| departure.is_due(now)) {
            match departure.kill(now) {
                true => out.push(Action::Kill(slot.member(departure.incarnation))),
                false => abandoned.push(departure.incarnation),
            }
        }
        match &mut place.seat {
            Seat::Starting { incarnation, ready_by } if *ready_by <= now => {
                let id = slot.member(*incarnation);
                out.push(Action::Kill(id));
                let departure = Departure::killed(id.incarnation(), now);
                let errand = Errand::BootTimeout(self.roles[at.0].plan.ready_timeout);
                self.set_seat(at, Seat::Leaving { departure, ready_for: None, errand }, now);
            }
            Seat::Leaving { departure, .. } if departure.is_due(now) => match departure.kill(now) {
                true => out.push(Action::Kill(slot.member(departure.incarnation))),
                false => abandoned.push(departure.incarnation),
            },
            Seat::Waiting { restart_at } if *restart_at <= now => self.spawn(at, now, out),
            Seat::Parked { probe_at: Some(probe_at) } if *probe_at <= now => self.spawn(at, now, out),
            Seat::Starting { .. }
            | Seat::Leaving { .. }
            | Seat::Waiting { .. }
            | Seat::Parked { .. }
            | Seat::Unstarted
            | Seat::Ready { .. }
            | Seat::Vacant => {}
        }
        self.reindex(at);
        for incarnation in abandoned {
            let id = slot.member(incarnation);
            self.leftovers.push(id);
            out.push(Action::Abandon(id));
            self.exited(id, Exit::new(ExitStatus::Unkillable), now, out);
        }
    }

    fn nobody_ready(&mut self, role: Role, now: Moment, out: &mut Actions) {
        let Some(position) = self.roles.iter().position(|state| state.plan.role == role) else { return };
        let state = &self.roles[position];
        if state.ready > 0 || self.phase != Phase::Running {
            return;
        }
        let span = state.plan.give_up_after;
        if let Some(place) = state.places.first() {
            out.push(Action::Record(Record {
                member: place.slot.member(place.last.unwrap_or(Incarnation::FIRST)),
                cause: Cause::NobodyReady(span),
                decision: Decision::GiveUp,
            }));
        }
        let reason = Reason::new(format!("no member of role {role} has been ready for {span:?}"));
        self.begin_stop(Verdict::GaveUp(reason), now, out);
    }

    /// Whether the seat is, or leads to, a ready one: a start that waits for one that does not would wait for ever.
    fn may_become_ready(&self, at: At) -> bool {
        match self.roles[at.0].places[at.1].seat {
            Seat::Starting { .. } | Seat::Ready { .. } | Seat::Waiting { .. } => true,
            Seat::Leaving { errand: Errand::Restart(_), .. } => true,
            Seat::Leaving { .. } | Seat::Unstarted | Seat::Parked { .. } | Seat::Vacant => false,
        }
    }

    /// Starts the next process of a place.
    pub(super) fn spawn(&mut self, at: At, now: Moment, out: &mut Actions) {
        debug_assert!(!self.phase.is_stopping(), "a process is started while the cluster stops");
        let ready_by = now + self.roles[at.0].plan.ready_timeout;
        let before = self.seat_tally(at);
        let id = self.roles[at.0].places[at.1].seat_next(ready_by);
        self.retally(at, before, now);
        out.push(Action::Spawn(id));
    }

    fn park(&mut self, at: At, probe: Option<Duration>, now: Moment, out: &mut Actions) {
        self.roles[at.0].places[at.1].parked += 1;
        self.set_seat(at, Seat::Parked { probe_at: probe.map(|probe| now + probe) }, now);
        out.push(Action::Park(self.roles[at.0].places[at.1].slot));
    }

    pub(super) fn vacate(&mut self, at: At, now: Moment, out: &mut Actions) {
        self.set_seat(at, Seat::Vacant, now);
        out.push(Action::Vacate(self.roles[at.0].places[at.1].slot));
    }

    /// Every change of a seat goes through here: the counts of the role and the deadlines follow it.
    pub(super) fn set_seat(&mut self, at: At, seat: Seat, now: Moment) {
        let before = self.seat_tally(at);
        self.roles[at.0].places[at.1].seat = seat;
        self.retally(at, before, now);
    }

    /// What the seat counts for: ready, and a process.
    fn seat_tally(&self, at: At) -> (usize, usize) {
        let place = &self.roles[at.0].places[at.1];
        (usize::from(place.is_ready()), place.processes().count() - place.outgoing.len())
    }

    fn retally(&mut self, at: At, before: (usize, usize), now: Moment) {
        let after = self.seat_tally(at);
        let role = &mut self.roles[at.0];
        role.ready = role.ready + after.0 - before.0;
        role.processes = role.processes + after.1 - before.1;
        if self.phase == Phase::Running && before.0 != after.0 {
            self.watch_readiness(at.0, now);
        }
        self.reindex(at);
    }

    /// The clock of giving up runs while nobody of the role is ready.
    pub(super) fn watch_readiness(&mut self, role: usize, now: Moment) {
        let state = &self.roles[role];
        let due = (state.ready == 0).then_some(now + state.plan.give_up_after);
        self.deadlines.set(Due::NobodyReady(state.plan.role), due);
    }

    pub(super) fn reindex(&mut self, at: At) {
        let place = &self.roles[at.0].places[at.1];
        self.deadlines.set(Due::Place(place.slot), place.deadline());
    }

    pub(super) fn find(&self, slot: Slot) -> Option<At> {
        let role = self.roles.iter().position(|state| state.plan.role == slot.role())?;
        let index = usize::from(slot.index());
        (index < self.roles[role].places.len()).then_some((role, index))
    }

    /// What must hold after every step, whatever the strategy answered.
    fn check(&self) {
        if cfg!(debug_assertions) {
            for (position, role) in self.roles.iter().enumerate() {
                let processes: usize = role.places.iter().map(|place| place.processes().count()).sum();
                debug_assert_eq!(role.processes, processes, "the count of processes has drifted");
                let ready = role.places.iter().filter(|place| place.is_ready()).count();
                debug_assert_eq!(role.ready, ready, "the count of ready members has drifted");
                for place in &role.places {
                    let asked = |departure: &&Departure| matches!(departure.stage, Stage::Asked { .. });
                    let draining = place.outgoing.iter().filter(asked).count();
                    debug_assert!(draining <= 1, "{} drains more than one process", place.slot);
                    if self.phase.is_stopping() {
                        let hopes = matches!(place.seat, Seat::Waiting { .. } | Seat::Parked { .. } | Seat::Unstarted);
                        debug_assert!(!hopes, "{} would be restarted while the cluster stops", place.slot);
                    }
                }
                self.phase.check(position, role);
            }
        }
    }
}

/// A role's position in the plan and a slot's in the role.
pub(super) type At = (usize, usize);

/// The end of one who was told to go, as what it was.
fn told(errand: &Errand, departure: &Departure, ready_for: Option<Duration>, exit: Exit) -> Cause {
    let was_killed = matches!(departure.stage, Stage::Killed { .. });
    match errand {
        Errand::Stop | Errand::Restart(_) => departure.cause(exit),
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
