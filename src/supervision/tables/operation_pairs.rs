//! Two wishes that meet: the rows and columns of the table at [`Operation`].

use super::*;

#[test]
fn a_restart_behind_a_restart_waits_and_a_third_supersedes_the_one_that_waits() {
    let mut desk = Desk::running(1);
    restart(&mut desk, 1, 0);
    assert_eq!(restart(&mut desk, 2, 0), NOTHING);
    assert_eq!(restart(&mut desk, 3, 0), ["operation 2 superseded by a later operation"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"]);
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["drain worker/0#2 5s", "spawn worker/0#3"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 3)))[2..], ["operation 3 done"]);
}

#[test]
fn a_stop_supersedes_a_restart_and_those_behind_it() {
    let mut desk = Desk::running(1);
    restart(&mut desk, 1, 0);
    restart(&mut desk, 2, 0);
    assert_eq!(
        stop(&mut desk, 3, 0),
        [
            "operation 1 superseded by a later operation",
            "operation 2 superseded by a later operation",
            "drain worker/0#2 5s"
        ]
    );
    leave(&mut desk, worker(0, 1));
    assert_eq!(leave(&mut desk, worker(0, 2))[1..], ["vacate worker/0", "operation 3 done"]);
}

#[test]
fn a_restart_behind_a_stop_waits_for_it() {
    let mut desk = Desk::running(1);
    stop(&mut desk, 1, 0);
    assert_eq!(restart(&mut desk, 2, 0), NOTHING);
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["vacate worker/0", "operation 1 done", "spawn worker/0#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 2 done"]);
}

#[test]
fn a_stop_behind_a_stop_takes_over() {
    let mut desk = Desk::running(1);
    stop(&mut desk, 1, 0);
    restart(&mut desk, 2, 0);
    assert_eq!(
        stop(&mut desk, 3, 0),
        ["operation 1 superseded by a later operation", "operation 2 superseded by a later operation"]
    );
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["vacate worker/0", "operation 3 done"]);
}

#[test]
fn a_scale_that_keeps_the_slot_goes_on_beside_a_restart_and_a_stop() {
    let mut desk = Desk::running(3);
    restart(&mut desk, 1, 0);
    stop(&mut desk, 2, 1);
    assert_eq!(scale(&mut desk, 3, 2), ["drain worker/2#1 5s"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"]);
    assert_eq!(leave(&mut desk, worker(1, 1))[2..], ["operation 2 done"]);
    assert_eq!(leave(&mut desk, worker(2, 1))[3..], ["operation 3 done"]);
}

#[test]
fn a_scale_that_takes_the_slot_away_supersedes_a_restart_and_a_stop() {
    let mut desk = Desk::running(3);
    restart(&mut desk, 1, 2);
    stop(&mut desk, 2, 1);
    assert_eq!(
        scale(&mut desk, 3, 1),
        [
            "operation 1 superseded by a later operation",
            "drain worker/2#2 5s",
            "operation 2 superseded by a later operation",
        ]
    );
    for id in [worker(1, 1), worker(2, 1)] {
        leave(&mut desk, id);
    }
    assert_eq!(leave(&mut desk, worker(2, 2))[1..], ["vacate worker/2", "close worker/2", "operation 3 done"]);
    assert_eq!(restart(&mut desk, 4, 2), ["operation 4 failed: there is no slot worker/2"]);
}

#[test]
fn a_restart_or_a_stop_of_a_slot_that_a_scale_brings() {
    let mut desk = Desk::running(1);
    scale(&mut desk, 1, 3);
    assert_eq!(restart(&mut desk, 2, 1), ["drain worker/1#1 5s"]);
    assert_eq!(stop(&mut desk, 3, 2), ["drain worker/2#1 5s"]);
    assert_eq!(leave(&mut desk, worker(1, 1))[1..], ["spawn worker/1#2"]);
    assert_eq!(leave(&mut desk, worker(2, 1))[1..], ["vacate worker/2", "operation 3 done"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 2)))[2..], ["operation 1 done", "operation 2 done"]);
}

#[test]
fn a_later_scale_supersedes_and_waits_for_what_the_earlier_began() {
    // Up, and less up.
    let mut desk = Desk::running(1);
    scale(&mut desk, 1, 3);
    assert_eq!(scale(&mut desk, 2, 2), ["operation 1 superseded by a later operation", "drain worker/2#1 5s"]);
    desk.tell(Event::Ready(worker(1, 1)));
    assert_eq!(leave(&mut desk, worker(2, 1))[1..], ["vacate worker/2", "close worker/2", "operation 2 done"]);

    // Down, and up again before they have gone.
    let mut desk = Desk::running(2);
    scale(&mut desk, 1, 1);
    assert_eq!(scale(&mut desk, 2, 2), ["operation 1 superseded by a later operation"]);
    assert_eq!(
        leave(&mut desk, worker(1, 1)),
        ["worker/1#1: exited with code 0 -> as operation 1 asked", "spawn worker/1#2"]
    );
    assert_eq!(desk.tell(Event::Ready(worker(1, 2)))[2..], ["operation 2 done"]);
}

fn grouped() -> Desk {
    let strategy = || OneForAll::new(OneForOne::worker());
    let mut desk = Desk::started(Plan::new(vec![role(Role::AGENT, 1, strategy()), role(Role::WORKER, 3, strategy())]));
    desk.pass(millis(1_000));
    desk.exit(agent(1));
    desk
}

#[test]
fn a_restart_in_a_group_is_that_of_the_group() {
    let mut desk = grouped();
    assert_eq!(restart(&mut desk, 1, 0), NOTHING);
    for index in 0..3 {
        leave(&mut desk, worker(index, 1));
    }
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn worker/0#2", "spawn worker/1#2", "spawn worker/2#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"]);
}

#[test]
fn a_stop_in_a_group_leaves_the_slot_empty() {
    let mut desk = grouped();
    assert_eq!(stop(&mut desk, 1, 0), NOTHING, "it is leaving");
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["vacate worker/0", "operation 1 done"]);
    leave(&mut desk, worker(1, 1));
    leave(&mut desk, worker(2, 1));
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn worker/1#2", "spawn worker/2#2"]);
}

#[test]
fn a_scale_in_a_group_has_new_slots_wait_for_their_turn_and_takes_others_away() {
    let mut desk = grouped();
    assert_eq!(scale(&mut desk, 1, 4), ["open worker/3"]);
    for index in 0..3 {
        leave(&mut desk, worker(index, 1));
    }
    assert_eq!(scale(&mut desk, 2, 2).len(), 6, "one is superseded, two are vacated and closed");
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn worker/0#2", "spawn worker/1#2"]);
}
