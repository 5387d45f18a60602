//! That the witness says what is wrong, and nothing of what is right.

use super::*;
use crate::supervision::{Cause, Exit, LinkError, RolePlan};

const AGENT: Slot = Slot::agent();
const WORKERS: [Slot; 2] = [Slot::worker(0), Slot::worker(1)];

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn nth(slot: Slot, nth: u32) -> MemberId {
    slot.member(Incarnation::new(nth))
}

fn record(member: MemberId, cause: Cause, decision: Decision) -> Action {
    Action::Record(Box::new(Record { member, cause, decision }))
}

fn killed() -> Cause {
    Cause::Exited(Exit::signal(9))
}

fn restart(scope: Scope) -> Decision {
    Decision::Strategy(Directive::Restart { scope, after: Duration::ZERO })
}

fn park(probe: u64) -> Decision {
    Decision::Strategy(Directive::Park { probe: Some(secs(probe)) })
}

/// A cluster of an agent and two workers, told to a witness step by step.
struct Story {
    books: Books,
    now: Moment,
}

impl Story {
    /// All are ready.
    fn begin() -> Story {
        let roles = [(Role::AGENT, 1, OneForOne::agent()), (Role::WORKER, 2, OneForOne::worker())];
        let built_in = roles.iter().map(|(role, _, strategy)| (*role, strategy.clone())).collect();
        let plan = Plan::new(roles.into_iter().map(|(role, count, one)| RolePlan::new(role, count, one)).collect());
        let mut story = Story { books: Books::new(&plan, &built_in), now: Moment::START };
        let [one, other] = WORKERS.map(|slot| nth(slot, 1));
        story.right(Event::Boot, [Action::Spawn(nth(AGENT, 1))]);
        let spawn = [Action::Admit(nth(AGENT, 1)), Action::Spawn(one), Action::Spawn(other)];
        story.right(Event::Ready(nth(AGENT, 1)), spawn);
        story.right(Event::Ready(one), [Action::Admit(one)]);
        story.right(Event::Ready(other), [Action::Admit(other), Action::AnnounceReady]);
        story.now = story.now + secs(60);
        story
    }

    fn step(&mut self, event: Event, actions: impl AsRef<[Action]>) -> Vec<String> {
        self.now = self.now + Duration::from_millis(10);
        self.books.step(self.now, &event, actions.as_ref())
    }

    fn right(&mut self, event: Event, actions: impl AsRef<[Action]>) {
        assert_eq!(self.step(event, actions), [""; 0]);
    }

    #[track_caller]
    fn wrong(&mut self, event: Event, actions: impl AsRef<[Action]>, why: &str) {
        let told = self.step(event, actions);
        assert!(told.iter().any(|told| told.contains(why)), "{why:?} is not among {told:?}");
    }

    /// A process of the slot dies, and the next is started at once.
    fn dies(&mut self, slot: Slot, number: u32) -> Vec<String> {
        let (old, new) = (nth(slot, number), nth(slot, number + 1));
        let actions = [record(old, killed(), restart(Scope::One)), Action::Spawn(new)];
        self.step(Event::Exited(old, Exit::signal(9)), actions)
    }
}

#[test]
fn i5_one_more_restart_than_the_budget_is_told_and_no_earlier_one() {
    let worker = WORKERS[0];
    let mut story = Story::begin();
    // The first of them had been of use, and counts for nothing.
    for number in 1..=6 {
        assert_eq!(story.dies(worker, number), [""; 0], "number {number}");
    }
    let told = story.dies(worker, 7);
    assert!(told[0].starts_with("I5: worker/0 is restarted after 6 young failures in 30s"), "{told:?}");
    // When the window has passed, there is credit again.
    story.now = story.now + secs(31);
    assert_eq!(story.dies(worker, 8), [""; 0]);
}

#[test]
fn i5_a_slot_that_is_parked_is_not_tried_before_its_time_unless_somebody_asks() {
    let (old, new) = (nth(WORKERS[0], 1), nth(WORKERS[0], 2));
    for (waits, asked, early) in [(1, false, true), (5, false, false), (1, true, false)] {
        let mut story = Story::begin();
        let parked = [record(old, killed(), park(5)), Action::Park(old.slot())];
        story.right(Event::Exited(old, Exit::signal(9)), parked);
        story.now = story.now + secs(waits);
        let event = match asked {
            true => Event::Operate(OperationId(1), Operation::Restart(old.slot())),
            false => Event::DeadlinePassed,
        };
        match early {
            true => story.wrong(event, [Action::Spawn(new)], "I5: worker/0 is parked, and tried"),
            false => story.right(event, [Action::Spawn(new)]),
        }
    }
}

#[test]
fn i14_whoever_is_parked_has_a_record_in_the_same_step() {
    let old = nth(WORKERS[0], 1);
    let exit = || Event::Exited(old, Exit::signal(9));
    let mut story = Story::begin();
    story.wrong(exit(), [Action::Park(old.slot())], "I14: worker/0 is parked without a record");
    let mut story = Story::begin();
    story.wrong(exit(), [record(old, killed(), restart(Scope::One)), Action::Park(old.slot())], "I14: worker/0");
    let mut story = Story::begin();
    story.wrong(exit(), [record(old, killed(), park(5))], "I14: worker/0 is said to be parked");
}

/// The agent dies, and all go along; both workers have gone when it returns.
fn all_are_gone() -> Story {
    let mut story = Story::begin();
    let (agent, [one, other]) = (nth(AGENT, 1), WORKERS.map(|slot| nth(slot, 1)));
    let go = [record(agent, killed(), restart(Scope::All)), Action::Drain(other, secs(5)), Action::Drain(one, secs(5))];
    story.right(Event::Exited(agent, Exit::signal(9)), go);
    let along = |id| [record(id, Cause::Left(Exit::code(0)), Decision::Regrouped(agent))];
    story.right(Event::Exited(other, Exit::code(0)), along(other));
    story.right(Event::Exited(one, Exit::code(0)), along(one));
    story
}

#[test]
fn a_group_is_started_in_order_when_the_last_of_it_has_gone() {
    let (agent, [one, other]) = (nth(AGENT, 2), WORKERS.map(|slot| nth(slot, 2)));
    let mut story = all_are_gone();
    story.right(Event::DeadlinePassed, [Action::Spawn(agent)]);
    // A failure before it is ready is its own, and all wait for it.
    assert_eq!(story.dies(AGENT, 2), [""; 0]);
    let agent = agent.slot().member(Incarnation::new(3));
    let workers = [Action::Admit(agent), Action::ResendReady(agent), Action::Spawn(one), Action::Spawn(other)];
    story.right(Event::Ready(agent), workers);
}

#[test]
fn a_group_that_is_started_too_early_or_in_another_order_is_told() {
    let (agent, [one, other]) = (nth(AGENT, 2), WORKERS.map(|slot| nth(slot, 2)));
    let mut story = Story::begin();
    let early = [record(nth(AGENT, 1), killed(), restart(Scope::All)), Action::Spawn(agent)];
    story.wrong(
        Event::Exited(nth(AGENT, 1), Exit::signal(9)),
        early,
        "agent/0#2 is started before worker/0#1 has gone",
    );
    let mut story = all_are_gone();
    story.wrong(Event::DeadlinePassed, [Action::Spawn(one)], "worker/0#2 is started before agent/0 is ready");
    let mut story = all_are_gone();
    story.right(Event::DeadlinePassed, [Action::Spawn(agent)]);
    story.wrong(Event::DeadlinePassed, [Action::Spawn(other)], "worker/1#2 is started before agent/0 is ready");
    // Only who goes along waits.
    let mut story = Story::begin();
    let (first, agent) = (nth(WORKERS[0], 1), nth(AGENT, 1));
    story.right(
        Event::Exited(first, Exit::signal(9)),
        [record(first, killed(), restart(Scope::Role)), Action::Drain(nth(WORKERS[1], 1), secs(5))],
    );
    assert_eq!(story.dies(AGENT, agent.incarnation().get()), [""; 0]);
}

#[test]
fn one_who_is_ready_goes_for_a_reason_or_it_is_told() {
    let one = nth(WORKERS[0], 1);
    let drain = || [Action::Drain(one, secs(5))];
    let mut story = Story::begin();
    story.wrong(Event::DeadlinePassed, drain(), "4.2: worker/0#1 is ready, and is to go for no reason");
    let mut story = Story::begin();
    story.wrong(Event::DeadlinePassed, [Action::Kill(one)], "4.2: worker/0#1");
    let operate = |operation| Event::Operate(OperationId(1), operation);
    let mut story = Story::begin();
    story.wrong(operate(Operation::Scale(Role::WORKER, 1)), drain(), "4.2: worker/0#1");
    let reasons = [
        Event::Unresponsive(one, secs(9)),
        Event::LinkLost(one, LinkError::Closed),
        Event::Stop(crate::supervision::Urgency::Graceful),
        operate(Operation::Scale(Role::WORKER, 0)),
        operate(Operation::Restart(one.slot())),
        operate(Operation::Stop(one.slot())),
    ];
    for reason in reasons {
        Story::begin().right(reason, drain());
    }
    // A link that was lost before, and a deadline that has passed since.
    let mut story = Story::begin();
    story.right(Event::LinkLost(one, LinkError::Closed), []);
    story.right(Event::DeadlinePassed, [Action::Kill(one)]);
}

#[test]
fn nobody_is_admitted_who_has_not_said_ready() {
    let (old, new) = (nth(WORKERS[0], 1), nth(WORKERS[0], 2));
    let mut story = Story::begin();
    assert_eq!(story.dies(old.slot(), 1), [""; 0]);
    story.wrong(Event::Ready(old), [Action::Admit(new)], "worker/0#2 is admitted");
    story.right(Event::Ready(new), [Action::Admit(new), Action::ResendReady(new)]);
    story.wrong(Event::Ready(new), [Action::Admit(new)], "worker/0#2 is admitted");
}
