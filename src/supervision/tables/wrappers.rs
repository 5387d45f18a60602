//! What the strategies that go around others say for themselves, and what every strategy sees.

use super::*;

fn workers(count: u16, strategy: impl Strategy) -> Desk {
    Desk::started(Plan::new(vec![role(Role::WORKER, count, strategy)]))
}

#[test]
fn a_group_of_replacements_is_a_restart_and_other_answers_pass() {
    let exception = Fact::exception(panic());
    let all = Directive::Restart { scope: Scope::All, after: Duration::ZERO };
    let ask = |strategy: &dyn Fn() -> OneForAll<OneForOne>, fact: &OwnedFact| {
        View::table(Slot::worker(0)).ask(&strategy(), fact)
    };
    assert_eq!(ask(&|| OneForAll::new(OneForOne::worker()), &exception), all);
    assert_eq!(ask(&|| OneForAll::new(OneForOne::agent()), &exception), Directive::Ignore);
    let parked = Directive::Park { probe: None };
    assert_eq!(ask(&|| OneForAll::new(OneForOne::worker()), &Fact::exited(code(78))), parked);
}

#[test]
fn what_is_remembered_passes_through_all_of_them() {
    let counting = || from_fn(|_, view, _| Directive::Remove.remember(view.memory + 1));
    let intensity = Intensity::new(9, Duration::from_secs(1));
    let wrapped = Escalating::new(RestForOne::new(Significant::any(OneForAll::new(counting()))), intensity);
    let answer = View::table(Slot::worker(0)).memory(41).ask(&wrapped, &Fact::exited(signal(9)));
    assert_eq!(answer, Directive::Shutdown.remember(42));
}

/// What it says of itself: its restart type, whether it is significant, what does not fit.
fn word(strategy: &dyn Strategy) -> (Option<RestartType>, bool, Option<String>) {
    (strategy.restart_type(), strategy.is_significant(), strategy.check().err().map(|misfit| misfit.to_string()))
}

#[test]
fn what_a_strategy_says_of_itself_is_passed_on_by_all_that_go_around_it() {
    use std::sync::Arc;
    let (transient, temporary) = (RestartType::Transient, RestartType::Temporary);
    let of_type = |restart| OneForOne::worker().restart(restart);
    let wordless: Arc<dyn Strategy> = Arc::new(from_fn(|_, _, _| Directive::Remove));
    let misfit = "significant: a permanent member never ends by itself: make it transient or temporary";
    let rows: [(Arc<dyn Strategy>, _); 4] = [
        (wordless, (None, false, None)),
        (Arc::new(of_type(temporary)), (Some(temporary), false, None)),
        (Arc::new(Significant::any(of_type(transient))), (Some(transient), true, None)),
        (Arc::new(Significant::any(OneForOne::worker())), (Some(RestartType::Permanent), true, Some(misfit.into()))),
    ];
    for (inner, expected) in rows {
        let intensity = Intensity::new(1, millis(1_000));
        assert_eq!(word(&inner), expected);
        assert_eq!(word(&OneForAll::new(inner.clone())), expected);
        assert_eq!(word(&RestForOne::new(inner.clone())), expected);
        assert_eq!(word(&Escalating::new(inner.clone(), intensity)), expected);
        assert_eq!(word(&Exceptional::new(inner.clone(), OnException::Ignore)), expected);
        assert_eq!(word(&Exceptional::new(inner, OnException::Replace { drain: millis(1) })), expected);
    }
    let hasty = Significant::any(of_type(transient).stable_after(Duration::ZERO));
    let misfit = "stable_after: it must be longer than nothing";
    assert_eq!(word(&hasty), (Some(transient), true, Some(misfit.into())));
}

#[test]
fn a_strategy_is_called_by_its_type_and_one_made_of_a_function_by_that() {
    fn patient(_: &Fact<'_>, _: &View<'_>, _: &mut Dice) -> Directive {
        Directive::Remove
    }
    let shared: std::sync::Arc<dyn Strategy> = std::sync::Arc::new(OneForOne::worker());
    assert!(shared.name().ends_with("OneForOne"), "{}", shared.name());
    assert!(from_fn(patient).name().ends_with("patient"), "{}", from_fn(patient).name());
}

#[test]
fn memory_is_that_of_the_slot_and_outlives_its_processes() {
    let mut desk = workers(
        2,
        from_fn(|_, view, _| {
            Directive::Restart { scope: Scope::One, after: millis(view.memory * 100) }.remember(view.memory + 1)
        }),
    );
    assert!(desk.exit(worker(0, 1))[0].ends_with("restart at once"));
    assert!(desk.exit(worker(0, 2))[0].ends_with("restart in 100.0ms"));
    assert!(desk.exit(worker(1, 1))[0].ends_with("restart at once"));
}

#[test]
fn an_exception_can_have_an_answer_of_its_own() {
    let strategy = Exceptional::new(OneForOne::worker(), OnException::Ignore);
    let view = View::table(Slot::worker(0));
    assert_eq!(view.ask(&strategy, &Fact::exception(panic())), Directive::Ignore);
    assert_ne!(view.ask(&strategy, &Fact::exited(signal(9))), Directive::Ignore);
    let drain = millis(700);
    let strategy = Exceptional::new(OneForOne::agent(), OnException::Replace { drain });
    assert_eq!(view.ask(&strategy, &Fact::exception(panic())), Directive::Replace { drain });
}

#[test]
fn a_window_is_that_of_the_slot_the_role_or_the_cluster() {
    let secs = Duration::from_secs;
    let two = || Escalating::new(OneForOne::worker().unlimited(), Intensity::new(2, secs(5)));
    let view = View::table(Slot::worker(0))
        .failure(secs(1), None)
        .role_failure(secs(5), None)
        .cluster_failure(secs(5), None)
        .cluster_failure(secs(6), None);
    let gives_up = |view: &Table, strategy: Escalating<OneForOne>| {
        matches!(view.ask(&strategy, &Fact::exited(signal(9))).directive, Directive::Escalate(_))
    };
    assert!(gives_up(&view, two()) && gives_up(&view, two().per_role()) && !gives_up(&view, two().per_slot()));
    let view = View::table(Slot::worker(0)).failure(secs(1), None).cluster_failure(secs(5), None);
    assert!(gives_up(&view, two()) && !gives_up(&view, two().per_role()));
    assert!(!gives_up(&View::table(Slot::worker(0)).restarts(1), two()), "the second is still restarted");
}

#[test]
fn every_fact_can_be_put_into_a_table() {
    let facts = [
        Fact::exception(panic()),
        Fact::exited(signal(9)),
        Fact::boot_failed(BootFailure::Ended(code(1))),
        Fact::link_lost(LinkError::Closed),
        Fact::unresponsive(millis(30_000)),
    ];
    let name = from_fn(|fact, _, _| {
        Directive::Escalate(Reason::new(match fact {
            Fact::Exception(_) => "exception",
            Fact::Exited(_) => "exited",
            Fact::BootFailed(_) => "boot failed",
            Fact::LinkLost(_) => "link lost",
            Fact::Unresponsive(_) => "unresponsive",
        }))
    });
    let view = View::table(Slot::worker(0)).sibling(Slot::agent(), ChildState::Ready);
    let named: Vec<_> = facts.iter().map(|fact| view.ask(&name, fact).directive.to_string()).collect();
    let expected = ["exception", "exited", "boot failed", "link lost", "unresponsive"];
    assert_eq!(named, expected.map(|name| format!("give up: {name}")));
    assert_eq!(view.view().siblings().map(|child| child.slot).collect::<Vec<_>>(), [Slot::agent()]);
}

#[test]
fn a_strategy_in_a_cluster_sees_where_its_siblings_stand() {
    let strategy = from_fn(|_, view, _| {
        let states: Vec<_> = view.siblings().map(|child| format!("{} {:?}", child.slot, child.state)).collect();
        Directive::Escalate(Reason::new(format!("{:?} {}", view.restart_type, states.join(", "))))
    });
    let mut desk =
        Desk::started(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
    desk.exit(agent(1));
    let said = desk.exit(worker(1, 1));
    assert!(said[0].contains("give up: None agent/0 Restarting { restart_at: +"), "{said:?}");
    assert!(said[0].ends_with("worker/0 Ready"), "{said:?}");
}
