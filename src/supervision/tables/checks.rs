//! What the core asserts of itself after every step is asserted: a state that cannot be is found at once, and named.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::patience::Patience;
use super::super::phases::Phase;
use super::super::seat::{Place, Task};
use super::super::supervisor::RoleState;
use super::*;

/// The positions of the roles in most desks.
const AGENT: usize = 0;
const WORKER: usize = 1;

/// What the core says of itself when nothing is told to it.
fn found(mut desk: Desk) -> String {
    let said = catch_unwind(AssertUnwindSafe(|| desk.tell(Event::DeadlinePassed)));
    let panic = said.expect_err("it has not been found");
    panic.downcast_ref::<String>().expect("it is said in words").clone()
}

#[track_caller]
fn is_found(desk: Desk, words: &str) {
    let said = found(desk);
    assert!(said.contains(words), "{said}");
}

impl Desk {
    fn role(&mut self, position: usize) -> &mut RoleState {
        &mut self.supervisor.roles[position]
    }

    fn place(&mut self, position: usize) -> &mut Place {
        &mut self.role(position).places[0]
    }

    /// A process that nobody has started, beside the first seat of the role.
    fn stray(mut self, position: usize) -> Desk {
        let stray = Departure::asked(Incarnation::new(9), millis(3_600_000), self.now);
        self.place(position).outgoing.push(stray);
        self.role(position).processes += 1;
        self
    }

    /// Who sits in the first seat of the role is not there any more.
    fn emptied(mut self, position: usize, seat: Seat) -> Desk {
        self.place(position).seat = seat;
        let role = self.role(position);
        role.processes = role.places.iter().map(|place| place.processes().count()).sum();
        role.ready = role.places.iter().filter(|place| place.ready_since().is_some()).count();
        role.off = role.places.iter().filter(|place| place.is_off()).count();
        self
    }
}

/// A group of everyone around the agent, of which these have gone.
fn grouped(gone: &[MemberId], after: Duration) -> Desk {
    let strategy = || from_fn(move |_, _, _| Directive::Restart { scope: Scope::All, after });
    let mut desk = Desk::started(Plan::new(vec![role(Role::AGENT, 1, strategy()), role(Role::WORKER, 2, strategy())]));
    desk.exit(agent(1));
    gone.iter().for_each(|&id| drop(desk.exit(id)));
    desk
}

#[test]
fn a_count_that_has_drifted() {
    let drift = |drift: fn(&mut RoleState)| {
        let mut desk = Desk::running(2);
        drift(desk.role(WORKER));
        desk
    };
    is_found(drift(|role| role.processes += 1), "the count of processes has drifted");
    is_found(drift(|role| role.ready += 1), "the count of ready members has drifted");
    is_found(drift(|role| role.off += 1), "the count of places where nobody is missed has drifted");
}

#[test]
fn a_slot_that_drains_two_at_once() {
    is_found(Desk::running(2).stray(WORKER).stray(WORKER), "worker/0 drains more than one process");
}

#[test]
fn an_operation_that_nobody_will_conclude() {
    let wrong = |wrong: fn(&mut RoleState)| {
        let mut desk = Desk::running(2);
        wrong(desk.role(WORKER));
        desk
    };
    is_found(wrong(|role| role.places[0].scaled = true), "the scaling waits for others");
    is_found(wrong(|role| role.places[0].next = Some(OperationId(1))), "worker/0 has a restart that waits for nothing");
    is_found(wrong(|role| role.places[0].closing = Some(OperationId(1))), "worker/0 is open or closed by halves");
    is_found(wrong(|role| role.open = 1), "worker/1 is open or closed by halves");
    let mut idle = Desk::new(plan(1));
    idle.place(WORKER).task = Some(Task::Stop { id: OperationId(1) });
    is_found(idle, "worker/0 has a task in Idle");
}

#[test]
fn a_role_that_nobody_misses() {
    let mut desk = Desk::running(1);
    desk.exit(worker(0, 1));
    desk.role(WORKER).patience = Patience::Whole;
    is_found(desk, "nobody misses the members of role worker");
}

#[test]
fn a_process_out_of_turn() {
    is_found(Desk::new(plan(1)).stray(AGENT), "role agent has processes in Idle");
    let mut booting = Desk::new(plan(1));
    booting.tell(Event::Boot);
    is_found(booting.stray(WORKER), "role worker is started before its turn");
    let mut stopping = Desk::running(1);
    stopping.tell(Event::Stop(Urgency::Graceful));
    stopping.exit(worker(0, 1));
    is_found(stopping.stray(WORKER), "role worker is stopped before its turn");
    let mut finished = Desk::new(plan(1));
    finished.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(finished.supervisor.phase, Phase::Finished);
    is_found(finished.stray(AGENT), "role agent has processes in Finished");
}

#[test]
fn a_hope_while_the_cluster_stops() {
    let (restart_at, probe_at) = (Moment::from_start(millis(3_600_000)), None);
    for hope in [Seat::Waiting { restart_at }, Seat::Parked { probe_at }, Seat::Unstarted] {
        let mut desk = Desk::running(1);
        desk.tell(Event::Stop(Urgency::Graceful));
        desk.exit(worker(0, 1));
        is_found(desk.emptied(WORKER, hope), "worker/0 would be restarted while the cluster stops");
    }
}

#[test]
fn a_place_that_waits_for_no_group() {
    is_found(Desk::running(2).emptied(WORKER, Seat::Unstarted), "worker/0 waits for nothing");
}

#[test]
fn a_group_that_has_lost_count_of_those_who_leave_or_are_awaited() {
    let leaving = grouped(&[], Duration::ZERO);
    is_found(leaving.stray(WORKER), "the count of those who leave has drifted");
    let starting = grouped(&[worker(0, 1), worker(1, 1)], Duration::ZERO);
    is_found(starting.emptied(AGENT, Seat::Vacant), "the count of the awaited has drifted");
}

#[test]
fn a_group_that_goes_on_before_all_have_gone() {
    let leaving = grouped(&[worker(0, 1), worker(1, 1)], Duration::ZERO);
    is_found(leaving.stray(WORKER), "role worker is not gone");
    for role in [AGENT, WORKER] {
        let pausing = grouped(&[worker(0, 1), worker(1, 1)], millis(9_000));
        is_found(pausing.stray(role), "is not gone");
    }
    // Of three roles the last has gone, and the one before it leaves.
    let cache = Role::new(1, "cache");
    let strategy = || from_fn(|_, _, _| Directive::Restart { scope: Scope::All, after: Duration::ZERO });
    let roles = [Role::AGENT, cache, Role::WORKER].map(|which| role(which, 1, strategy()));
    let mut desk = Desk::started(Plan::new(roles.to_vec()));
    desk.exit(agent(1));
    desk.exit(worker(0, 1));
    is_found(desk.stray(2), "role worker is not gone");
}
