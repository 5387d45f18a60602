//! A restart of a slot from which somebody drains from before.

use super::operations::{leave, operate, restart, stop};
use super::*;

/// `worker/0#2` is ready, and `worker/0#1` drains beside it for another 30 s.
fn one_drains() -> Desk {
    let mut desk = Desk::running(2);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    desk
}

#[test]
fn it_waits_for_that_one_and_nobody_is_killed() {
    let mut desk = Desk::running(2);
    restart(&mut desk, 1, 0);
    desk.tell(Event::Ready(worker(0, 2)));
    assert_eq!(restart(&mut desk, 2, 0), NOTHING);
    assert_eq!(
        leave(&mut desk, worker(0, 1)),
        ["worker/0#1: exited with code 0 -> replaced before", "drain worker/0#2 5s", "spawn worker/0#3"]
    );
    assert_eq!(desk.tell(Event::Ready(worker(0, 3)))[2..], ["operation 2 done"]);
    assert_eq!(leave(&mut desk, worker(0, 2)), ["worker/0#2: exited with code 0 -> replaced before"]);
}

#[test]
fn a_restart_behind_it_waits_for_both() {
    let mut desk = Desk::running(2);
    restart(&mut desk, 1, 0);
    assert_eq!(restart(&mut desk, 2, 0), NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"], "the first drains still");
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["drain worker/0#2 5s", "spawn worker/0#3"]);
}

#[test]
fn it_gives_that_one_the_stop_timeout() {
    let mut desk = one_drains();
    assert_eq!(restart(&mut desk, 1, 0), NOTHING);
    assert_eq!(desk.pass(millis(4_999)), NOTHING);
    assert_eq!(desk.pass(millis(1)), ["kill worker/0#1"], "it had 30 s");
    assert_eq!(desk.exit(worker(0, 1))[1..], ["drain worker/0#2 5s", "spawn worker/0#3"]);
}

#[test]
fn one_that_was_killed_is_not_waited_for() {
    let mut desk = one_drains();
    assert_eq!(desk.pass(millis(30_000)), ["kill worker/0#1"]);
    assert_eq!(restart(&mut desk, 1, 0), ["drain worker/0#2 5s", "spawn worker/0#3"]);
}

#[test]
fn one_that_fails_meanwhile_is_replaced_at_once_and_its_strategy_is_not_asked() {
    let follows = ["kill worker/0#1", "drain worker/0#2 5s", "spawn worker/0#3"];
    let mut desk = one_drains();
    restart(&mut desk, 1, 0);
    let said = desk.tell(Event::Exception(worker(0, 2), panic()));
    assert!(said[0].ends_with("-> as operation 1 asked"), "{said:?}");
    assert_eq!(said[1..], follows);
    assert_eq!(desk.history(Slot::worker(0)), 1, "that of the first");
    assert_eq!(desk.exit(worker(0, 1))[1..], NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 3)))[2..], ["operation 1 done"]);

    let mut desk = one_drains();
    restart(&mut desk, 1, 0);
    let said = desk.tell(Event::Unresponsive(worker(0, 2), millis(30_000)));
    assert_eq!(said[0], "worker/0#2: was unresponsive for 30s -> as operation 1 asked");
    assert_eq!(said[1..], follows);

    let mut desk = one_drains();
    restart(&mut desk, 1, 0);
    assert_eq!(
        desk.exit(worker(0, 2)),
        ["worker/0#2: killed by signal 9 -> as operation 1 asked", "spawn worker/0#3"],
        "the first goes on draining"
    );
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 3)))[2..], ["operation 1 done"]);
}

#[test]
fn a_stop_of_the_slot_or_the_cluster_is_not_behind_it() {
    let mut desk = one_drains();
    restart(&mut desk, 1, 0);
    assert_eq!(stop(&mut desk, 2, 0), ["operation 1 superseded by a later operation", "drain worker/0#2 5s"]);
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], NOTHING);

    let mut desk = one_drains();
    restart(&mut desk, 1, 0);
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(said[0], "operation 1 failed: the cluster is stopping");
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], NOTHING);
}

#[test]
fn a_group_in_which_the_slot_goes_anyway_is_not_behind_it() {
    const CACHE: Role = Role::new(1, "cache");
    let cache = |incarnation| Slot::new(CACHE, 0).member(Incarnation::new(incarnation));
    let strategy = std::sync::Arc::new(OneForAll::new(OneForOne::worker()));
    let mut desk = Desk::started(Plan::new(vec![role(CACHE, 1, strategy.clone()), role(Role::WORKER, 2, strategy)]));
    desk.pass(millis(1_000));
    let again = Operation::Restart(cache(1).slot());
    assert_eq!(operate(&mut desk, 1, again), ["drain cache/0#1 5s", "spawn cache/0#2"]);
    desk.tell(Event::Ready(cache(2)));
    assert_eq!(operate(&mut desk, 2, again), NOTHING);
    assert_eq!(desk.exit(worker(0, 1))[1..], ["drain worker/1#1 5s"]);
    assert_eq!(leave(&mut desk, cache(1)), ["cache/0#1: exited with code 0 -> replaced before"]);
    assert_eq!(leave(&mut desk, worker(1, 1))[1..], ["drain cache/0#2 5s"]);
    assert_eq!(leave(&mut desk, cache(2))[1..], ["spawn cache/0#3"]);
    assert_eq!(desk.tell(Event::Ready(cache(3)))[2..4], ["operation 2 done", "spawn worker/0#2"]);
}
