//! What operators ask for, and each pair of wishes that can meet.

use super::*;

#[test]
fn a_restart_of_a_worker_starts_the_successor_first_and_is_done_when_that_is_ready() {
    let mut desk = Desk::running(2);
    assert_eq!(restart(&mut desk, 7, 0), ["drain worker/0#1 5s", "spawn worker/0#2"]);
    assert_eq!(
        desk.tell(Event::Ready(worker(0, 2))),
        ["admit worker/0#2", "resend ready worker/0#2", "operation 7 done"]
    );
    assert_eq!(leave(&mut desk, worker(0, 1)), ["worker/0#1: exited with code 0 -> replaced before"]);
    assert_eq!(desk.history(Slot::worker(0)), 0, "no budget is charged");
}

#[test]
fn a_restart_of_the_agent_waits_until_the_old_one_has_gone() {
    let mut desk = Desk::running(1);
    assert_eq!(operate(&mut desk, 1, Operation::Restart(Slot::agent())), ["drain agent/0#1 5s"]);
    assert_eq!(desk.pass(millis(5_000)), ["kill agent/0#1"]);
    assert_eq!(
        desk.exit(agent(1)),
        [
            "agent/0#1: killed by signal 9: killed after 5s in which it did not leave -> as operation 1 asked",
            "spawn agent/0#2"
        ]
    );
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["operation 1 done"]);
    assert_eq!(desk.history(Slot::agent()), 0);
}

#[test]
fn an_empty_slot_is_restarted_now_whatever_it_waited_for() {
    let mut desk = Desk::running(3);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(64)));
    assert_eq!(restart(&mut desk, 1, 0), ["spawn worker/0#2"], "parked for good");
    desk.tell(Event::Exited(agent(1), Exit::code(1)));
    assert_eq!(operate(&mut desk, 2, Operation::Restart(Slot::agent())), ["spawn agent/0#2"], "waiting");
    stop(&mut desk, 3, 1);
    leave(&mut desk, worker(1, 1));
    assert_eq!(restart(&mut desk, 4, 1), ["spawn worker/1#2"], "stopped");
    assert_eq!(desk.tell(Event::Ready(worker(1, 2)))[2..], ["operation 4 done"]);
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["operation 2 done"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"]);
}

#[test]
fn c21_a_transient_member_that_has_ended_can_be_restarted() {
    let strategy = OneForOne::worker().restart(RestartType::Transient);
    let mut desk = Desk::started(Plan::new(vec![role(Role::WORKER, 1, strategy)]));
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["vacate worker/0"]);
    assert_eq!(desk.supervisor.count_children().specs, 1);
    assert_eq!(restart(&mut desk, 1, 0), ["spawn worker/0#2"]);
}

#[test]
fn c08_a_restart_whose_process_does_not_get_ready_says_why_and_supervision_goes_on() {
    let mut desk = Desk::running(1);
    restart(&mut desk, 1, 0);
    assert_eq!(
        desk.tell(Event::Exited(worker(0, 2), Exit::code(70))),
        [
            "worker/0#2: exited with code 70, before it was ready -> restart at once",
            "spawn worker/0#3",
            "operation 1 failed: worker/0#2 did not become ready: exited with code 70, before it was ready"
        ]
    );
    assert_eq!(desk.history(Slot::worker(0)), 1, "it failed by itself");
    let mut desk = Desk::running(1);
    restart(&mut desk, 1, 0);
    desk.exit(worker(0, 1));
    assert_eq!(desk.pass(millis(10_000)), ["kill worker/0#2"]);
    let said = desk.exit(worker(0, 2));
    assert!(said[2].starts_with("operation 1 failed: worker/0#2 did not become ready: was not ready"), "{said:?}");
}

#[test]
fn a_restart_of_one_that_boots_or_leaves_is_a_new_process() {
    let mut desk = Desk::running(1);
    desk.exit(worker(0, 1));
    assert_eq!(restart(&mut desk, 1, 0), ["drain worker/0#2 5s"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2))), NOTHING);
    assert_eq!(
        leave(&mut desk, worker(0, 2)),
        ["worker/0#2: exited with code 0 -> as operation 1 asked", "spawn worker/0#3"]
    );
    assert_eq!(desk.tell(Event::Ready(worker(0, 3)))[2..], ["operation 1 done"]);

    let mut desk = Desk::running(1);
    desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed));
    assert_eq!(restart(&mut desk, 1, 0), NOTHING);
    assert_eq!(desk.exit(worker(0, 1)), ["worker/0#1: killed by signal 9 -> as operation 1 asked", "spawn worker/0#2"]);
    assert_eq!(desk.history(Slot::worker(0)), 0, "its strategy is not asked");
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 1 done"]);
}

#[test]
fn c42_c44_a_stopped_slot_stays_empty_and_to_stop_it_again_is_no_error() {
    let mut desk = Desk::running(2);
    assert_eq!(stop(&mut desk, 1, 0), ["drain worker/0#1 5s"]);
    assert_eq!(
        leave(&mut desk, worker(0, 1)),
        ["worker/0#1: exited with code 0 -> as operation 1 asked", "vacate worker/0", "operation 1 done"]
    );
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
    assert_eq!(stop(&mut desk, 2, 0), ["operation 2 done"]);
    assert_eq!(stop(&mut desk, 3, 9), ["operation 3 failed: there is no slot worker/9"]);
    assert_eq!(desk.seat(Slot::worker(0)), &Seat::Stopped);
    assert_eq!(desk.history(Slot::worker(0)), 0);
}

#[test]
fn a_stop_waits_for_those_who_drain_beside_the_seat_and_hurries_them() {
    let mut desk = Desk::running(2);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    assert_eq!(stop(&mut desk, 1, 0), ["drain worker/0#2 5s"]);
    assert_eq!(leave(&mut desk, worker(0, 2))[1..], ["vacate worker/0"]);
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/0#1"], "it had 30 s");
    assert_eq!(desk.exit(worker(0, 1))[1..], ["operation 1 done"]);
}

#[test]
fn patience_does_not_run_out_over_what_an_operator_stopped() {
    let mut desk = Desk::running(2);
    for index in 0..2 {
        stop(&mut desk, 1, index);
        leave(&mut desk, worker(index, 1));
    }
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
    assert_eq!(restart(&mut desk, 2, 0), ["spawn worker/0#2"]);
    assert_eq!(desk.exit(worker(0, 2))[1], "spawn worker/0#3", "and it has all of it when there is somebody again");

    // Nor while it is on the way.
    let agent_plan = RolePlan { give_up_after: millis(1_500), ..role(Role::AGENT, 1, OneForOne::agent()) };
    let mut desk = Desk::started(Plan::new(vec![agent_plan]));
    operate(&mut desk, 1, Operation::Restart(Slot::agent()));
    assert_eq!(desk.pass(millis(4_000)), NOTHING);
    leave(&mut desk, agent(1));
    assert_eq!(desk.pass(millis(1_400)), NOTHING);
    assert!(desk.exit(agent(2))[0].contains("restart in"), "its patience began when it was started");
}

#[test]
fn scaling_up_opens_slots_and_is_done_when_all_new_ones_are_ready() {
    let mut desk = Desk::running(1);
    assert_eq!(scale(&mut desk, 1, 3), ["open worker/1", "spawn worker/1#1", "open worker/2", "spawn worker/2#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(2, 1)))[1..], ["resend ready worker/2#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 1)))[2..], ["operation 1 done"]);
    assert_eq!(scale(&mut desk, 2, 3), ["operation 2 done"]);
    let counts = desk.supervisor.count_children();
    assert_eq!((counts.specs, counts.active, counts.ready), (4, 4, 4), "with the agent");
}

#[test]
fn scaling_down_retires_the_highest_and_their_numbers_go_on_when_they_come_back() {
    let mut desk = Desk::running(3);
    assert_eq!(scale(&mut desk, 1, 1), ["drain worker/2#1 5s", "drain worker/1#1 5s"]);
    assert_eq!(leave(&mut desk, worker(2, 1))[1..], ["vacate worker/2", "close worker/2"]);
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/1#1"]);
    assert_eq!(desk.exit(worker(1, 1))[1..], ["vacate worker/1", "close worker/1", "operation 1 done"]);
    assert_eq!(desk.supervisor.which_children().filter(|child| child.slot.role() == Role::WORKER).count(), 1);
    assert_eq!(restart(&mut desk, 2, 1), ["operation 2 failed: there is no slot worker/1"]);
    assert_eq!(scale(&mut desk, 3, 2), ["open worker/1", "spawn worker/1#2"], "a number is never used again");
}

#[test]
fn scaling_to_nobody_and_back_is_legal_and_nobody_is_missed() {
    let mut desk = Desk::running(2);
    scale(&mut desk, 1, 0);
    leave(&mut desk, worker(0, 1));
    assert_eq!(leave(&mut desk, worker(1, 1))[3..], ["operation 1 done"]);
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
    assert_eq!(scale(&mut desk, 2, 1), ["open worker/0", "spawn worker/0#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[2..], ["operation 2 done"]);
    desk.tell(Event::Stop(Urgency::Graceful));
    leave(&mut desk, worker(0, 2));
    assert_eq!(leave(&mut desk, agent(1)).last().map(String::as_str), Some("finish: stopped"));
}

#[test]
fn c07_a_new_slot_that_cannot_boot_fails_the_scaling_and_is_supervised_like_any() {
    let mut desk = Desk::running(1);
    scale(&mut desk, 1, 3);
    let said = desk.tell(Event::Exited(worker(1, 1), Exit::not_started("too many open files", Some(24))));
    assert_eq!(
        said[1..],
        [
            "spawn worker/1#2",
            "operation 1 failed: worker/1#1 did not become ready: could not be started: too many open files"
        ]
    );
    assert_eq!(desk.tell(Event::Ready(worker(2, 1))).len(), 2, "it is concluded once");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut desk = Desk::new(plan(1));
    assert_eq!(scale(&mut desk, 1, 3), ["operation 1 failed: the cluster is not ready yet"]);
    desk.tell(Event::Boot);
    assert_eq!(restart(&mut desk, 2, 0), ["operation 2 failed: the cluster is not ready yet"]);
    let mut desk = Desk::running(1);
    let ghost = Operation::Scale(Role::new(7, "ghost"), 1);
    assert_eq!(operate(&mut desk, 3, ghost), ["operation 3 failed: there is no role ghost"]);
    let single = RolePlan { max_count: 1, ..role(Role::AGENT, 1, OneForOne::agent()) };
    let mut lonely = Desk::started(Plan::new(vec![single]));
    assert_eq!(
        operate(&mut lonely, 4, Operation::Scale(Role::AGENT, 2)),
        ["operation 4 failed: role agent may have 1 members at most"]
    );
    let single = RolePlan { max_count: 2, ..role(Role::AGENT, 1, OneForOne::agent()) };
    let mut lonely = Desk::started(Plan::new(vec![single]));
    assert_eq!(operate(&mut lonely, 4, Operation::Scale(Role::AGENT, 2)), ["open agent/1", "spawn agent/1#1"]);
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(stop(&mut desk, 5, 0), ["operation 5 failed: the cluster is stopping"]);
}

#[test]
fn the_stop_of_the_cluster_concludes_every_operation() {
    let mut desk = Desk::running(3);
    restart(&mut desk, 1, 0);
    restart(&mut desk, 2, 0);
    stop(&mut desk, 3, 1);
    scale(&mut desk, 4, 5);
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    let concluded: Vec<_> = said.iter().filter(|line| line.starts_with("operation")).collect();
    assert_eq!(
        concluded,
        [1, 2, 3, 4].map(|id| format!("operation {id} failed: the cluster is stopping")).iter().collect::<Vec<_>>()
    );
}
