//! How long a role may be without anybody of use.

use super::*;

const GAVE_UP: &str = "give up: no member of role worker has been ready for 1.5s";

/// Workers that take 2.5 s to be ready have 10 s for it; the cluster gives up after 1.5 s without one.
fn impatient(workers: u16, strategy: impl Strategy) -> Desk {
    let impatient = RolePlan { give_up_after: millis(1_500), ..role(Role::WORKER, workers, strategy) };
    Desk::started(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), impatient]))
}

/// Restarts at once, whatever happens.
fn stubborn() -> impl Strategy {
    from_fn(|_, _, _| Directive::Restart { scope: Scope::One, after: Duration::ZERO })
}

#[test]
fn one_who_dies_right_after_each_ready_is_of_no_use() {
    let mut desk = impatient(1, stubborn());
    desk.exit(worker(0, 1));
    for incarnation in 2..=4 {
        assert_eq!(desk.pass(millis(200)), NOTHING);
        desk.tell(Event::Ready(worker(0, incarnation)));
        assert_eq!(desk.pass(millis(200)), NOTHING);
        assert_eq!(desk.exit(worker(0, incarnation))[1..], [format!("spawn worker/0#{}", incarnation + 1)]);
    }
    desk.pass(millis(100));
    desk.tell(Event::Ready(worker(0, 5)));
    assert_eq!(desk.pass(millis(999)), NOTHING, "its time is over, and this one has its chance");
    assert_eq!(
        desk.exit(worker(0, 5)),
        [&format!("worker/0#5: killed by signal 9 -> {GAVE_UP}"), "vacate worker/0", "terminate agent/0#1 5s"]
    );
}

#[test]
fn one_who_was_ready_for_a_second_sets_the_clock_back() {
    let mut desk = impatient(1, stubborn());
    for incarnation in 1..20 {
        assert_eq!(desk.exit(worker(0, incarnation))[1..], [format!("spawn worker/0#{}", incarnation + 1)]);
        desk.pass(millis(1_400));
        desk.tell(Event::Ready(worker(0, incarnation + 1)));
        assert_eq!(desk.pass(millis(1_000)), NOTHING);
    }
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
}

#[test]
fn a_ready_sibling_counts_however_young_it_is_when_another_dies() {
    let mut desk = impatient(2, stubborn());
    desk.exit(worker(0, 1));
    desk.exit(worker(1, 1));
    desk.pass(millis(1_400));
    desk.tell(Event::Ready(worker(0, 2)));
    desk.pass(millis(900));
    desk.tell(Event::Ready(worker(1, 2)));
    assert_eq!(desk.exit(worker(0, 2))[1..], ["spawn worker/0#3"]);
    let said = desk.pass(millis(600_000));
    assert!(!said.iter().any(|line| line.contains("give up")), "{said:?}");
}

#[test]
fn one_who_takes_longer_to_boot_than_the_cluster_waits_gets_its_chance() {
    let mut desk = impatient(1, OneForOne::worker());
    desk.exit(worker(0, 1));
    assert_eq!(desk.pass(millis(2_500)), NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2))), ["admit worker/0#2", "resend ready worker/0#2"]);
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
}

#[test]
fn the_last_chance_is_the_last() {
    // It ends before it is ready.
    let mut desk = impatient(2, stubborn());
    desk.exit(worker(0, 1));
    desk.exit(worker(1, 1));
    assert_eq!(desk.pass(millis(2_000)), NOTHING);
    assert_eq!(desk.exit(worker(0, 2))[1..], ["spawn worker/0#3"], "its sibling has a chance");
    let said = desk.exit(worker(1, 2));
    assert_eq!(said[0], format!("worker/1#2: killed by signal 9, before it was ready -> {GAVE_UP}"));
    assert_eq!(said[1..], ["vacate worker/1", "terminate worker/0#3 5s"], "one that came later is none");

    // It does not get ready in time.
    let mut desk = impatient(1, stubborn());
    desk.exit(worker(0, 1));
    assert_eq!(desk.pass(millis(9_999)), NOTHING);
    assert_eq!(
        desk.pass(millis(1)),
        ["kill worker/0#2", "worker/0#2: nobody of its role has been ready for 1.5s -> give up"]
    );
    assert_eq!(desk.exit(worker(0, 2)).last().map(String::as_str), Some("terminate agent/0#1 5s"));

    // It says itself that it cannot.
    let mut desk = impatient(1, stubborn());
    desk.exit(worker(0, 1));
    desk.pass(millis(2_000));
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 2), panic())),
        ["worker/0#2: nobody of its role has been ready for 1.5s -> give up"]
    );
}

#[test]
fn a_strategy_that_gives_up_on_the_last_chance_says_so_in_its_own_words() {
    let strategy = from_fn(|fact, _, _| match fact {
        Fact::BootFailed(_) => Directive::Escalate(Reason::new("the licence has expired")),
        _ => Directive::Restart { scope: Scope::One, after: Duration::ZERO },
    });
    let mut desk = impatient(1, strategy);
    desk.exit(worker(0, 1));
    desk.pass(millis(2_000));
    assert!(desk.exit(worker(0, 2))[0].ends_with("give up: the licence has expired"));
}

#[test]
fn a_role_that_has_done_what_it_was_for_is_not_missed() {
    let mut desk = impatient(2, OneForOne::worker().restart(RestartType::Transient));
    desk.pass(millis(1_000));
    assert_eq!(desk.tell(Event::Exited(worker(0, 1), Exit::code(0)))[1..], ["vacate worker/0"]);
    assert_eq!(desk.tell(Event::Exited(worker(1, 1), Exit::code(0)))[1..], ["vacate worker/1"]);
    assert_eq!(desk.pass(millis(600_000)), NOTHING);

    // One of them has more to do, and cannot.
    let mut desk = impatient(2, OneForOne::worker().restart(RestartType::Transient));
    desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
    desk.tell(Event::Exited(worker(1, 1), Exit::code(0)));
    assert_eq!(desk.pass(millis(1_500))[0], "worker/0#1: nobody of its role has been ready for 1.5s -> give up");
}

#[test]
fn nobody_is_woken_for_a_role_that_is_not_missed_any_more() {
    let mut desk = impatient(1, OneForOne::worker());
    desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
    assert_eq!(desk.supervisor.deadline(), Some(desk.now + millis(1_500)));
    desk.tell(Event::Operate(OperationId(1), Operation::Stop(Slot::worker(0))));
    assert_eq!(desk.supervisor.deadline(), None);
}

#[test]
fn the_patience_begins_when_all_have_been_ready_whatever_was_before() {
    let impatient = RolePlan { give_up_after: millis(1_500), ..role(Role::WORKER, 2, OneForOne::worker()) };
    let mut desk = Desk::new(Plan::new(vec![impatient]));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(worker(0, 1)));
    desk.tell(Event::Exception(worker(0, 1), panic()));
    assert_eq!(desk.pass(millis(1_400)), NOTHING);
    desk.tell(Event::Ready(worker(1, 1)));
    assert_eq!(desk.tell(Event::Ready(worker(0, 2))), ["admit worker/0#2", "announce ready"]);
    assert_eq!(desk.pass(millis(200)), NOTHING);
    assert_eq!(desk.exit(worker(1, 1))[1..], ["spawn worker/1#2"]);
    assert_eq!(desk.exit(worker(0, 2))[1..], NOTHING, "it is the second young one of its slot, and waits");
    assert_eq!(desk.pass(millis(1_499)), ["spawn worker/0#3"]);
}

#[test]
fn one_who_leaves_for_good_is_no_chance_that_is_waited_for() {
    let operators: [fn() -> Operation; 2] = [|| Operation::Stop(Slot::worker(1)), || Operation::Scale(Role::WORKER, 1)];
    for operation in operators {
        let mut desk = impatient(2, OneForOne::worker());
        desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
        assert_eq!(desk.tell(Event::Operate(OperationId(1), operation())), ["drain worker/1#1 5s"]);
        let said = desk.pass(millis(1_500));
        assert!(said.contains(&"worker/0#1: nobody of its role has been ready for 1.5s -> give up".into()), "{said:?}");
    }

    // One who is to be followed by another is one.
    let patient =
        RolePlan { overlap: false, give_up_after: millis(1_500), ..role(Role::WORKER, 2, OneForOne::worker()) };
    let mut desk = Desk::started(Plan::new(vec![patient]));
    desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
    desk.tell(Event::Operate(OperationId(1), Operation::Restart(Slot::worker(1))));
    assert_eq!(desk.pass(millis(1_500)), NOTHING);
}
