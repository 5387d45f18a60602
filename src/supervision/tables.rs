//! The seat table, row by row: facts told to a supervisor, and what it says to each.

#[cfg(debug_assertions)]
mod checks;
mod ends;
mod exceptions;
mod giving_up;
mod groups;
mod operation_pairs;
mod operations;
mod operations_in_groups;
mod recordings;
mod restarts;
mod scenarios;
mod significance;
mod silence;
mod starts;
mod stops;
mod views;
mod words;
mod wrappers;

use std::time::Duration;

use super::*;
use crate::identity::{Incarnation, MemberId, Role, Slot};

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn role(role: Role, count: u16, strategy: impl Strategy) -> RolePlan {
    RolePlan { ready_timeout: millis(10_000), overlap: role != Role::AGENT, ..RolePlan::new(role, count, strategy) }
}

/// An agent that restarts after 1 s and workers with the built-in strategy.
pub(super) fn plan(workers: u16) -> Plan {
    Plan::new(vec![role(Role::WORKER, workers, OneForOne::worker()), role(Role::AGENT, 1, OneForOne::agent())])
}

fn agent(incarnation: u32) -> MemberId {
    Slot::agent().member(Incarnation::new(incarnation))
}

fn worker(index: u16, incarnation: u32) -> MemberId {
    Slot::worker(index).member(Incarnation::new(incarnation))
}

pub(super) fn panic() -> Exception {
    Exception::new(ExceptionKind::Panic, "src/main.rs:7:7: boom")
}

/// A supervisor, its clock, and what it said last, one short line per action.
struct Desk {
    supervisor: Supervisor,
    now: Moment,
}

impl Desk {
    fn new(plan: Plan) -> Desk {
        Desk { supervisor: Supervisor::new(plan, 1), now: Moment::START }
    }

    /// A cluster in which everyone has just become ready, role by role.
    fn started(plan: Plan) -> Desk {
        let slots: Vec<Slot> = plan.roles().iter().flat_map(RolePlan::slots).collect();
        let mut desk = Desk::new(plan);
        desk.tell(Event::Boot);
        for slot in slots {
            desk.tell(Event::Ready(slot.member(Incarnation::FIRST)));
        }
        desk
    }

    /// A cluster in which everyone has been ready for a minute.
    fn running(workers: u16) -> Desk {
        let mut desk = Desk::started(plan(workers));
        desk.now = desk.now + millis(60_000);
        desk
    }

    fn tell(&mut self, event: Event) -> Vec<String> {
        self.supervisor.handle(event, self.now).iter().map(ToString::to_string).collect()
    }

    fn seat(&self, slot: Slot) -> &Seat {
        self.supervisor.stand(slot).expect("there is such a slot").0
    }

    /// How many failures are remembered of a slot.
    fn history(&self, slot: Slot) -> usize {
        let (role, index) = self.supervisor.find(slot).expect("there is such a slot");
        self.supervisor.roles[role].places[index].history.iter().count()
    }

    fn exit(&mut self, id: MemberId) -> Vec<String> {
        self.tell(Event::Exited(id, Exit::signal(9)))
    }

    /// Lets `by` pass, waking the core whenever it asked to be.
    fn pass(&mut self, by: Duration) -> Vec<String> {
        let end = self.now + by;
        let (mut said, mut steps) = (Vec::new(), 0);
        while let Some(due) = self.supervisor.deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            said.extend(self.tell(Event::DeadlinePassed));
            steps += 1;
            assert!(steps < 1_000, "what is due at {due} stays due");
        }
        self.now = end;
        said
    }
}

const NOTHING: [&str; 0] = [];

/// The member ends with code 0, as one does that was asked to go.
fn leave(desk: &mut Desk, id: MemberId) -> Vec<String> {
    desk.tell(Event::Exited(id, Exit::code(0)))
}

fn operate(desk: &mut Desk, id: u64, operation: Operation) -> Vec<String> {
    desk.tell(Event::Operate(OperationId(id), operation))
}

fn restart(desk: &mut Desk, id: u64, index: u16) -> Vec<String> {
    operate(desk, id, Operation::Restart(Slot::worker(index)))
}

fn stop(desk: &mut Desk, id: u64, index: u16) -> Vec<String> {
    operate(desk, id, Operation::Stop(Slot::worker(index)))
}

fn scale(desk: &mut Desk, id: u64, count: u16) -> Vec<String> {
    operate(desk, id, Operation::Scale(Role::WORKER, count))
}
