//! Wishes of operators that meet the restart of a group.

use super::*;

/// An agent that takes everyone along, and workers that are never started again by themselves.
fn temporary(workers: u16) -> Desk {
    Desk::started(Plan::new(vec![
        role(Role::AGENT, 1, OneForAll::new(OneForOne::worker())),
        role(Role::WORKER, workers, OneForOne::worker().restart(RestartType::Temporary)),
    ]))
}

#[test]
fn a_temporary_one_that_goes_along_is_started_again_with_its_group_if_an_operator_has_asked_for_it() {
    let mut desk = temporary(2);
    desk.exit(agent(1));
    assert_eq!(operate(&mut desk, 1, Operation::Restart(Slot::worker(0))), NOTHING);
    assert_eq!(leave(&mut desk, worker(1, 1))[1..], ["vacate worker/1"], "nobody has asked for this one");
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["spawn agent/0#2"]);
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn worker/0#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"]);

    // Or by a scale that has brought its slot.
    let mut desk = temporary(0);
    operate(&mut desk, 1, Operation::Scale(Role::WORKER, 1));
    assert_eq!(desk.exit(agent(1))[1..], ["drain worker/0#1 5s"]);
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["spawn agent/0#2"]);
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn worker/0#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"]);
}

#[test]
fn a_restart_is_not_done_when_one_is_ready_that_has_still_to_leave_with_its_group() {
    let cache = Role::new(1, "cache");
    let cached = |incarnation| Slot::new(cache, 0).member(Incarnation::new(incarnation));
    let strategy = || OneForAll::new(OneForOne::worker());
    let mut desk = Desk::started(Plan::new(vec![
        role(Role::AGENT, 1, strategy()),
        role(cache, 1, OneForOne::worker()),
        role(Role::WORKER, 1, strategy()),
    ]));
    desk.pass(millis(1_000));
    desk.exit(cached(1));
    assert_eq!(desk.exit(agent(1))[1..], ["drain worker/0#1 5s"]);
    assert_eq!(operate(&mut desk, 1, Operation::Restart(cached(2).slot())), NOTHING);
    assert_eq!(desk.tell(Event::Ready(cached(2)))[1..], ["resend ready cache/0#2"]);
    leave(&mut desk, worker(0, 1));
    assert_eq!(leave(&mut desk, cached(2))[1..], ["spawn agent/0#2"]);
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn cache/0#3"]);
    assert_eq!(desk.tell(Event::Ready(cached(3)))[2..], ["operation 1 done", "spawn worker/0#2"]);
}
