//! Ends of processes, lost links, and news that come too late.

use super::*;

#[test]
fn a_worker_that_had_been_of_use_is_replaced_at_once_and_hears_ready_once() {
    let mut desk = Desk::running(2);
    assert_eq!(desk.exit(worker(1, 1)), ["worker/1#1: killed by signal 9 -> restart at once", "spawn worker/1#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 2))), ["admit worker/1#2", "resend ready worker/1#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 2))), NOTHING);
}

#[test]
fn the_agent_comes_back_after_a_second_and_the_workers_stay() {
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::Exited(agent(1), Exit::code(1))), ["agent/0#1: exited with code 1 -> restart in 1.0s"]);
    assert_eq!(desk.pass(millis(700)), NOTHING);
    // A fifth of jitter either way.
    assert_eq!(desk.pass(millis(600)), ["spawn agent/0#2"]);
    assert_eq!(desk.tell(Event::Ready(agent(2))), ["admit agent/0#2", "resend ready agent/0#2"]);
}

#[test]
fn p13_while_a_slot_backs_off_its_supervisor_lists_until_when_and_its_sibling_is_served() {
    let mut desk = Desk::running(2);
    for incarnation in 1..=3 {
        desk.exit(worker(0, incarnation));
    }
    let listed = desk.supervisor.which_children().find(|child| child.slot == Slot::worker(0)).expect("it is listed");
    let ChildState::Restarting { restart_at } = listed.state else { panic!("{listed:?}") };
    assert!(listed.member.is_none() && restart_at > desk.now);
    assert_eq!(desk.exit(worker(1, 1))[1..], ["spawn worker/1#2"]);
    assert_eq!(desk.pass(restart_at - desk.now - millis(1)), NOTHING);
    assert_eq!(desk.pass(millis(1)), ["spawn worker/0#4"]);
}

#[test]
fn a_crash_loop_parks_the_slot_tries_again_and_recovers() {
    let mut desk = Desk::running(2);
    let mut incarnation = 1;
    let mut parked = None;
    for _ in 0..20 {
        desk.exit(worker(0, incarnation));
        if let Seat::Parked { probe_at } = desk.seat(Slot::worker(0)) {
            parked = *probe_at;
            break;
        }
        desk.pass(millis(2_000));
        incarnation += 1;
    }
    // The first death was that of a healthy one; five young ones are restarted, the sixth is too many.
    assert_eq!(incarnation, 7);
    let probe = parked.expect("it is tried again") - desk.now;
    assert!((millis(800)..=millis(1_200)).contains(&probe), "{probe:?}");
    assert_eq!(desk.pass(probe), ["spawn worker/0#8"]);
    let said = desk.exit(worker(0, 8));
    assert!(said[0].contains("park, try again in"), "{said:?}");
    let Seat::Parked { probe_at: Some(probe_at) } = *desk.seat(Slot::worker(0)) else { panic!("it is parked again") };
    assert!((millis(1_600)..=millis(2_400)).contains(&(probe_at - desk.now)), "twice as long");
    desk.pass(millis(2_500));
    assert_eq!(desk.tell(Event::Ready(worker(0, 9)))[0], "admit worker/0#9");
    desk.now = desk.now + millis(1_000);
    assert_eq!(desk.exit(worker(0, 9))[0], "worker/0#9: killed by signal 9 -> restart at once");
}

#[test]
fn a_link_that_went_with_its_process_is_an_exit_and_one_that_went_alone_is_the_cause() {
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed)), NOTHING);
    assert_eq!(desk.exit(worker(0, 1))[0], "worker/0#1: killed by signal 9 -> restart at once");

    let mut desk = Desk::running(1);
    desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed));
    assert_eq!(desk.pass(millis(1_000)), ["kill worker/0#1"]);
    let said = desk.exit(worker(0, 1));
    assert_eq!(said, ["worker/0#1: killed by signal 9: it closed its link -> restart at once", "spawn worker/0#2"]);
}

#[test]
fn a_link_that_goes_with_one_that_was_killed_is_not_its_cause() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    assert_eq!(desk.pass(millis(30_000)), ["kill worker/0#1"]);
    desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed));
    let said = desk.exit(worker(0, 1));
    assert!(said[0].contains("killed after 30s in which it did not leave"), "{said:?}");

    // Nor where it went first: it was on its way out, and keeps its time.
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed));
    assert_eq!(desk.pass(millis(29_999)), NOTHING);
    assert_eq!(desk.pass(millis(1)), ["kill worker/0#1"]);
    let said = desk.exit(worker(0, 1));
    assert!(said[0].contains("killed after 30s in which it did not leave"), "{said:?}");
}

#[test]
fn who_breaks_the_protocol_is_killed_at_once_wherever_it_stands() {
    let broken = || LinkError::Protocol("unknown kind 99".into());
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 1), broken())), ["kill worker/0#1"]);
    assert_eq!(
        desk.exit(worker(0, 1))[0],
        "worker/0#1: killed by signal 9: it broke the protocol of its link: unknown kind 99 -> restart at once"
    );
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 2), broken())), ["kill worker/0#2"], "starting");
    desk.exit(worker(0, 2));
    desk.tell(Event::Ready(worker(0, 3)));
    desk.tell(Event::Exception(worker(0, 3), panic()));
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 3), broken())), ["kill worker/0#3"], "draining");
    assert_eq!(
        desk.exit(worker(0, 3)),
        ["worker/0#3: killed by signal 9: it broke the protocol of its link: unknown kind 99 -> replaced before"]
    );
    desk.tell(Event::Ready(worker(0, 4)));
    desk.tell(Event::Operate(OperationId(1), Operation::Stop(Slot::worker(0))));
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 4), broken())), ["kill worker/0#4"], "leaving");
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 4), broken())), NOTHING, "it has been killed");
    assert_eq!(
        desk.exit(worker(0, 4))[0],
        "worker/0#4: killed by signal 9: it broke the protocol of its link: unknown kind 99 -> as operation 1 asked"
    );
}

#[test]
fn all_that_is_due_at_a_moment_is_seen_to_at_that_moment() {
    let strategy = from_fn(|_, _, _| Directive::Restart { scope: Scope::One, after: millis(500) });
    let mut desk = Desk::started(Plan::new(vec![role(Role::WORKER, 3, strategy)]));
    for index in 0..3 {
        assert_eq!(desk.exit(worker(index, 1))[1..], NOTHING);
    }
    desk.now = desk.now + millis(500);
    assert_eq!(desk.tell(Event::DeadlinePassed), ["spawn worker/0#2", "spawn worker/1#2", "spawn worker/2#2"]);
}

#[test]
fn of_several_processes_in_a_slot_each_has_its_own_time() {
    let strategy = OneForOne::worker().on_exception(OnException::Replace { drain: millis(3_000) });
    let mut desk = Desk::started(Plan::new(vec![role(Role::WORKER, 1, strategy)]));
    desk.pass(millis(1_000));
    desk.tell(Event::Exception(worker(0, 1), panic()));
    assert_eq!(desk.pass(millis(3_000)), ["kill worker/0#1"], "its successor has 10 s to be ready");
    assert_eq!(desk.pass(millis(2_000)), NOTHING);
    desk.exit(worker(0, 1));
    desk.tell(Event::Ready(worker(0, 2)));
    desk.tell(Event::Exception(worker(0, 2), panic()));
    desk.tell(Event::Ready(worker(0, 3)));
    desk.tell(Event::Unresponsive(worker(0, 3), millis(30_000)));
    assert_eq!(desk.pass(millis(3_000)), ["kill worker/0#2"], "the other has 5 s to leave");
    assert_eq!(desk.pass(millis(2_000)), ["kill worker/0#3"]);

    // Nor does one that is overdue in the seat shorten the time of one beside it.
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    assert_eq!(desk.pass(millis(10_000)), ["kill worker/0#2"]);
    assert_eq!(desk.pass(millis(5_000))[0], "abandon worker/0#2");
}

/// P11: what is said of one incarnation when the next has been started changes nothing.
#[test]
fn old_news_changes_nothing_in_any_seat() {
    let stale = |id: MemberId| {
        [
            Event::Ready(id),
            Event::Exception(id, panic()),
            Event::LinkLost(id, LinkError::Closed),
            Event::Exited(id, Exit::signal(9)),
        ]
    };
    let mut desk = Desk::running(2);
    desk.exit(worker(0, 1));
    desk.tell(Event::Exited(worker(1, 1), Exit::code(64)));
    for id in [worker(0, 1), worker(1, 1), worker(9, 1), Slot::new(Role::new(7, "ghost"), 0).member(Incarnation::FIRST)]
    {
        for event in stale(id) {
            let told = format!("{event:?}");
            assert_eq!(desk.tell(event), NOTHING, "{told}");
        }
    }
    desk.tell(Event::Ready(worker(0, 2)));
    for event in stale(worker(0, 1)) {
        assert_eq!(desk.tell(event), NOTHING);
    }
    assert!(matches!(desk.seat(Slot::worker(0)), Seat::Ready { .. }));
}
