//! The decision core: facts in, actions out, no hands.
//!
//! Keeps the seats and what must hold whatever a [`Strategy`](super::Strategy) answers: at most one process in a slot
//! outside of a replacement, roles started in order and stopped in reverse, stop wins over restart, one decision for
//! every exit. It knows no agent and no worker: a plan is an ordered list of roles. How the phases follow each other
//! stands in [`phases`](super::phases), how a group is restarted in [`regroup`](super::regroup), what operators may ask
//! for in [`operations`](super::operations), and when it gives up in [`patience`](super::patience).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Action, Actions};
use super::answer::Directive;
use super::deadlines::Deadlines;
use super::dice::Dice;
use super::event::{Event, Urgency};
use super::fact::Fact;
use super::history::{Failure, History};
use super::moment::Moment;
use super::operations::Scaling;
use super::patience::Patience;
use super::phases::Phase;
use super::plan::{Plan, RolePlan};
use super::regroup::Regroup;
use super::restart_type::RestartType;
use super::seat::{Place, Seat};
use super::view::{Around, View};
use crate::identity::{Incarnation, MemberId, Slot};

/// The state of a cluster, and what follows from every fact about it.
#[derive(Clone, Debug)]
pub struct Supervisor {
    pub(super) phase: Phase,
    pub(super) roles: Vec<RoleState>,
    pub(super) deadlines: Deadlines,
    /// Processes that were killed and have not been heard to go.
    pub(super) leftovers: Vec<MemberId>,
    /// When somebody first asked for the stop that is under way.
    pub(super) stop_asked: Option<Moment>,
    /// The group that is being restarted. One at a time.
    pub(super) regroup: Option<Regroup>,
    pub(super) history: History,
    pub(super) dice: Dice,
}

/// What a deadline is about: positions in the plan, which are a quarter of a name's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Due {
    Place(u8, u16),
    Patience(u8),
    Regroup,
}

impl Due {
    /// There are no more roles than ranks, and no more slots in one than a slot's number can count.
    pub(super) fn place((role, index): At) -> Due {
        Due::Place(role as u8, index as u16)
    }

    pub(super) fn patience(role: usize) -> Due {
        Due::Patience(role as u8)
    }

    /// A row and a column of its own. The first column is of those that are no place.
    pub(super) fn cell(self) -> (usize, usize) {
        match self {
            Due::Regroup => (0, 0),
            Due::Patience(role) => (1 + usize::from(role), 0),
            Due::Place(role, index) => (usize::from(role), 1 + usize::from(index)),
        }
    }
}

/// A role, its places and how many of them are of which kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RoleState {
    /// Strategies are not written down: whoever replays brings the plan.
    #[serde(skip, default = "RolePlan::unknown")]
    pub(super) plan: RolePlan,
    #[serde(skip)]
    pub(super) restart_type: Option<RestartType>,
    #[serde(skip)]
    pub(super) significant: bool,
    /// All that there have ever been, so that a slot that comes back knows its number.
    pub(super) places: Vec<Place>,
    /// How many of them are slots of the role now.
    pub(super) open: usize,
    pub(super) ready: usize,
    /// Processes, those on their way out included.
    pub(super) processes: usize,
    /// Places in which nobody is missed.
    pub(super) off: usize,
    pub(super) patience: Patience,
    pub(super) history: History,
    pub(super) scaling: Option<Scaling>,
}

/// What a place counts for in its role.
struct Tally {
    ready_since: Option<Moment>,
    processes: usize,
    off: usize,
    awaited: usize,
}

impl Supervisor {
    /// A cluster of which nothing has been started.
    pub fn new(plan: Plan, seed: u64) -> Supervisor {
        let roles = plan.roles.into_iter().map(|plan| RoleState {
            places: plan.slots().map(Place::new).collect(),
            open: usize::from(plan.count),
            restart_type: plan.strategy.restart_type(),
            significant: plan.strategy.is_significant(),
            plan,
            ready: 0,
            processes: 0,
            off: 0,
            patience: Patience::Whole,
            history: History::default(),
            scaling: None,
        });
        Supervisor {
            phase: Phase::Idle,
            roles: roles.collect(),
            deadlines: Deadlines::default(),
            leftovers: Vec::new(),
            stop_asked: None,
            regroup: None,
            history: History::default(),
            dice: Dice::seeded(seed),
        }
    }

    /// When the core has something to say unasked: [`Event::DeadlinePassed`] is due then.
    pub fn deadline(&self) -> Option<Moment> {
        self.deadlines.next()
    }

    /// Whether the cluster is stopping, or has: from there on nobody is started.
    pub fn is_stopping(&self) -> bool {
        self.phase.is_stopping()
    }

    /// Where `slot` stands, the latest incarnation that was started there, and those that drain beside its seat.
    pub fn stand(&self, slot: Slot) -> Option<(&Seat, Option<Incarnation>, impl Iterator<Item = Incarnation> + '_)> {
        let (role, index) = self.find(slot)?;
        let place = &self.roles[role].places[index];
        Some((&place.seat, place.last, place.outgoing.iter().map(|departure| departure.incarnation)))
    }

    /// What follows from `event` at `now`. A strategy that panics does so through here: a cluster puts a guard around each,
    /// which escalates, and this is without.
    pub fn handle(&mut self, event: Event, now: Moment) -> Actions {
        let mut out = Actions::default();
        match event {
            Event::Boot => self.boot(now, &mut out),
            Event::Ready(id) => self.ready(id, now, &mut out),
            Event::Exception(id, exception) => self.exception(id, exception, now, &mut out),
            Event::Unresponsive(id, span) => self.unresponsive(id, span, now, &mut out),
            Event::LinkLost(id, error) => self.link_lost(id, error, now, &mut out),
            Event::Exited(id, exit) => self.exited(id, exit, now, &mut out),
            Event::Operate(id, operation) => self.operate(id, operation, now, &mut out),
            Event::Stop(Urgency::Graceful) => self.stop(now, &mut out),
            Event::Stop(Urgency::Quick) => self.stop_quick(now, &mut out),
            Event::DeadlinePassed => {
                // What is due again at once, and again, is for the next step: this one ends.
                for _ in 0..self.deadlines.len() {
                    let Some(due) = self.deadlines.pop_due(now) else { break };
                    match due {
                        Due::Place(role, index) => self.overdue((role.into(), index.into()), now, &mut out),
                        Due::Patience(role) => self.patience_due(role.into()),
                        // The group is seen to when all that is due has been.
                        Due::Regroup => {}
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
                self.became_ready(at, id.incarnation(), now, out);
            }
            // Said twice, or by one who was told to go, or whose seat has moved on.
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

    /// Asks the strategy of the role, and remembers the failure unless the answer is that it was none. Where nobody else
    /// could be of use any more, no answer brings back another one.
    pub(super) fn judge(&mut self, at: At, fact: &Fact<'_>, ready_for: Option<Duration>, now: Moment) -> Directive {
        let role = &self.roles[at.0];
        let place = &role.places[at.1];
        let failure = Failure { at: now, ready_for };
        let view = View {
            now,
            slot: place.slot,
            restart_type: role.restart_type,
            failure,
            history: &place.history,
            role_history: &role.history,
            cluster_history: &self.history,
            parked: place.parked,
            memory: place.memory,
            around: Around { roles: &self.roles, table: &[] },
        };
        let answer = role.plan.strategy.decide(fact, &view, &mut self.dice);
        let role = &mut self.roles[at.0];
        let place = &mut role.places[at.1];
        place.memory = answer.memory.unwrap_or(place.memory);
        let directive = answer.directive;
        if directive != Directive::Ignore {
            place.history.record(failure);
            role.history.record(failure);
            self.history.record(failure);
        }
        self.unless_hopeless(at, directive, ready_for)
    }

    /// Starts the next process of a place, unless its group is being restarted: then it has its turn with that.
    pub(super) fn start(&mut self, at: At, now: Moment, out: &mut Actions) {
        match self.waits_for_its_group(at) {
            true => self.set_seat(at, Seat::Unstarted, now),
            false => self.spawn(at, now, out),
        }
    }

    /// Starts the next process of a place.
    pub(super) fn spawn(&mut self, at: At, now: Moment, out: &mut Actions) {
        debug_assert!(!self.phase.is_stopping(), "a process is started while the cluster stops");
        let ready_by = now + self.roles[at.0].plan.ready_timeout;
        let id = self.change(at, now, |place| place.seat_next(ready_by));
        out.push(Action::Spawn(id));
    }

    pub(super) fn park(&mut self, at: At, probe: Option<Duration>, now: Moment, out: &mut Actions) {
        self.roles[at.0].places[at.1].parked += 1;
        self.set_seat(at, Seat::Parked { probe_at: probe.map(|probe| now + probe) }, now);
        out.push(Action::Park(self.roles[at.0].places[at.1].slot));
    }

    pub(super) fn vacate(&mut self, at: At, now: Moment, out: &mut Actions) {
        self.set_seat(at, Seat::Vacant, now);
        out.push(Action::Vacate(self.roles[at.0].places[at.1].slot));
    }

    pub(super) fn set_seat(&mut self, at: At, seat: Seat, now: Moment) {
        self.change(at, now, |place| place.seat = seat);
    }

    /// Every change of a place goes through here: the counts of the role and the deadlines follow it.
    pub(super) fn change<T>(&mut self, at: At, now: Moment, change: impl FnOnce(&mut Place) -> T) -> T {
        let role = &mut self.roles[at.0];
        let place = &mut role.places[at.1];
        let before = place.tally();
        let changed = change(place);
        let after = place.tally();
        let (was_ready, is_ready) = (before.ready_since.is_some(), after.ready_since.is_some());
        role.ready = role.ready + usize::from(is_ready) - usize::from(was_ready);
        role.processes = role.processes + after.processes - before.processes;
        role.off = role.off + after.off - before.off;
        if let Some(regroup) = &mut self.regroup {
            regroup.recount(at, (before.processes, after.processes), (before.awaited, after.awaited));
        }
        if self.phase == Phase::Running && (was_ready != is_ready || before.off != after.off) {
            let ready_for = before.ready_since.filter(|_| !is_ready).map(|since| now - since);
            self.watch_readiness(at.0, ready_for, now);
        }
        self.reindex(at);
        changed
    }

    pub(super) fn reindex(&mut self, at: At) {
        let place = &self.roles[at.0].places[at.1];
        self.deadlines.set(Due::place(at), place.deadline());
    }

    pub(super) fn find(&self, slot: Slot) -> Option<At> {
        let role = self.roles.iter().position(|state| state.plan.role == slot.role())?;
        let index = usize::from(slot.index());
        self.roles[role].places.get(index).map(|_| (role, index))
    }

    /// The place of a slot that has not been scaled away.
    pub(super) fn find_open(&self, slot: Slot) -> Option<At> {
        self.find(slot).filter(|at| at.1 < self.roles[at.0].open)
    }

    /// What must hold after every step, whatever the strategy answered.
    fn check(&self) {
        if cfg!(debug_assertions) {
            for (position, role) in self.roles.iter().enumerate() {
                let processes: usize = role.places.iter().map(|place| place.processes().count()).sum();
                debug_assert_eq!(role.processes, processes, "the count of processes has drifted");
                let ready = role.places.iter().filter(|place| place.ready_since().is_some()).count();
                debug_assert_eq!(role.ready, ready, "the count of ready members has drifted");
                let off = role.places.iter().filter(|place| place.is_off()).count();
                debug_assert_eq!(role.off, off, "the count of places where nobody is missed has drifted");
                role.check_operations(&self.phase);
                role.check_patience(&self.phase);
                for place in &role.places {
                    let draining = place.outgoing.iter().filter(|departure| departure.is_asked()).count();
                    debug_assert!(draining <= 1, "{} drains more than one process", place.slot);
                    if self.phase.is_stopping() {
                        let hopes = matches!(place.seat, Seat::Waiting { .. } | Seat::Parked { .. } | Seat::Unstarted);
                        debug_assert!(!hopes, "{} would be restarted while the cluster stops", place.slot);
                    }
                }
                self.phase.check(position, role);
            }
            self.check_regroup();
        }
    }
}

impl Place {
    fn tally(&self) -> Tally {
        Tally {
            ready_since: self.ready_since(),
            processes: self.processes().count(),
            off: usize::from(self.is_off()),
            awaited: usize::from(self.is_awaited()),
        }
    }
}

/// A role's position in the plan and a slot's in the role.
pub(super) type At = (usize, usize);
