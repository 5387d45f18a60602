//! What OTP's own suite checks of a supervisor, and what processes add to it, row by row: C01 to C53 and P01 to P14. A
//! supervisor is the core, its children are slots; `start_child` is to scale up, `terminate_child` is to stop a slot.
//!
//! Rows that are not here by number, and where they are:
//!
//! | row | where |
//! |---|---|
//! | C07, C08, C21, C42, C44 | `tables/operations.rs` |
//! | C26, C27, C28, C30 | `tables/groups.rs` |
//! | C47 to C50 | `tables/significance.rs` |
//! | P07 | `tables/silence.rs` |
//! | P11, P13 | `tables/ends.rs` |
//! | C37, C52 | `tests/embedding/nested.rs`: a supervisor in a supervisor is a cluster in a tree of actors |
//! | P12 | `tests/cluster/orphans.rs`: it needs processes |
//! | P09 | `transport/slot_queue_tests.rs` and `tests/cluster/messages.rs`: frames are not the core's |
//!
//! And rows that make no sense here:
//!
//! | row | why |
//! |---|---|
//! | C02 | `init` that says ignore: the plan is a value, and a plan without roles is refused before there is a core |
//! | C25 | big start arguments: a slot has none, its role function is in the program |
//! | C46 | a name that is taken by an outsider: slots have numbers, and nobody else gives them |
//! | C53 | a change of mode at runtime: a plan is a value, and a cluster keeps the strategies that it was started with |

use super::*;

pub(super) fn workers(count: u16, strategy: impl Strategy) -> Desk {
    Desk::started(Plan::new(vec![role(Role::WORKER, count, strategy)]))
}

pub(super) fn ended(desk: &mut Desk, id: MemberId, code: i32) -> Vec<String> {
    desk.tell(Event::Exited(id, Exit::code(code)))
}

pub(super) fn of_type(restart: RestartType) -> OneForOne {
    OneForOne::worker().restart(restart)
}

/// Restarts at once, whatever happened, and gives up beyond this.
fn intense(restarts: usize, secs: u64) -> Escalating<OneForOne> {
    Escalating::new(OneForOne::worker().unlimited(), Intensity::new(restarts, Duration::from_secs(secs)))
}

#[test]
fn c01_a_supervisor_without_children_starts_and_ends_well() {
    let mut desk = Desk::new(Plan::new(vec![role(Role::WORKER, 0, OneForOne::worker())]));
    assert_eq!(desk.tell(Event::Boot), ["announce ready"]);
    assert_eq!(desk.pass(millis(600_000)), NOTHING, "nobody is to be ready, and nobody is waited for");
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), ["finish: stopped"]);
    // And one that is stopped before it has any.
    assert_eq!(
        Desk::new(plan(1)).tell(Event::Stop(Urgency::Graceful)).last().expect("something follows"),
        "finish: stopped"
    );
}

#[test]
fn c03_a_child_that_has_nothing_to_do_keeps_its_slot_and_is_not_active() {
    let mut desk = workers(2, of_type(RestartType::Transient));
    ended(&mut desk, worker(0, 1), 0);
    let counts = desk.supervisor.count_children();
    assert_eq!((counts.specs, counts.active), (2, 1));
}

#[test]
fn c04_c23_a_temporary_child_is_never_restarted_however_it_ends_and_can_be_had_again() {
    for exit in [Exit::code(0), Exit::code(1), Exit::signal(9)] {
        let mut desk = workers(1, of_type(RestartType::Temporary));
        let said = desk.tell(Event::Exited(worker(0, 1), exit));
        assert_eq!(said[1..], ["vacate worker/0"]);
        assert_eq!(desk.pass(millis(600_000)), NOTHING);
        let again = Event::Operate(OperationId(1), Operation::Restart(Slot::worker(0)));
        assert_eq!(desk.tell(again), ["spawn worker/0#2"]);
    }
}

#[test]
fn c05_c33_one_of_a_pool_that_has_nothing_to_do_when_it_is_restarted_disappears_and_the_stop_works() {
    let mut desk = workers(2, of_type(RestartType::Transient));
    desk.exit(worker(0, 1));
    assert_eq!(ended(&mut desk, worker(0, 2), 0)[1..], ["vacate worker/0"]);
    assert_eq!(desk.supervisor.count_children().active, 1);
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(ended(&mut desk, worker(1, 1), 0).last().expect("something follows"), "finish: stopped");
}

#[test]
fn c06_a_start_that_fails_has_a_typed_cause_and_leaves_nobody() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    let actions = desk.supervisor.handle(Event::Exited(agent(1), Exit::code(3)), desk.now);
    let Some(Action::Finish(outcome)) = actions.as_slice().last() else { panic!("{actions:?}") };
    assert_eq!(outcome.verdict, Verdict::StartFailed(agent(1), Cause::BootFailed(BootFailure::Ended(Exit::code(3)))));
    assert_eq!(desk.supervisor.count_children().active, 0);
}

#[test]
fn c09_what_is_not_said_of_a_child_can_be_read_back() {
    let plan = RolePlan::new(Role::WORKER, 1, OneForOne::worker());
    assert_eq!((plan.ready_timeout, plan.stop_timeout), (millis(60_000), millis(5_000)));
    let supervisor = Supervisor::new(Plan::new(vec![plan]), 0);
    let child = supervisor.which_children().next().expect("there is one");
    assert_eq!(child, Child::new(Slot::worker(0), ChildState::Unstarted).restart_type(RestartType::Permanent));
}

#[test]
fn c10_combinations_that_cannot_be_meant_name_the_setting() {
    let setting = |strategy: &dyn Strategy| strategy.check().err().map(|misfit| misfit.setting);
    let permanent = Significant::any(of_type(RestartType::Permanent));
    assert_eq!(setting(&permanent), Some("significant"));
    assert_eq!(setting(&RestForOne::new(permanent.clone())), Some("significant"), "however deep");
    assert_eq!(setting(&Significant::all(of_type(RestartType::Temporary))), None);
    assert_eq!(setting(&intense(3, 0)), Some("the period of intensity"));
    let drain = OnException::Replace { drain: Duration::ZERO };
    assert_eq!(setting(&Exceptional::new(OneForOne::worker(), drain)), Some("the drain of on_exception"));
    assert_eq!(setting(&OneForAll::new(OneForOne::worker().stable_after(Duration::ZERO))), Some("stable_after"));
    assert_eq!(setting(&OneForAll::new(intense(3, 5))), None);
}

#[test]
fn c11_c17_the_start_is_in_order_and_the_stop_in_reverse() {
    let names = [1, 2, 3, 4, 5].map(|rank| Role::new(rank, "r"));
    let order = [names[3], names[0], names[4], names[1], names[2]];
    let mut desk = Desk::new(Plan::new(order.map(|which| role(which, 1, OneForOne::worker())).to_vec()));
    let first = |which: Role| Slot::new(which, 0).member(Incarnation::FIRST);
    desk.tell(Event::Boot);
    for pair in names.windows(2) {
        assert_eq!(desk.tell(Event::Ready(first(pair[0]))).last(), Some(&format!("spawn {}", first(pair[1]))));
    }
    desk.tell(Event::Ready(first(names[4])));
    let mut said = desk.tell(Event::Stop(Urgency::Graceful));
    for which in names.into_iter().rev() {
        assert_eq!(said.last(), Some(&format!("terminate {} 5s", first(which))));
        said = ended(&mut desk, first(which), 0);
    }
    assert_eq!(said.last().map(String::as_str), Some("finish: stopped"));
}

#[test]
fn c13_who_has_all_the_time_that_there_is_is_waited_for() {
    let endless = RolePlan { stop_timeout: Duration::MAX, ..role(Role::WORKER, 1, OneForOne::worker()) };
    let mut desk = Desk::started(Plan::new(vec![endless]));
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(desk.pass(Duration::from_secs(1 << 40)), NOTHING);
    assert_eq!(ended(&mut desk, worker(0, 1), 0).last().expect("something follows"), "finish: stopped");
}

#[test]
fn c14_p10_one_goes_when_asked_and_one_is_killed_after_its_time_and_each_is_told_as_what_it_was() {
    let mut desk = Desk::running(2);
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(ended(&mut desk, worker(0, 1), 0)[0], "worker/0#1: exited with code 0 -> stopping");
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/1#1"]);
    assert!(desk.exit(worker(1, 1))[0].contains("killed after 5s in which it did not leave"));
}

#[test]
fn c15_one_that_has_no_time_to_stop_is_killed_at_once_and_the_others_have_theirs() {
    let brutal = RolePlan { stop_timeout: Duration::ZERO, ..role(Role::WORKER, 2, OneForOne::worker()) };
    let mut desk = Desk::started(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), brutal]));
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), ["terminate worker/0#1 0ns", "terminate worker/1#1 0ns"]);
    assert_eq!(desk.pass(Duration::ZERO), ["kill worker/0#1", "kill worker/1#1"]);
    desk.exit(worker(0, 1));
    assert_eq!(desk.exit(worker(1, 1)).last().expect("something follows"), "terminate agent/0#1 5s");
    assert_eq!(desk.pass(millis(4_999)), NOTHING);
    assert_eq!(desk.pass(millis(1)), ["kill agent/0#1"]);
}

#[test]
fn c15_a_quick_stop_gives_nobody_any_time() {
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::Stop(Urgency::Quick))[1..], ["kill worker/0#1", "kill agent/0#1"]);
}

#[test]
fn c19_p08_one_that_has_cut_its_link_hangs_nothing_and_leaves_no_orphan() {
    let mut desk = Desk::running(1);
    desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed));
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), NOTHING);
    assert_eq!(desk.pass(millis(1_000)), ["kill worker/0#1"]);
    assert_eq!(desk.exit(worker(0, 1)).last().expect("something follows"), "terminate agent/0#1 5s");
}

#[test]
fn c20_a_permanent_child_is_restarted_each_time_however_it_ends() {
    let mut desk = workers(1, of_type(RestartType::Permanent).unlimited());
    for (nth, exit) in [Exit::code(0), Exit::code(1), Exit::signal(9), Exit::code(0)].into_iter().enumerate() {
        let nth = nth as u32 + 1;
        let said = desk.tell(Event::Exited(worker(0, nth), exit));
        assert_eq!(said[1..], [format!("spawn worker/0#{}", nth + 1)]);
    }
}

#[test]
fn c22_a_transient_child_is_restarted_when_it_did_not_end_well() {
    for exit in [Exit::code(1), Exit::signal(9), Exit::signal(15)] {
        let mut desk = workers(1, of_type(RestartType::Transient));
        assert_eq!(desk.tell(Event::Exited(worker(0, 1), exit))[1..], ["spawn worker/0#2"]);
    }
}

#[test]
fn c29_of_a_pool_only_the_one_that_died_is_replaced() {
    let mut desk = workers(1_000, OneForOne::worker());
    assert_eq!(desk.exit(worker(617, 1))[1..], ["spawn worker/617#2"]);
    assert_eq!(desk.supervisor.count_children().active, 1_000);
}

#[test]
fn c34_the_third_restart_in_the_window_is_one_too_many_for_each_kind_of_group() {
    let two = Intensity::new(2, Duration::from_secs(5));
    let one = || OneForOne::worker().unlimited();
    let desks = [
        workers(2, Escalating::new(one(), two)),
        workers(2, Escalating::new(OneForAll::new(one()), two)),
        workers(2, Escalating::new(RestForOne::new(one()), two)),
    ];
    for mut desk in desks {
        let mut said = Vec::new();
        for nth in 1..=3 {
            desk.tell(Event::Ready(worker(0, nth)));
            said = desk.exit(worker(0, nth));
            assert_eq!(said[0].contains("give up"), nth == 3, "{said:?}");
            if said
                .iter()
                .any(|line| ["drain worker/1", "terminate worker/1"].iter().any(|asked| line.starts_with(asked)))
            {
                ended(&mut desk, worker(1, nth), 0);
            }
        }
        assert!(said[0].ends_with("give up: worker/0 would be restart 3 within 5s"), "{said:?}");
        // Whoever is left is stopped; OTP ends with `shutdown`, here it is told why.
        for nth in 1..=3 {
            let last = ended(&mut desk, worker(1, nth), 0);
            said = if last.is_empty() { said } else { last };
        }
        assert_eq!(desk.supervisor.count_children().active, 0, "{said:?}");
    }
}

#[test]
fn c35_failures_that_are_further_apart_than_the_period_never_are_too_many() {
    let mut desk = workers(1, intense(1, 1));
    for nth in 1..50 {
        assert_eq!(desk.exit(worker(0, nth))[1..], [format!("spawn worker/0#{}", nth + 1)]);
        desk.pass(millis(1_001));
    }
    desk.exit(worker(0, 50));
    assert!(desk.exit(worker(0, 51))[0].contains("give up"));
}

#[test]
fn c36_a_child_that_cannot_be_started_again_counts_each_time_and_its_siblings_are_stopped() {
    let mut desk = workers(2, intense(3, 5));
    desk.exit(worker(0, 1));
    for nth in 2..=3 {
        let said = desk.tell(Event::Exited(worker(0, nth), Exit::not_started("no such file", Some(2))));
        assert_eq!(said[1..], [format!("spawn worker/0#{}", nth + 1)]);
    }
    let said = desk.tell(Event::Exited(worker(0, 4), Exit::not_started("no such file", Some(2))));
    assert_eq!(said[1..], ["vacate worker/0", "terminate worker/1#1 5s"]);
}

#[test]
fn after_a_group_restart_slots_of_the_plan_and_slots_that_were_added_are_there() {
    // The number of slots is what an operator last said.
    let mut desk = workers(1, OneForAll::new(OneForOne::worker()));
    desk.tell(Event::Operate(OperationId(1), Operation::Scale(Role::WORKER, 2)));
    desk.tell(Event::Ready(worker(1, 1)));
    desk.pass(millis(2_000));
    desk.exit(worker(0, 1));
    assert_eq!(ended(&mut desk, worker(1, 1), 0)[1..], ["spawn worker/0#2", "spawn worker/1#2"]);
}

#[test]
fn c41_to_start_what_is_there_starts_nothing() {
    let mut desk = Desk::running(2);
    let same = Event::Operate(OperationId(1), Operation::Scale(Role::WORKER, 2));
    assert_eq!(desk.tell(same), ["operation 1 done"]);
    // Nor what is there and was stopped: to have it back is to restart it.
    stop(&mut desk, 2, 1);
    assert_eq!(leave(&mut desk, worker(1, 1)).last().expect("something follows"), "operation 2 done");
    assert_eq!(scale(&mut desk, 3, 2), ["operation 3 done"]);
    let counts = desk.supervisor.count_children();
    assert_eq!((counts.specs, counts.active), (3, 2));
    assert_eq!(restart(&mut desk, 4, 1), ["spawn worker/1#2"]);
}

#[test]
fn c43_counts_are_right_through_every_transition() {
    let counts = |desk: &Desk| {
        let ChildCounts { specs, active, ready, restarting, parked } = desk.supervisor.count_children();
        [specs, active, ready, restarting, parked]
    };
    let mut desk = Desk::new(plan(2));
    assert_eq!(counts(&desk), [3, 0, 0, 0, 0]);
    desk.tell(Event::Boot);
    assert_eq!(counts(&desk), [3, 1, 0, 0, 0]);
    let mut desk = Desk::running(2);
    assert_eq!(counts(&desk), [3, 3, 3, 0, 0]);
    desk.exit(agent(1));
    assert_eq!(counts(&desk), [3, 2, 2, 1, 0]);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(64)));
    assert_eq!(counts(&desk), [3, 1, 1, 1, 1]);
    desk.tell(Event::Exception(worker(1, 1), panic()));
    assert_eq!(counts(&desk), [3, 2, 0, 1, 1], "two in one slot");

    let mut desk = workers(1_000, OneForOne::worker());
    desk.tell(Event::Operate(OperationId(1), Operation::Scale(Role::WORKER, 2_000)));
    assert_eq!(counts(&desk), [2_000, 2_000, 1_000, 0, 0]);
    desk.tell(Event::Operate(OperationId(2), Operation::Scale(Role::WORKER, 0)));
    (0..2_000).for_each(|index| drop(ended(&mut desk, worker(index, 1), 0)));
    assert_eq!(counts(&desk), [0; 5]);
}

#[test]
fn p01_a_process_that_cannot_be_spawned_is_a_start_that_failed_and_counts() {
    for (what, errno) in [("no such file", 2), ("no more processes", 11), ("too many open files", 24)] {
        let mut desk = Desk::running(1);
        desk.exit(worker(0, 1));
        let said = desk.tell(Event::Exited(worker(0, 2), Exit::not_started(what, Some(errno))));
        assert_eq!(said[0], format!("worker/0#2: could not be started: {what} -> restart at once"));
        assert_eq!(desk.history(Slot::worker(0)), 2);
    }
}

#[test]
fn p02_p03_who_ends_before_ready_or_is_not_ready_in_time_has_failed_to_boot() {
    let mut desk = Desk::running(1);
    desk.exit(worker(0, 1));
    assert!(ended(&mut desk, worker(0, 2), 0)[0].starts_with("worker/0#2: exited with code 0, before it was ready"));
    // It is the second young one in a row, or the first: the successor of one that had served was at once.
    desk.pass(millis(200));
    assert_eq!(desk.pass(millis(10_000)), ["kill worker/0#3"]);
    assert!(desk.exit(worker(0, 3))[0].starts_with("worker/0#3: was not ready within 10s: start timeout"));
}

#[test]
fn p04_an_exception_of_the_agent_is_an_event_and_no_restart() {
    let mut desk = Desk::running(1);
    let said = desk.tell(Event::Exception(agent(1), panic()));
    assert_eq!(said[1..], ["stay agent/0#1"]);
    assert_eq!(desk.history(Slot::agent()), 0);
}

#[test]
fn p05_an_exception_of_a_worker_starts_its_successor_first_and_counts_once() {
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::Exception(worker(0, 1), panic()))[1..], ["drain worker/0#1 30s", "spawn worker/0#2"]);
    desk.tell(Event::Ready(worker(0, 2)));
    assert_eq!(desk.pass(millis(30_000)), ["kill worker/0#1"]);
    desk.exit(worker(0, 1));
    assert_eq!(desk.history(Slot::worker(0)), 1);
}

#[test]
fn p06_who_is_killed_is_restarted_and_the_cause_says_by_what() {
    let mut desk = Desk::running(2);
    assert_eq!(desk.exit(worker(0, 1))[0], "worker/0#1: killed by signal 9 -> restart at once");
    let starved = Exit { out_of_memory: true, ..Exit::signal(9) };
    let said = desk.tell(Event::Exited(worker(1, 1), starved));
    assert_eq!(said[0], "worker/1#1: killed by signal 9 (out of memory) -> restart at once");
}

#[test]
fn p14_ready_of_all_is_told_once_and_to_each_that_comes_later() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    assert_eq!(desk.tell(Event::Ready(agent(1))), ["admit agent/0#1", "spawn worker/0#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 1)))[1..], ["announce ready"]);
    desk.exit(worker(0, 1));
    assert_eq!(desk.tell(Event::Ready(worker(0, 2)))[1..], ["resend ready worker/0#2"]);
}
