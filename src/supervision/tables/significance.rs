//! Ends that were meant: OTP's significant children and its auto-shutdown, rows C47 to C50.

use super::scenarios::{ended, of_type, workers};
use super::*;

/// How a cluster of three ends, or not, when the first of them ends like this: two workers, of whom the strategy is.
fn finishes(strategy: impl Strategy, exits: &[(u16, Exit)]) -> bool {
    let mut desk =
        Desk::started(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
    let mut said = Vec::new();
    for (index, exit) in exits {
        said.extend(desk.tell(Event::Exited(worker(*index, 1), exit.clone())));
    }
    said.iter().any(|line| line.ends_with("all is done: stop the cluster"))
}

#[test]
fn c47_children_that_are_not_significant_end_nothing_however_they_end_beside_others_that_are() {
    let helper = Role::new(200, "helper");
    for mode in [Significant::any, Significant::all] {
        for restart in [RestartType::Permanent, RestartType::Transient, RestartType::Temporary] {
            for exit in [Exit::code(0), Exit::code(1), Exit::signal(9)] {
                let mut desk = Desk::started(Plan::new(vec![
                    role(Role::WORKER, 1, mode(of_type(RestartType::Transient))),
                    role(helper, 2, of_type(restart)),
                ]));
                for index in 0..2 {
                    let said =
                        desk.tell(Event::Exited(Slot::new(helper, index).member(Incarnation::FIRST), exit.clone()));
                    assert!(!said[0].contains("stop the cluster"), "{said:?}");
                }
                assert!(!desk.supervisor.is_stopping());
                // The other one does, in either mode.
                let said = ended(&mut desk, worker(0, 1), 0);
                assert!(said[0].ends_with("all is done: stop the cluster"), "{said:?}");
            }
        }
    }
}

#[test]
fn c48_a_significant_temporary_child_ends_all_however_it_ends_and_not_when_it_is_stopped() {
    let strategy = || Significant::any(of_type(RestartType::Temporary));
    for exit in [Exit::code(0), Exit::code(1), Exit::signal(9)] {
        assert!(finishes(strategy(), &[(0, exit)]));
    }
    let mut desk = workers(2, strategy());
    desk.tell(Event::Operate(OperationId(1), Operation::Stop(Slot::worker(0))));
    assert_eq!(ended(&mut desk, worker(0, 1), 0).last().expect("something follows"), "operation 1 done");
}

#[test]
fn c49_a_significant_transient_child_ends_all_when_it_ends_well_and_is_restarted_otherwise() {
    let strategy = || Significant::any(of_type(RestartType::Transient));
    assert!(finishes(strategy(), &[(0, Exit::code(0))]));
    for exit in [Exit::code(1), Exit::signal(9)] {
        assert!(!finishes(strategy(), &[(0, exit)]));
    }
    let mut desk = workers(2, strategy());
    assert_eq!(ended(&mut desk, worker(0, 1), 0).last().expect("something follows"), "terminate worker/1#1 5s");
    assert_eq!(
        ended(&mut desk, worker(1, 1), 0).last().expect("something follows"),
        "finish: completed: worker/0#1 has ended"
    );
}

#[test]
fn c50_of_all_significant_children_the_last_ends_all() {
    let strategy = || Significant::all(of_type(RestartType::Transient));
    assert!(!finishes(strategy(), &[(0, Exit::code(0))]));
    assert!(finishes(strategy(), &[(0, Exit::code(0)), (1, Exit::code(0))]));
    // Not of its role alone.
    let view = View::table(Slot::worker(0)).child(Child::new(Slot::agent(), ChildState::Ready).significant());
    assert_eq!(view.ask(&strategy(), &Fact::exited(code(0))), Directive::Remove);
}
