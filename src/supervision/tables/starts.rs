//! From boot to the first ready of all.

use super::*;

#[test]
fn no_worker_exists_before_the_agent_is_ready_and_ready_is_told_once() {
    let mut desk = Desk::new(plan(2));
    assert_eq!(desk.tell(Event::Boot), ["spawn agent/0#1"]);
    assert_eq!(desk.tell(Event::Ready(agent(1))), ["admit agent/0#1", "spawn worker/0#1", "spawn worker/1#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 1))), ["admit worker/1#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 1))), ["admit worker/0#1", "announce ready"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 1))), NOTHING);
    assert_eq!(desk.tell(Event::Boot), NOTHING);
}

#[test]
fn roles_start_in_plan_order_whatever_the_order_of_their_declaration() {
    let mailer = Role::new(129, "mailer");
    let roles = [Role::WORKER, mailer, Role::AGENT].map(|which| role(which, 1, OneForOne::worker()));
    let mut desk = Desk::new(Plan::new(roles.to_vec()));
    assert_eq!(desk.tell(Event::Boot), ["spawn agent/0#1"]);
    assert_eq!(desk.tell(Event::Ready(agent(1))), ["admit agent/0#1", "spawn worker/0#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 1))), ["admit worker/0#1", "spawn mailer/0#1"]);
}

#[test]
fn an_agent_that_cannot_boot_ends_the_start_before_any_worker() {
    let mut desk = Desk::new(plan(2));
    desk.tell(Event::Boot);
    assert_eq!(
        desk.tell(Event::Exited(agent(1), Exit::code(3))),
        [
            "agent/0#1: exited with code 3, before it was ready -> the start has failed",
            "vacate agent/0",
            "vacate worker/0",
            "vacate worker/1",
            "finish: start failed: agent/0#1 exited with code 3, before it was ready",
        ]
    );
}

#[test]
fn an_agent_that_dies_while_the_workers_boot_ends_the_start() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    assert_eq!(
        desk.exit(agent(1)),
        ["agent/0#1: killed by signal 9 -> the start has failed", "vacate agent/0", "terminate worker/0#1 5s"]
    );
    assert_eq!(
        desk.tell(Event::Exited(worker(0, 1), Exit::code(0))),
        [
            "worker/0#1: exited with code 0 -> stopping",
            "vacate worker/0",
            "finish: start failed: agent/0#1 killed by signal 9"
        ]
    );
}

#[test]
fn a_worker_that_cannot_boot_stops_the_others_in_reverse_and_is_not_replaced() {
    let mut desk = Desk::new(plan(2));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    desk.tell(Event::Ready(worker(0, 1)));
    assert_eq!(
        desk.tell(Event::Exited(worker(1, 1), Exit::code(70))),
        [
            "worker/1#1: exited with code 70, before it was ready -> the start has failed",
            "vacate worker/1",
            "terminate worker/0#1 5s",
        ]
    );
    assert_eq!(
        desk.tell(Event::Exited(worker(0, 1), Exit::code(0)))[1..],
        ["vacate worker/0", "terminate agent/0#1 5s"]
    );
    let last = desk.tell(Event::Exited(agent(1), Exit::code(0)));
    assert_eq!(last[2], "finish: start failed: worker/1#1 exited with code 70, before it was ready");
}

#[test]
fn who_does_not_say_ready_in_time_is_killed_and_the_start_fails() {
    for agents in [true, false] {
        let mut desk = Desk::new(plan(1));
        desk.tell(Event::Boot);
        let id = match agents {
            true => agent(1),
            false => {
                desk.tell(Event::Ready(agent(1)));
                worker(0, 1)
            }
        };
        assert_eq!(desk.pass(millis(9_999)), NOTHING);
        assert_eq!(desk.pass(millis(1)), [format!("kill {id}")]);
        let said = desk.exit(id);
        assert_eq!(said[0], format!("{id}: was not ready within 10s: start timeout -> the start has failed"));
    }
}

#[test]
fn a_process_that_the_system_refuses_to_start_is_a_failed_start() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    let exit = Exit::not_started("no such file", Some(2));
    assert_eq!(
        desk.tell(Event::Exited(agent(1), exit)).last().map(String::as_str),
        Some("finish: start failed: agent/0#1 could not be started: no such file")
    );
}

#[test]
fn a_start_fails_with_a_member_that_its_strategy_would_put_aside_and_the_record_says_so() {
    for directive in [Directive::Park { probe: None }, Directive::Remove] {
        let strategy = from_fn(move |_, _, _| directive.clone());
        let mut desk =
            Desk::new(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
        desk.tell(Event::Boot);
        desk.tell(Event::Ready(agent(1)));
        desk.tell(Event::Ready(worker(0, 1)));
        assert_eq!(
            desk.tell(Event::Exception(worker(0, 1), panic())),
            [
                "worker/0#1: panicked at src/main.rs:7:7: boom -> the start has failed",
                "terminate worker/0#1 5s",
                "terminate worker/1#1 5s",
            ]
        );
        desk.exit(worker(0, 1));
        desk.exit(worker(1, 1));
        let said = desk.exit(agent(1));
        assert_eq!(
            said.last().map(String::as_str),
            Some("finish: start failed: worker/0#1 panicked at src/main.rs:7:7: boom")
        );
    }
}

#[test]
fn a_function_that_returns_an_error_fails_the_start_of_a_ready_member_too() {
    let returned = || Exception::new(ExceptionKind::Returned, "no licence");
    let sentence = "worker/0#1 its function returned no licence";
    let mut desk = Desk::new(plan(2));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    desk.tell(Event::Ready(worker(0, 1)));
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 1), returned())),
        [
            "worker/0#1: its function returned no licence -> the start has failed",
            "terminate worker/0#1 5s",
            "terminate worker/1#1 5s",
        ]
    );
    desk.exit(worker(0, 1));
    desk.exit(worker(1, 1));
    assert_eq!(desk.exit(agent(1)).last(), Some(&format!("finish: start failed: {sentence}")));

    // When all have been ready it is one of many.
    let mut desk = Desk::running(2);
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 1), returned())).last().map(String::as_str),
        Some("spawn worker/0#2")
    );
}

#[test]
fn a_panic_in_a_task_of_a_ready_member_does_not_end_the_start() {
    let mut desk = Desk::new(plan(2));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    desk.tell(Event::Ready(worker(0, 1)));
    assert_eq!(desk.tell(Event::Exception(worker(0, 1), panic()))[1..], ["drain worker/0#1 30s", "spawn worker/0#2"]);
    desk.tell(Event::Ready(worker(1, 1)));
    assert_eq!(desk.tell(Event::Ready(worker(0, 2))), ["admit worker/0#2", "announce ready"]);
}

#[test]
fn ready_is_not_told_while_an_earlier_role_waits_for_a_successor() {
    let cache = || Role::new(1, "cache");
    let roles = [cache(), Role::WORKER].map(|which| role(which, 1, OneForOne::worker()));
    let cache = |incarnation| Slot::new(cache(), 0).member(Incarnation::new(incarnation));
    let mut desk = Desk::new(Plan::new(roles.to_vec()));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(cache(1)));
    desk.tell(Event::Exception(cache(1), panic()));
    assert_eq!(desk.tell(Event::Ready(worker(0, 1))), ["admit worker/0#1"]);
    assert_eq!(desk.tell(Event::Ready(cache(2))), ["admit cache/0#2", "announce ready"]);
}
