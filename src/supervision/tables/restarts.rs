//! A restart of a slot from which somebody drains from before.

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
fn that_one_keeps_the_time_that_it_has() {
    let mut desk = one_drains();
    assert_eq!(restart(&mut desk, 1, 0), NOTHING);
    assert_eq!(desk.pass(millis(29_999)), NOTHING);
    assert_eq!(desk.pass(millis(1)), ["kill worker/0#1"], "as without a restart");
    assert_eq!(desk.exit(worker(0, 1))[1..], ["drain worker/0#2 5s", "spawn worker/0#3"]);
}

#[test]
fn one_that_was_killed_is_waited_for_until_it_has_gone_or_is_given_up() {
    let mut desk = one_drains();
    assert_eq!(desk.pass(millis(30_000)), ["kill worker/0#1"]);
    assert_eq!(restart(&mut desk, 1, 0), NOTHING);
    assert_eq!(desk.exit(worker(0, 1))[1..], ["drain worker/0#2 5s", "spawn worker/0#3"]);

    let mut desk = one_drains();
    desk.pass(millis(30_000));
    restart(&mut desk, 1, 0);
    let said = desk.pass(millis(5_000));
    assert_eq!(
        (&*said[0], &said[2..]),
        ("abandon worker/0#1", &["drain worker/0#2 5s".into(), "spawn worker/0#3".into()][..])
    );
}

#[test]
fn two_that_leave_are_both_waited_for_whichever_is_due_first() {
    let mut desk = one_drains();
    // The first is killed, and does not go; the second is to drain for as long as that may take.
    desk.pass(millis(30_000));
    desk.tell(Event::Exception(worker(0, 2), panic()));
    desk.tell(Event::Ready(worker(0, 3)));
    assert_eq!(restart(&mut desk, 1, 0), NOTHING);
    let said = desk.pass(millis(5_000));
    assert_eq!(said.len(), 2, "the first is given up, and the second drains: {said:?}");
    assert_eq!(leave(&mut desk, worker(0, 2))[1..], ["drain worker/0#3 5s", "spawn worker/0#4"]);
}

/// Like [`one_drains`], and a restart waits. Whatever is thrown and whoever is silent is answered like this.
fn one_waits(directive: Directive) -> Desk {
    let strategy = from_fn(move |fact, _, _| match fact {
        Fact::Exception(exception) if exception.message.contains("first") => {
            Directive::Replace { drain: millis(30_000) }
        }
        _ => directive.clone(),
    });
    let mut desk = Desk::started(Plan::new(vec![role(Role::WORKER, 2, strategy)]));
    desk.tell(Event::Exception(worker(0, 1), Exception::new(ExceptionKind::Panic, "the first")));
    desk.tell(Event::Ready(worker(0, 2)));
    assert_eq!(restart(&mut desk, 1, 0), NOTHING);
    desk
}

#[test]
fn one_that_fails_meanwhile_is_answered_by_its_strategy() {
    let mut desk = one_waits(Directive::Ignore);
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 2), panic())),
        ["worker/0#2: panicked at src/main.rs:7:7: boom -> carry on", "stay worker/0#2"]
    );
    assert_eq!(desk.tell(Event::Unresponsive(worker(0, 2), millis(30_000))).len(), 1);
    assert_eq!(leave(&mut desk, worker(0, 1))[1..], ["drain worker/0#2 5s", "spawn worker/0#3"], "it waits on");

    let mut desk = one_waits(Directive::Replace { drain: millis(7_000) });
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 2), panic()))[1..],
        ["kill worker/0#1", "drain worker/0#2 7s", "spawn worker/0#3"]
    );
    assert_eq!(desk.exit(worker(0, 1))[1..], NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 3)))[2..], ["operation 1 done"], "that is the new one");

    let mut desk = one_waits(Directive::Restart { scope: Scope::One, after: millis(9_000) });
    assert_eq!(desk.tell(Event::Unresponsive(worker(0, 2), millis(30_000)))[1..], ["drain worker/0#2 5s"]);
    assert_eq!(
        leave(&mut desk, worker(0, 2)),
        ["worker/0#2: exited with code 0 -> as operation 1 asked", "spawn worker/0#3"],
        "now, as an operator wants it"
    );
}

#[test]
fn one_that_fails_meanwhile_and_would_not_be_replaced_is_since_an_operator_wants_it() {
    for directive in [Directive::Park { probe: None }, Directive::Remove] {
        let mut desk = one_waits(directive);
        assert_eq!(
            desk.tell(Event::Exception(worker(0, 2), panic())),
            [
                "worker/0#2: panicked at src/main.rs:7:7: boom -> as operation 1 asked",
                "kill worker/0#1",
                "drain worker/0#2 5s",
                "spawn worker/0#3"
            ]
        );
        assert_eq!(desk.tell(Event::Ready(worker(0, 3)))[2..], ["operation 1 done"]);
    }
}

#[test]
fn one_that_dies_meanwhile_is_replaced_at_once_and_the_other_drains_on() {
    let mut desk = one_drains();
    restart(&mut desk, 1, 0);
    assert_eq!(desk.exit(worker(0, 2)), ["worker/0#2: killed by signal 9 -> as operation 1 asked", "spawn worker/0#3"]);
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
