//! Every walk that there is through a small cluster: an agent and two workers, crashes, what operators ask for and a
//! stop, in any interleaving.
//!
//! Time goes on only to the next moment that matters, and states are the same when they differ in the present alone: so
//! there are finitely many, and a search ends. What happens at a point stands in [`point`], what is promised of it in
//! [`promises`], and when two of them are the same in [`key`]. A search tells how much it has seen; one that fails tells
//! the walk that led there.
//!
//! `HATCHERY_CRASHES` is how many crashes the search of exits has, 3 unless told otherwise; the others have as many more or
//! fewer than usual. Each more makes a search twenty times as long.

mod key;
mod point;
mod promises;

use std::collections::HashSet;
use std::time::Duration;

use self::point::{Crash, Left, Point};
use super::*;
use crate::identity::{Role, Slot};

/// What a search has found.
#[derive(Debug, Default)]
struct Found {
    states: usize,
    steps: usize,
    ends: usize,
}

/// What a search is about.
struct Search {
    plan: Plan,
    /// How many of them may happen, of which kinds.
    crashes: usize,
    kinds: &'static [Crash],
    operations: Vec<Operation>,
    stops: Vec<Urgency>,
}

impl Search {
    /// A graceful stop at any point, and up to `crashes` of the usual ones.
    fn of(plan: Plan, crashes: usize) -> Search {
        let least_usual: usize = std::env::var("HATCHERY_CRASHES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
        let crashes = (crashes + least_usual).saturating_sub(3);
        Search { plan, crashes, kinds: &Crash::USUAL, operations: Vec::new(), stops: vec![Urgency::Graceful] }
    }

    fn operations(mut self, operations: &[Operation]) -> Search {
        self.operations = operations.to_vec();
        self
    }

    fn stops(mut self, stops: &[Urgency]) -> Search {
        self.stops = stops.to_vec();
        self
    }

    fn kinds(mut self, kinds: &'static [Crash]) -> Search {
        self.kinds = kinds;
        self
    }

    /// Goes every way from the beginning, through each state once.
    fn run(self, what: &str) -> Found {
        let operations = self.operations.iter().zip(1..).map(|(&operation, id)| (OperationId(id), operation));
        let left =
            Left { crashes: self.crashes, kinds: self.kinds, operations: operations.collect(), stops: self.stops };
        let (mut found, mut seen) = (Found::default(), HashSet::new());
        let mut open = vec![Point::begin(self.plan, left)];
        seen.insert(open[0].key());
        while let Some(point) = open.pop() {
            found.states += 1;
            found.ends += usize::from(point.finished);
            point.keeps_its_promises();
            for choice in point.choices() {
                let mut next = point.clone();
                next.take(choice);
                found.steps += 1;
                if seen.insert(next.key()) {
                    open.push(next);
                }
            }
        }
        println!("{what}: {} states, {} steps, {} ends", found.states, found.steps, found.ends);
        assert!(found.ends > 0, "{found:?}");
        found
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Where all that takes time takes as long as what cannot be set, fewer states differ in nothing but the time.
fn role(role: Role, count: u16, strategy: impl Strategy) -> RolePlan {
    let times = RolePlan::new(role, count, strategy);
    RolePlan { ready_timeout: secs(5), stop_timeout: secs(5), give_up_after: secs(5), ..times }
}

fn cluster(agent: impl Strategy, workers: impl Strategy) -> Plan {
    Plan::new(vec![role(Role::AGENT, 1, agent), role(Role::WORKER, 2, workers)])
}

/// The built-in strategies without their limits, which look at the past.
fn usual() -> Plan {
    cluster(OneForOne::agent().unlimited(), worker())
}

fn worker() -> OneForOne {
    OneForOne::worker().unlimited().on_exception(OnException::Replace { drain: secs(5) })
}

/// Nobody is replaced while the old process is there.
fn without_overlap(mut plan: Plan) -> Plan {
    plan.roles.iter_mut().for_each(|role| role.overlap = false);
    plan
}

/// The same answer to whatever happens to a worker.
fn workers_that(directive: Directive) -> Plan {
    cluster(OneForOne::agent().unlimited(), from_fn(move |_, _, _| directive.clone()))
}

#[test]
fn every_walk_of_three_crashes_a_restart_and_a_stop_keeps_every_promise() {
    let search = Search::of(usual(), 3).kinds(&[Crash::Exit]);
    search.operations(&[Operation::Restart(Slot::worker(0))]).run("3 exits, a restart, a stop");
}

#[test]
fn every_walk_of_a_crash_of_any_kind_a_restart_and_a_stop_keeps_every_promise() {
    let search = Search::of(usual(), 1);
    search.operations(&[Operation::Restart(Slot::worker(0))]).run("crashes of the usual kinds, a restart, a stop");
}

#[test]
fn every_walk_in_which_a_slot_is_stopped_and_restarted_twice_keeps_every_promise() {
    let slot = Slot::worker(0);
    let wishes = [Operation::Stop(slot), Operation::Restart(slot), Operation::Restart(slot)];
    Search::of(usual(), 1).operations(&wishes).run("1 crash, two restarts and a stop of one slot, a stop");
    Search::of(without_overlap(usual()), 1).operations(&wishes).run("the same without overlap");
}

#[test]
fn every_walk_in_which_a_role_is_scaled_keeps_every_promise() {
    let to = |count| Operation::Scale(Role::WORKER, count);
    Search::of(usual(), 1).operations(&[to(3), to(1)]).run("1 crash, scale up and down, a stop");
    Search::of(usual(), 1).operations(&[to(0), to(2)]).run("1 crash, scale to none and back, a stop");
    let wishes = [to(1), to(2), Operation::Restart(Slot::worker(1)), Operation::Stop(Slot::worker(1))];
    Search::of(usual(), 0).operations(&wishes).run("a slot that is scaled away and back, restarted and stopped");
}

#[test]
fn every_walk_in_which_the_agent_is_restarted_keeps_every_promise() {
    let wishes = [Operation::Restart(Slot::agent()), Operation::Stop(Slot::agent())];
    Search::of(usual(), 1).operations(&wishes).run("1 crash, a restart and a stop of the agent, a stop");
    Search::of(without_overlap(usual()), 1).operations(&wishes).run("the same without overlap");
}

#[test]
fn every_walk_of_groups_keeps_every_promise() {
    let rest = || cluster(RestForOne::new(OneForOne::agent().unlimited()), RestForOne::new(worker()));
    let all = || cluster(OneForAll::new(OneForOne::agent().unlimited()), OneForAll::new(worker()));
    let slot = Slot::worker(0);
    Search::of(rest(), 2).run("2 crashes, rest for one, a stop");
    Search::of(all(), 2).run("2 crashes, one for all, a stop");
    Search::of(rest(), 1).operations(&[Operation::Restart(slot)]).run("1 crash, rest for one, a restart, a stop");
    Search::of(all(), 1).operations(&[Operation::Stop(slot)]).run("1 crash, one for all, a stop of a slot, a stop");
    let to = |count| Operation::Scale(Role::WORKER, count);
    Search::of(all(), 1).operations(&[to(3), to(1)]).run("1 crash, one for all, scale up and down, a stop");
}

#[test]
fn every_walk_keeps_every_promise_whatever_a_strategy_answers() {
    let answers = [
        Directive::Ignore,
        Directive::Restart { scope: Scope::One, after: secs(3) },
        Directive::Restart { scope: Scope::Role, after: secs(3) },
        Directive::Replace { drain: secs(3) },
        Directive::Park { probe: Some(secs(3)) },
        Directive::Park { probe: None },
        Directive::Remove,
        Directive::Shutdown,
        Directive::Escalate(Reason::new("enough")),
    ];
    for directive in answers {
        let what = format!("2 crashes, a stop; always {directive}");
        Search::of(workers_that(directive.clone()), 2).kinds(&Crash::EVERY).run(&what);
        let what = format!("1 crash, a restart, a stop; always {directive}");
        Search::of(workers_that(directive), 1).operations(&[Operation::Restart(Slot::worker(0))]).run(&what);
    }
}

#[test]
fn every_walk_that_is_stopped_more_than_once_keeps_every_promise() {
    let stops = [Urgency::Graceful, Urgency::Graceful, Urgency::Quick];
    Search::of(usual(), 1).stops(&stops).operations(&[Operation::Restart(Slot::worker(0))]).run("1 crash, three stops");
}

#[test]
fn every_walk_with_links_that_break_the_protocol_keeps_every_promise() {
    Search::of(usual(), 2).kinds(&Crash::EVERY).run("2 crashes of every kind, a stop");
}
