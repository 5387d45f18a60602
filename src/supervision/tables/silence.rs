//! Members that are silent although they should be heard.

use super::*;

fn silent(id: MemberId) -> Event {
    Event::Unresponsive(id, millis(30_000))
}

#[test]
fn p07_a_silent_worker_is_asked_then_killed_then_restarted_and_counts_once() {
    let mut desk = Desk::running(1);
    assert_eq!(
        desk.tell(silent(worker(0, 1))),
        ["worker/0#1: was unresponsive for 30s -> restart at once", "drain worker/0#1 5s"]
    );
    assert_eq!(desk.tell(silent(worker(0, 1))), NOTHING, "said again");
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/0#1"]);
    assert_eq!(
        desk.exit(worker(0, 1)),
        [
            "worker/0#1: killed by signal 9: killed after 5s in which it did not leave -> restart at once",
            "spawn worker/0#2"
        ]
    );
    assert_eq!(desk.tell(silent(worker(0, 1))), NOTHING, "about the one before");
    assert_eq!(desk.tell(silent(worker(0, 2))), NOTHING, "one that starts has a deadline");
    assert_eq!(desk.history(Slot::worker(0)), 1);
}

#[test]
fn a_strategy_may_leave_a_silent_member_alone_or_replace_it_before_it_goes() {
    let desk = |directive: Directive| {
        let strategy = from_fn(move |_, _, _| directive.clone());
        let mut desk = Desk::started(Plan::new(vec![role(Role::WORKER, 2, strategy)]));
        desk.tell(silent(worker(0, 1)))[1..].to_vec()
    };
    assert_eq!(desk(Directive::Ignore), NOTHING);
    assert_eq!(desk(Directive::Replace { drain: millis(900) }), ["drain worker/0#1 900ms", "spawn worker/0#2"]);
    assert_eq!(desk(Directive::Park { probe: None }), ["drain worker/0#1 5s", "park worker/0"]);
    assert_eq!(desk(Directive::Remove), ["drain worker/0#1 5s", "vacate worker/0"]);
    assert_eq!(desk(Directive::Shutdown), ["terminate worker/0#1 5s", "terminate worker/1#1 5s"]);
    assert_eq!(
        desk(Directive::Restart { scope: Scope::All, after: Duration::ZERO }),
        ["drain worker/0#1 5s", "drain worker/1#1 5s"]
    );
}

#[test]
fn one_that_falls_silent_before_all_are_ready_has_not_started() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    assert_eq!(desk.tell(silent(agent(1)))[0], "agent/0#1: was unresponsive for 30s -> the start has failed");
}

#[test]
fn silence_while_the_cluster_stops_is_no_news() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(desk.tell(silent(worker(0, 1))), NOTHING);
    assert_eq!(desk.tell(silent(agent(1))), NOTHING);
}
