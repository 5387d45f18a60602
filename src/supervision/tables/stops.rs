//! Stops, asked for and given up to.

use super::*;

#[test]
fn a_role_of_which_nobody_gets_ready_ends_the_cluster_loudly() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
    assert_eq!(desk.pass(millis(59_999)), NOTHING);
    assert_eq!(
        desk.pass(millis(1)),
        [
            "worker/0#1: nobody of its role has been ready for 60s -> give up",
            "vacate worker/0",
            "terminate agent/0#1 5s"
        ]
    );
    let said = desk.tell(Event::Exited(agent(1), Exit::code(0)));
    assert_eq!(said[2], "finish: gave up: no member of role worker has been ready for 60s");
}

#[test]
fn one_ready_member_is_enough_not_to_give_up() {
    let mut desk = Desk::running(2);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
}

#[test]
fn a_stop_goes_through_the_roles_in_reverse_and_gives_each_its_time() {
    let mut desk = Desk::running(2);
    assert!(!desk.supervisor.is_stopping());
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    assert!(desk.supervisor.is_stopping());
    assert_eq!(said, ["terminate worker/0#1 5s", "terminate worker/1#1 5s"]);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(0)));
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/1#1"]);
    let said = desk.exit(worker(1, 1));
    assert_eq!(
        said,
        [
            "worker/1#1: killed by signal 9: killed after 5s in which it did not leave -> stopping",
            "vacate worker/1",
            "terminate agent/0#1 5s"
        ]
    );
    assert_eq!(desk.pass(millis(5_000)), ["kill agent/0#1"]);
    assert_eq!(desk.exit(agent(1))[2], "finish: stopped");
}

#[test]
fn a_second_stop_kills_everyone_at_once() {
    let mut desk = Desk::running(2);
    desk.tell(Event::Stop(Urgency::Graceful));
    desk.pass(millis(200));
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(said, ["kill worker/0#1", "kill worker/1#1", "kill agent/0#1"]);
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), NOTHING);
    for id in [agent(1), worker(0, 1)] {
        assert!(!desk.exit(id).iter().any(|line| line.starts_with("finish")));
    }
    let said = desk.exit(worker(1, 1));
    assert_eq!(said[0], "worker/1#1: killed by signal 9: killed by a quick stop -> stopping");
    assert_eq!(said[2], "finish: stopped");
}

#[test]
fn a_stop_that_comes_twice_at_once_is_one() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Stop(Urgency::Graceful));
    for _ in 0..3 {
        assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), NOTHING);
        desk.pass(millis(60));
    }
    // Counted from the first: who goes on asking is heard.
    desk.pass(millis(20));
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), ["kill worker/0#1", "kill agent/0#1"]);

    // A quick one is quick whenever it comes.
    let mut desk = Desk::running(1);
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(desk.tell(Event::Stop(Urgency::Quick)), ["kill worker/0#1", "kill agent/0#1"]);
}

#[test]
fn one_who_closes_its_link_on_its_way_out_keeps_its_time() {
    let mut desk = Desk::running(2);
    desk.tell(Event::Exception(worker(1, 1), panic()));
    desk.tell(Event::Ready(worker(1, 2)));
    desk.tell(Event::Stop(Urgency::Graceful));
    for id in [worker(0, 1), worker(1, 1)] {
        assert_eq!(desk.tell(Event::LinkLost(id, LinkError::Closed)), NOTHING);
    }
    assert_eq!(desk.pass(millis(4_999)), NOTHING);
    assert_eq!(desk.tell(Event::Exited(worker(0, 1), Exit::code(0)))[0], "worker/0#1: exited with code 0 -> stopping");
    assert_eq!(desk.pass(millis(1)), ["kill worker/1#1", "kill worker/1#2"]);
    assert_eq!(
        desk.exit(worker(1, 1)),
        ["worker/1#1: killed by signal 9: killed after 5s in which it did not leave -> stopping"]
    );
}

#[test]
fn stop_wins_over_restart_for_a_waiting_a_parked_and_a_starting_one() {
    let mut desk = Desk::running(3);
    desk.exit(agent(1));
    desk.tell(Event::Exited(worker(0, 1), Exit::code(64)));
    desk.exit(worker(1, 1));
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(said, ["vacate agent/0", "vacate worker/0", "terminate worker/1#2 5s", "terminate worker/2#1 5s"]);
    // What it says while it stops brings nobody back.
    assert_eq!(desk.tell(Event::Ready(worker(1, 2))), NOTHING);
    assert_eq!(desk.tell(Event::Exception(worker(2, 1), panic())), NOTHING);
    desk.exit(worker(1, 2));
    assert_eq!(desk.exit(worker(2, 1)).last().map(String::as_str), Some("finish: stopped"));
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
}

#[test]
fn an_agent_that_dies_while_the_workers_stop_is_not_restarted() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(desk.exit(agent(1)), ["agent/0#1: killed by signal 9 -> stopping", "vacate agent/0"]);
    assert_eq!(desk.exit(worker(0, 1)).last().map(String::as_str), Some("finish: stopped"));
}

#[test]
fn what_one_throws_whose_turn_to_stop_has_not_come_is_told_and_changes_nothing() {
    let strategy = OneForOne::worker;
    let mut desk = Desk::started(Plan::new(vec![role(Role::AGENT, 1, strategy()), role(Role::WORKER, 1, strategy())]));
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(
        desk.tell(Event::Exception(agent(1), panic())),
        ["agent/0#1: panicked at src/main.rs:7:7: boom -> stopping", "stay agent/0#1"]
    );
    assert_eq!(desk.history(Slot::agent()), 0);
    assert_eq!(desk.exit(worker(0, 1))[2..], ["terminate agent/0#1 5s"]);
}

#[test]
fn a_stop_during_the_start_is_no_failure() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), ["vacate worker/0", "terminate agent/0#1 5s"]);
    assert_eq!(desk.tell(Event::Exited(agent(1), Exit::code(0))).last().map(String::as_str), Some("finish: stopped"));
    assert_eq!(
        Desk::new(plan(1)).tell(Event::Stop(Urgency::Graceful)).last().map(String::as_str),
        Some("finish: stopped")
    );
}

#[test]
fn a_process_that_survives_its_kill_is_abandoned_and_named_at_the_end() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Stop(Urgency::Quick));
    desk.exit(agent(1));
    assert_eq!(
        desk.pass(millis(5_000)),
        [
            "abandon worker/0#1",
            "worker/0#1: killed, but still there: killed by a quick stop -> stopping",
            "vacate worker/0",
            "finish: stopped"
        ]
    );
}

#[test]
fn one_that_was_abandoned_and_goes_after_all_is_not_named_at_the_end() {
    let mut desk = Desk::running(1);
    desk.tell(Event::LinkLost(worker(0, 1), LinkError::Protocol("unknown kind 99".into())));
    let said = desk.pass(millis(5_000));
    assert_eq!(said[0], "abandon worker/0#1");
    assert_eq!(desk.supervisor.leftovers, [worker(0, 1)]);
    assert_eq!(desk.exit(worker(0, 1)), NOTHING, "its end has been recorded");
    assert_eq!(desk.supervisor.leftovers, []);
}

#[test]
fn an_exit_that_a_strategy_escalates_ends_the_cluster_in_order() {
    let strategy = from_fn(|_, _, _| Directive::Escalate(Reason::new("the licence has expired")));
    let mut desk =
        Desk::new(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    desk.tell(Event::Ready(worker(0, 1)));
    desk.tell(Event::Ready(worker(1, 1)));
    assert_eq!(desk.exit(worker(0, 1))[1..], ["vacate worker/0", "terminate worker/1#1 5s"]);
    assert_eq!(desk.exit(worker(1, 1))[2], "terminate agent/0#1 5s");
    assert_eq!(desk.exit(agent(1))[2], "finish: gave up: the licence has expired");
}
