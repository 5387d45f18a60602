//! Exceptions of members that are alive.

use super::*;

#[test]
fn an_exception_starts_the_successor_before_the_old_one_leaves_and_counts_once() {
    let mut desk = Desk::running(1);
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 1), panic())),
        [
            "worker/0#1: panicked at src/main.rs:7:7: boom -> replace at once, drain for up to 30s",
            "drain worker/0#1 30s",
            "spawn worker/0#2",
        ]
    );
    desk.tell(Event::Ready(worker(0, 2)));
    let exit = Exit { exception: Some(panic()), ..Exit::code(70) };
    assert_eq!(
        desk.tell(Event::Exited(worker(0, 1), exit)),
        ["worker/0#1: exited with code 70: panicked at src/main.rs:7:7: boom -> replaced before"]
    );
    let at = desk.supervisor.find(Slot::worker(0)).expect("there is a worker");
    assert_eq!(desk.supervisor.roles[at.0].places[at.1].history.iter().count(), 1);
}

#[test]
fn one_who_does_not_finish_draining_is_killed_at_its_deadline() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    assert_eq!(desk.pass(millis(29_999)), NOTHING);
    assert_eq!(desk.pass(millis(1)), ["kill worker/0#1"]);
    assert_eq!(
        desk.exit(worker(0, 1)),
        ["worker/0#1: killed by signal 9: killed after 30s in which it did not leave -> replaced before"]
    );
}

#[test]
fn who_is_hurried_to_the_deadline_that_it_has_is_told_the_time_that_it_had() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    desk.pass(millis(25_000));
    desk.tell(Event::Stop(Urgency::Graceful));
    desk.tell(Event::Exited(worker(0, 2), Exit::code(0)));
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/0#1"]);
    assert!(desk.exit(worker(0, 1))[0].contains("killed after 30s in which it did not leave"));
}

#[test]
fn a_further_exception_ends_the_one_that_was_draining() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    let said = desk.tell(Event::Exception(worker(0, 2), panic()));
    assert_eq!(said[1..], ["kill worker/0#1", "drain worker/0#2 30s", "spawn worker/0#3"]);
    assert_eq!(
        desk.exit(worker(0, 1)),
        [
            "worker/0#1: killed by signal 9: killed while it drained, since the next of its slot has to -> replaced before"
        ]
    );
    // And one of the draining one itself is nobody's business any more.
    assert_eq!(desk.tell(Event::Exception(worker(0, 2), panic())), NOTHING);
}

#[test]
fn an_exception_of_the_agent_changes_nothing() {
    let mut desk = Desk::running(1);
    for _ in 0..20 {
        assert_eq!(
            desk.tell(Event::Exception(agent(1), panic())),
            ["agent/0#1: panicked at src/main.rs:7:7: boom -> carry on", "stay agent/0#1"]
        );
    }
    assert_eq!(desk.exit(agent(1))[0], "agent/0#1: killed by signal 9 -> restart in 1.0s");
}

#[test]
fn an_exception_before_ready_is_a_boot_failure_even_if_the_member_cannot_end_itself() {
    let mut desk = Desk::running(1);
    desk.exit(worker(0, 1));
    assert_eq!(desk.tell(Event::Exception(worker(0, 2), panic())), NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2))), NOTHING);
    assert_eq!(desk.pass(millis(1_000)), ["kill worker/0#2"]);
    let said = desk.exit(worker(0, 2));
    assert_eq!(said, ["worker/0#2: killed by signal 9, before it was ready -> restart at once", "spawn worker/0#3"]);
}

#[test]
fn every_answer_of_a_strategy_to_an_exception_is_carried_out() {
    let answer = |directive: Directive| {
        let strategy = from_fn(move |fact, _, _| match fact {
            Fact::Exception(_) => directive.clone(),
            _ => Directive::Restart { scope: Scope::One, after: Duration::ZERO },
        });
        let mut desk =
            Desk::new(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
        desk.tell(Event::Boot);
        desk.tell(Event::Ready(agent(1)));
        desk.tell(Event::Ready(worker(0, 1)));
        desk.tell(Event::Ready(worker(1, 1)));
        let said = desk.tell(Event::Exception(worker(0, 1), panic()));
        (desk, said[1..].to_vec())
    };
    let (_, said) = answer(Directive::Ignore);
    assert_eq!(said, ["stay worker/0#1"]);
    let (mut desk, said) = answer(Directive::Restart { scope: Scope::One, after: millis(500) });
    assert_eq!(said, ["drain worker/0#1 5s"]);
    assert_eq!(desk.exit(worker(0, 1)), ["worker/0#1: killed by signal 9 -> restart in 500.0ms"]);
    assert_eq!(desk.pass(millis(500)), ["spawn worker/0#2"]);
    let (mut desk, said) = answer(Directive::Park { probe: Some(millis(700)) });
    assert_eq!(said, ["drain worker/0#1 5s", "park worker/0"]);
    assert_eq!(desk.exit(worker(0, 1)), ["worker/0#1: killed by signal 9 -> decided before"]);
    assert_eq!(desk.pass(millis(700)), ["spawn worker/0#2"]);
    let (mut desk, said) = answer(Directive::Remove);
    assert_eq!(said, ["drain worker/0#1 5s", "vacate worker/0"]);
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/0#1"]);
    let (_, said) = answer(Directive::Escalate(Reason::new("enough")));
    assert_eq!(said, ["terminate worker/0#1 5s", "terminate worker/1#1 5s"]);
}
