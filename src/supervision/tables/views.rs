//! What a strategy is shown in a table test is what was said of the slot.

use super::*;

/// How long ago, and how long it had been ready.
fn ages(history: &History, now: Moment) -> Vec<(Duration, Option<Duration>)> {
    history.iter().map(|failure| (now - failure.at, failure.ready_for)).collect()
}

#[test]
fn a_slot_that_failed_n_times_did_so_within_the_last_second_and_never_was_ready() {
    let table = View::table(Slot::worker(0)).restarts(4);
    let view = table.view();
    let expected = [750, 500, 250, 0].map(|ago| (millis(ago), None));
    for history in [view.history, view.role_history, view.cluster_history] {
        assert_eq!(ages(history, view.now), expected);
    }
}

#[test]
fn a_failure_of_the_slot_is_one_of_its_role_and_of_the_cluster_and_not_the_other_way_round() {
    let table = View::table(Slot::worker(0))
        .failure(millis(3_000), Some(millis(7)))
        .role_failure(millis(9_000), None)
        .cluster_failure(millis(1_000), None);
    let view = table.view();
    let (own, role, cluster) = ((millis(3_000), Some(millis(7))), (millis(9_000), None), (millis(1_000), None));
    assert_eq!(ages(view.history, view.now), [own]);
    assert_eq!(ages(view.role_history, view.now), [role, own], "by time, whatever was said first");
    assert_eq!(ages(view.cluster_history, view.now), [role, own, cluster]);
}

#[test]
fn the_past_moves_with_the_present() {
    let now = Moment::from_start(millis(100_000));
    let table = View::table(Slot::worker(0)).failure(millis(3_000), None).role_failure(millis(200_000), None).now(now);
    let view = table.view();
    assert_eq!((view.now, view.failure.at), (now, now));
    assert_eq!(view.history.iter().map(|failure| failure.at).collect::<Vec<_>>(), [Moment::from_start(millis(97_000))]);
    assert_eq!(view.role_history.iter().next().map(|failure| failure.at), Some(Moment::START), "not before the start");
}

#[test]
fn what_is_said_of_a_slot_is_what_its_strategy_sees() {
    let sibling = Child::new(Slot::worker(1), ChildState::Parked { probe_at: None });
    let table = View::table(Slot::worker(0))
        .ready_for(millis(5))
        .parked(3)
        .memory(4)
        .restart_type(RestartType::Transient)
        .child(sibling.restart_type(RestartType::Temporary).significant())
        .sibling(Slot::worker(0), ChildState::Ready)
        .sibling(Slot::agent(), ChildState::Starting);
    let view = table.view();
    assert_eq!((view.slot, view.role()), (Slot::worker(0), Role::WORKER));
    assert_eq!(view.failure, Failure { at: view.now, ready_for: Some(millis(5)) });
    assert_eq!((view.parked, view.memory, view.restart_type), (3, 4, Some(RestartType::Transient)));
    let around: Vec<Child> = view.siblings().collect();
    assert_eq!(around.iter().map(|child| child.slot).collect::<Vec<_>>(), [Slot::agent(), Slot::worker(1)], "in order");
    assert_eq!((around[1].restart_type, around[1].significant), (Some(RestartType::Temporary), true));
    assert_eq!((around[0].restart_type, around[0].significant), (None, false));
}

#[test]
fn the_dice_of_a_table_follow_from_its_seed() {
    let thrown = |seed| {
        let strategy = from_fn(|_, _, dice| Directive::Remove.remember(dice.below(1 << 30) as u64));
        View::table(Slot::worker(0)).seed(seed).ask(&strategy, &Fact::exited(signal(9))).memory
    };
    assert_eq!(thrown(0), Some(Dice::seeded(0).below(1 << 30) as u64));
    assert_eq!(thrown(9), Some(Dice::seeded(9).below(1 << 30) as u64));
}
