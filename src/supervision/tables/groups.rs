//! Groups: who goes along with a failure, in which order, and what may come in between.

use super::*;

const CACHE: Role = Role::new(1, "cache");

fn cache(index: u16, incarnation: u32) -> MemberId {
    Slot::new(CACHE, index).member(Incarnation::new(incarnation))
}

/// One who restarts at once, whatever happened.
fn always(scope: Scope) -> impl Strategy {
    from_fn(move |_, _, _| Directive::Restart { scope, after: Duration::ZERO })
}

/// An agent, two caches and two workers, all of this strategy.
fn three(strategy: impl Strategy) -> Desk {
    let strategy = std::sync::Arc::new(strategy);
    Desk::started(Plan::new(vec![
        role(Role::AGENT, 1, strategy.clone()),
        role(CACHE, 2, strategy.clone()),
        role(Role::WORKER, 2, strategy),
    ]))
}

/// `count` workers of this strategy, all ready.
fn workers(count: u16, strategy: impl Strategy) -> Desk {
    Desk::started(Plan::new(vec![role(Role::WORKER, count, strategy)]))
}

#[test]
fn c26_one_for_one_leaves_the_others_alone() {
    let mut desk = workers(2, OneForOne::worker());
    desk.pass(millis(1_000));
    assert_eq!(desk.exit(worker(0, 1)), ["worker/0#1: killed by signal 9 -> restart at once", "spawn worker/0#2"]);
    assert!(matches!(desk.seat(Slot::worker(1)), Seat::Ready { incarnation: Incarnation::FIRST, .. }));
}

#[test]
fn c27_one_for_all_has_everyone_go_and_starts_when_none_of_the_old_is_left() {
    let mut desk = workers(2, OneForAll::new(OneForOne::worker()));
    desk.pass(millis(1_000));
    assert_eq!(
        desk.exit(worker(0, 1)),
        ["worker/0#1: killed by signal 9 -> restart at once with everyone", "drain worker/1#1 5s"]
    );
    assert_eq!(
        leave(&mut desk, worker(1, 1)),
        ["worker/1#1: exited with code 0 -> goes along with worker/0#1", "spawn worker/0#2", "spawn worker/1#2"]
    );
}

#[test]
fn c28_rest_for_one_leaves_those_before_alone_and_starts_the_rest_in_order() {
    let mut desk = three(RestForOne::new(OneForOne::worker()));
    desk.pass(millis(1_000));
    assert_eq!(desk.exit(cache(1, 1))[1..], ["drain worker/1#1 5s", "drain worker/0#1 5s"]);
    assert_eq!(leave(&mut desk, worker(0, 1)).len(), 1);
    assert_eq!(leave(&mut desk, worker(1, 1))[1..], ["spawn cache/1#2"]);
    assert_eq!(desk.tell(Event::Ready(cache(1, 2)))[2..], ["spawn worker/0#2", "spawn worker/1#2"]);
    for untouched in [Slot::agent(), Slot::new(CACHE, 0)] {
        assert!(matches!(desk.seat(untouched), Seat::Ready { incarnation: Incarnation::FIRST, .. }));
    }
}

#[test]
fn c30_of_five_the_third_takes_the_fifth_and_fourth_along_and_they_start_third_to_fifth() {
    let mut desk = workers(5, RestForOne::new(OneForOne::worker()));
    desk.pass(millis(1_000));
    assert_eq!(desk.exit(worker(2, 1))[1..], ["drain worker/4#1 5s", "drain worker/3#1 5s"]);
    leave(&mut desk, worker(3, 1));
    assert_eq!(leave(&mut desk, worker(4, 1))[1..], ["spawn worker/2#2", "spawn worker/3#2", "spawn worker/4#2"]);
}

#[test]
fn an_agent_that_takes_the_workers_along_is_back_before_them() {
    let agent_first = RestForOne::new(OneForOne::agent());
    let mut desk =
        Desk::started(Plan::new(vec![role(Role::AGENT, 1, agent_first), role(Role::WORKER, 2, OneForOne::worker())]));
    desk.pass(millis(60_000));
    assert_eq!(desk.exit(agent(1))[1..], ["drain worker/1#1 5s", "drain worker/0#1 5s"]);
    leave(&mut desk, worker(0, 1));
    leave(&mut desk, worker(1, 1));
    assert_eq!(desk.pass(millis(700)), NOTHING, "its delay has not passed");
    assert_eq!(desk.pass(millis(600)), ["spawn agent/0#2"]);
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn worker/0#2", "spawn worker/1#2"]);
    desk.tell(Event::Ready(worker(0, 2)));
    desk.tell(Event::Ready(worker(1, 2)));
    desk.pass(millis(1_000));
    assert_eq!(desk.exit(worker(1, 2))[1..], ["spawn worker/1#3"], "the death of a worker is its own");
}

#[test]
fn a_group_leaves_role_by_role_in_reverse_and_each_has_its_time() {
    let mut desk = three(always(Scope::All));
    assert_eq!(desk.exit(agent(1))[1..], ["drain worker/1#1 5s", "drain worker/0#1 5s"]);
    leave(&mut desk, worker(0, 1));
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/1#1"]);
    assert_eq!(
        desk.exit(worker(1, 1)),
        [
            "worker/1#1: killed by signal 9: killed after 5s in which it did not leave -> goes along with agent/0#1",
            "drain cache/1#1 5s",
            "drain cache/0#1 5s"
        ]
    );
    leave(&mut desk, cache(1, 1));
    assert_eq!(leave(&mut desk, cache(0, 1))[1..], ["spawn agent/0#2"]);
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn cache/0#2", "spawn cache/1#2"]);
    desk.tell(Event::Ready(cache(1, 2)));
    assert_eq!(desk.tell(Event::Ready(cache(0, 2)))[2..], ["spawn worker/0#2", "spawn worker/1#2"]);
}

#[test]
fn one_that_throws_leaves_at_once_and_its_group_in_its_order() {
    let mut desk = three(OneForAll::new(OneForOne::worker()));
    let said = desk.tell(Event::Exception(agent(1), panic()));
    assert_eq!(said[0], "agent/0#1: panicked at src/main.rs:7:7: boom -> restart at once with everyone");
    assert_eq!(said[1..], ["drain agent/0#1 5s", "drain worker/1#1 5s", "drain worker/0#1 5s"]);
    // Those whose turn has not come serve on, and what they throw changes nothing.
    assert_eq!(
        desk.tell(Event::Exception(cache(0, 1), panic())),
        ["cache/0#1: panicked at src/main.rs:7:7: boom -> goes along with agent/0#1", "stay cache/0#1"]
    );
}

#[test]
fn one_that_dies_in_its_group_before_its_turn_is_not_asked_about() {
    let mut desk = three(always(Scope::All));
    desk.exit(agent(1));
    assert_eq!(desk.exit(cache(0, 1)), ["cache/0#1: killed by signal 9 -> goes along with agent/0#1"]);
    leave(&mut desk, worker(0, 1));
    assert_eq!(leave(&mut desk, worker(1, 1))[1..], ["drain cache/1#1 5s"]);
    assert_eq!(desk.history(Slot::new(CACHE, 0)), 0, "it was to go");
    assert_eq!(desk.history(Slot::agent()), 1);
}

#[test]
fn a_failure_while_a_group_starts_has_it_begin_again_and_counts() {
    let mut desk = three(always(Scope::All));
    desk.exit(agent(1));
    for id in [worker(0, 1), worker(1, 1), cache(0, 1), cache(1, 1)] {
        leave(&mut desk, id);
    }
    desk.tell(Event::Ready(agent(2)));
    desk.tell(Event::Ready(cache(0, 2)));
    assert_eq!(
        desk.exit(cache(1, 2)),
        ["cache/1#2: killed by signal 9, before it was ready -> restart at once with everyone", "drain cache/0#2 5s"]
    );
    assert_eq!(leave(&mut desk, cache(0, 2))[1..], ["drain agent/0#2 5s"]);
    assert_eq!(leave(&mut desk, agent(2))[1..], ["spawn agent/0#3"]);
    assert_eq!((desk.history(Slot::agent()), desk.history(Slot::new(CACHE, 1))), (1, 1));
}

#[test]
fn rest_for_one_that_fails_while_it_starts_keeps_those_before_it() {
    let mut desk = three(always(Scope::Rest));
    desk.exit(cache(0, 1));
    for id in [worker(0, 1), worker(1, 1), cache(1, 1)] {
        leave(&mut desk, id);
    }
    desk.tell(Event::Ready(cache(0, 2)));
    desk.tell(Event::Ready(cache(1, 2)));
    assert_eq!(desk.exit(worker(0, 2))[1..], ["drain worker/1#2 5s"]);
    assert_eq!(leave(&mut desk, worker(1, 2))[1..], ["spawn worker/0#3", "spawn worker/1#3"]);
    assert_eq!(desk.exit(worker(1, 3))[1..], ["spawn worker/1#4"]);
    assert!(matches!(desk.seat(Slot::agent()), Seat::Ready { incarnation: Incarnation::FIRST, .. }));
}

#[test]
fn a_failure_outside_of_a_group_makes_it_larger() {
    let mut desk = three(always(Scope::Rest));
    assert_eq!(desk.exit(worker(1, 1))[1..], ["spawn worker/1#2"], "it is the last");
    desk.exit(cache(1, 1));
    // The workers leave; the agent dies, and the first cache goes along as well.
    assert_eq!(desk.exit(agent(1)), ["agent/0#1: killed by signal 9 -> restart at once with all after it"]);
    leave(&mut desk, worker(0, 1));
    assert_eq!(leave(&mut desk, worker(1, 2))[1..], ["drain cache/0#1 5s"]);
    assert_eq!(leave(&mut desk, cache(0, 1))[1..], ["spawn agent/0#2"]);
}

#[test]
fn a_group_of_one_role_is_that_role() {
    let mut desk = three(OneForAll::new(OneForOne::worker()).within_role());
    desk.pass(millis(1_000));
    assert_eq!(desk.exit(cache(1, 1))[1..], ["drain cache/0#1 5s"]);
    assert_eq!(leave(&mut desk, cache(0, 1))[1..], ["spawn cache/0#2", "spawn cache/1#2"]);
}

#[test]
fn temporary_siblings_leave_with_their_group_and_are_not_started_again() {
    let mut desk = Desk::started(Plan::new(vec![
        role(Role::AGENT, 1, always(Scope::All)),
        role(Role::WORKER, 1, OneForOne::worker().restart(RestartType::Temporary)),
    ]));
    desk.exit(agent(1));
    assert_eq!(
        leave(&mut desk, worker(0, 1)),
        ["worker/0#1: exited with code 0 -> goes along with agent/0#1", "vacate worker/0", "spawn agent/0#2"]
    );
    assert_eq!(desk.tell(Event::Ready(agent(2)))[1..], ["resend ready agent/0#2"]);
}

#[test]
fn who_is_parked_or_waits_is_not_helped_or_hindered_by_its_group() {
    let strategy = from_fn(|fact, _, _| match fact {
        Fact::Exited(exit) if exit.is_clean() => Directive::Park { probe: Some(millis(60_000)) },
        Fact::BootFailed(_) => Directive::Restart { scope: Scope::One, after: millis(3_000) },
        _ => Directive::Restart { scope: Scope::All, after: Duration::ZERO },
    });
    let mut desk = three(strategy);
    leave(&mut desk, worker(0, 1));
    assert!(matches!(desk.seat(Slot::worker(0)), Seat::Parked { .. }));
    desk.exit(cache(0, 1));
    leave(&mut desk, worker(1, 1));
    leave(&mut desk, cache(1, 1));
    assert_eq!(leave(&mut desk, agent(1))[1..], ["spawn agent/0#2"]);
    desk.tell(Event::Ready(agent(2)));
    desk.tell(Event::Ready(cache(0, 2)));
    // One that fails as it is started has its own delay, and the roles behind it wait for it.
    assert_eq!(desk.exit(cache(1, 2))[1..], NOTHING);
    assert_eq!(desk.pass(millis(3_000)), ["spawn cache/1#3"]);
    assert_eq!(desk.tell(Event::Ready(cache(1, 3)))[2..], ["spawn worker/1#2"]);
    desk.tell(Event::Ready(worker(1, 2)));
    assert!(matches!(desk.seat(Slot::worker(0)), Seat::Parked { .. }), "a group gives no new chance");
    assert_eq!(desk.pass(millis(60_000))[0], "spawn worker/0#2");
}

#[test]
fn a_probe_that_is_due_while_its_group_leaves_is_made_in_the_turn_of_its_role() {
    let strategy = from_fn(|fact, _, _| match fact {
        Fact::Exited(exit) if exit.is_clean() => Directive::Park { probe: Some(millis(100)) },
        _ => Directive::Restart { scope: Scope::All, after: Duration::ZERO },
    });
    let mut desk = three(strategy);
    leave(&mut desk, worker(0, 1));
    desk.exit(agent(1));
    assert_eq!(desk.pass(millis(200)), NOTHING);
    assert_eq!(desk.seat(Slot::worker(0)), &Seat::Unstarted);
    for id in [worker(1, 1), cache(0, 1), cache(1, 1)] {
        leave(&mut desk, id);
    }
    desk.tell(Event::Ready(agent(2)));
    desk.tell(Event::Ready(cache(0, 2)));
    assert_eq!(desk.tell(Event::Ready(cache(1, 2)))[2..], ["spawn worker/0#2", "spawn worker/1#2"]);
}

#[test]
fn the_stop_of_the_cluster_wins_over_a_group_at_every_point() {
    let stop = |mut desk: Desk| {
        let said = desk.tell(Event::Stop(Urgency::Quick));
        assert!(!said.iter().any(|line| line.starts_with("spawn")), "{said:?}");
        let mut last = said;
        for id in [1, 2].into_iter().flat_map(|n| [agent(n), cache(0, n), cache(1, n), worker(0, n), worker(1, n)]) {
            let said = desk.exit(id);
            last = if said.is_empty() { last } else { said };
        }
        assert_eq!(last.last().map(String::as_str), Some("finish: stopped"));
        assert_eq!(desk.supervisor.deadline(), None);
    };
    let strategy = || always(Scope::All);
    let order = [worker(1, 1), worker(0, 1), cache(1, 1), cache(0, 1)];
    for gone in 0..=order.len() {
        let mut desk = three(strategy());
        desk.exit(agent(1));
        order[..gone].iter().for_each(|&id| drop(leave(&mut desk, id)));
        stop(desk);
    }
    let mut desk = three(from_fn(|_, _, _| Directive::Restart { scope: Scope::All, after: millis(900) }));
    desk.exit(agent(1));
    order.iter().for_each(|&id| drop(leave(&mut desk, id)));
    assert!(desk.supervisor.deadline().is_some(), "it pauses");
    stop(desk);
}

#[test]
fn a_group_before_the_first_ready_of_all_is_a_failed_start() {
    let mut desk = Desk::new(Plan::new(vec![
        role(Role::AGENT, 1, OneForOne::agent()),
        role(Role::WORKER, 2, OneForAll::new(OneForOne::worker())),
    ]));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    desk.tell(Event::Ready(worker(0, 1)));
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 1), panic())),
        [
            "worker/0#1: panicked at src/main.rs:7:7: boom -> the start has failed",
            "terminate worker/0#1 5s",
            "terminate worker/1#1 5s"
        ]
    );
}

#[test]
fn a_group_that_never_comes_up_is_given_up_like_a_role() {
    let mut desk = three(always(Scope::All));
    let mut said = desk.exit(agent(1));
    let mut incarnation = 1;
    while !said.iter().any(|line| line.contains("give up")) {
        for id in [worker(0, 1), worker(1, 1), cache(0, 1), cache(1, 1)] {
            leave(&mut desk, id);
        }
        incarnation += 1;
        assert!(incarnation < 100, "it goes on for ever");
        desk.pass(millis(2_000));
        said = desk.exit(agent(incarnation));
    }
    assert!((30..=35).contains(&incarnation), "a minute, two seconds each: {incarnation}");
    assert!(said[0].ends_with("give up: no member of role agent has been ready for 60s"), "{said:?}");
}

#[test]
fn a_group_that_takes_longer_than_the_patience_with_its_last_role_has_its_chance() {
    let workers = RolePlan { give_up_after: millis(1_500), ..role(Role::WORKER, 1, OneForOne::worker()) };
    let mut desk = Desk::started(Plan::new(vec![role(Role::AGENT, 1, always(Scope::All)), workers]));
    desk.exit(agent(1));
    leave(&mut desk, worker(0, 1));
    assert_eq!(desk.pass(millis(3_000)), NOTHING);
    assert_eq!(desk.tell(Event::Ready(agent(2)))[2..], ["spawn worker/0#2"]);
    assert_eq!(desk.pass(millis(3_000)), NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[0], "admit worker/0#2");
    assert_eq!(desk.pass(millis(60_000)), NOTHING);
}

#[test]
fn a_role_whose_turn_never_comes_since_its_group_begins_again_and_again_is_given_up() {
    let mut desk = three(always(Scope::Rest));
    desk.exit(cache(0, 1));
    for id in [worker(0, 1), worker(1, 1), cache(1, 1)] {
        leave(&mut desk, id);
    }
    // The caches serve for a second each time, and are of use; the workers are not even started.
    let mut said = Vec::new();
    for incarnation in 2.. {
        if !said.is_empty() {
            break;
        }
        assert!(incarnation < 100, "it goes on for ever");
        desk.tell(Event::Ready(cache(0, incarnation)));
        desk.pass(millis(3_000));
        said = desk.exit(cache(0, incarnation)).into_iter().filter(|line| line.contains("give up")).collect();
        leave(&mut desk, cache(1, incarnation));
    }
    assert_eq!(said, ["worker/0#1: nobody of its role has been ready for 60s -> give up"]);
}
