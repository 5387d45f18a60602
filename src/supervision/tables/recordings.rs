//! Why a slot stands where it does, and decisions taken again.

use super::*;

/// A desk that is recorded, and told some news.
fn recorded(plan: Plan, events: &[(u64, Event)]) -> (Recorder, Supervisor) {
    let mut supervisor = Supervisor::new(plan, 1);
    let mut recorder = Recorder::new(&supervisor);
    for (at, event) in events {
        let now = Moment::from_start(millis(*at));
        let actions = supervisor.handle(event.clone(), now);
        recorder.step(now, event, actions.as_slice(), &supervisor);
    }
    (recorder, supervisor)
}

/// Two workers; the first is killed, throws, and is stopped; the second is scaled away.
fn story() -> Vec<(u64, Event)> {
    vec![
        (0, Event::Boot),
        (10, Event::Ready(agent(1))),
        (20, Event::Ready(worker(0, 1))),
        (20, Event::Ready(worker(1, 1))),
        (5_000, Event::Exited(worker(0, 1), Exit { stderr: "last words\n".repeat(100), ..Exit::signal(9) })),
        (5_100, Event::Ready(worker(0, 2))),
        (9_000, Event::Exception(worker(0, 2), panic())),
        (9_100, Event::Exited(worker(0, 2), Exit::code(70))),
        (9_200, Event::Ready(worker(0, 3))),
        (9_300, Event::Operate(OperationId(5), Operation::Stop(Slot::worker(0)))),
        (9_400, Event::Exited(worker(0, 3), Exit::code(0))),
        (9_500, Event::Operate(OperationId(6), Operation::Scale(Role::WORKER, 1))),
    ]
}

#[test]
fn why_tells_what_happened_and_what_was_decided_up_to_now() {
    let (recorder, supervisor) = recorded(plan(2), &story());
    let why = recorder.why(Slot::worker(0), &supervisor).expect("there is such a slot");
    assert_eq!(
        why.to_string().lines().collect::<Vec<_>>(),
        [
            "worker/0 is stopped",
            "  +5.000000s worker/0#1: killed by signal 9 -> restart at once",
            "  +9.000000s worker/0#2: panicked at src/main.rs:7:7: boom -> replace at once, drain for up to 30s",
            "  +9.100000s worker/0#2: exited with code 70 -> replaced before",
            "  +9.300000s operation 5: stop worker/0",
            "  +9.400000s worker/0#3: exited with code 0 -> as operation 5 asked",
        ]
    );
    assert_eq!(recorder.why(Slot::worker(1), &supervisor), None, "it is scaled away");
    assert_eq!(recorder.why(Slot::agent(), &supervisor).expect("there is one").to_string(), "agent/0#1 is ready");
}

#[test]
fn what_members_wrote_is_kept_with_the_steps_and_not_with_the_decisions() {
    let (recorder, supervisor) = recorded(plan(2), &story());
    let chain = recorder.why(Slot::worker(0), &supervisor).expect("there is such a slot").chain;
    let kept: Vec<_> = chain
        .iter()
        .filter_map(|(_, because)| match because {
            Because::Decided(record) => record.cause.exit().map(|exit| exit.stderr.len()),
            Because::Asked(..) => None,
        })
        .collect();
    assert_eq!(kept, [0, 0, 0]);
    let recording = recorder.recording();
    let Event::Exited(_, exit) = &recording.steps()[4].event else { panic!("it was an exit") };
    assert_eq!(exit.stderr.lines().count(), 100);
}

#[test]
fn a_step_weighs_what_it_is_made_of_and_its_texts_three_times() {
    let weight = |event: Event, actions: usize| {
        let step = Step { at: Moment::START, event, actions: vec![Action::AnnounceReady; actions] };
        step.weight() - size_of::<Step>() - actions * size_of::<Action>()
    };
    let exception = || Exception::new(ExceptionKind::Panic, "x".repeat(10));
    let exit = Exit { stderr: "x".repeat(1_000), exception: Some(exception()), ..Exit::signal(9) };
    assert_eq!(weight(Event::Boot, 0), 0);
    assert_eq!(weight(Event::Exited(agent(1), Exit::signal(9)), 3), 0);
    assert_eq!(weight(Event::Exited(agent(1), exit), 3), 3_030);
    assert_eq!(weight(Event::Exception(agent(1), exception()), 1), 30);
    assert_eq!(
        weight(Event::LinkLost(agent(1), LinkError::Io("x".repeat(8))), 0),
        3 * "its link failed: xxxxxxxx".len()
    );
}

#[test]
fn one_that_went_along_says_with_whom_and_one_that_waits_until_when() {
    let strategy = || RestForOne::new(OneForOne::agent());
    let plan = Plan::new(vec![role(Role::AGENT, 1, strategy()), role(Role::WORKER, 1, strategy())]);
    let mut events = vec![(0, Event::Boot), (1, Event::Ready(agent(1))), (2, Event::Ready(worker(0, 1)))];
    events.extend([
        (3_000, Event::Exited(agent(1), Exit::signal(11))),
        (3_500, Event::Exited(worker(0, 1), Exit::code(0))),
    ]);
    let (recorder, supervisor) = recorded(plan, &events);
    let why = recorder.why(Slot::worker(0), &supervisor).expect("there is such a slot").to_string();
    assert_eq!(
        why,
        "worker/0 is not started yet\n  +3.500000s worker/0#1: exited with code 0 -> goes along with agent/0#1"
    );
}

#[test]
fn the_chain_of_a_slot_is_bounded_and_keeps_the_latest() {
    let mut events = vec![(0, Event::Boot), (1, Event::Ready(agent(1))), (2, Event::Ready(worker(0, 1)))];
    events.extend((1..=40u32).map(|nth| (u64::from(nth) * 10, Event::Exception(agent(1), panic()))));
    let (recorder, supervisor) = recorded(plan(1), &events);
    let chain = recorder.why(Slot::agent(), &supervisor).expect("there is one").chain;
    assert_eq!((chain.len(), chain.last().map(|(at, _)| *at)), (16, Some(Moment::from_start(millis(400)))));
}

#[test]
fn a_recording_is_written_read_and_replayed_step_by_step_to_the_same_actions() {
    let (recorder, _) = recorded(plan(2), &story());
    let written = serde_json::to_string(&recorder.recording()).expect("it can be written");
    let read: Recording = serde_json::from_str(&written).expect("it can be read");
    let steps = read.replay(plan(2)).expect("it comes to the same");
    assert_eq!(steps, recorder.recording().steps());
    assert_eq!(
        steps[4].to_string(),
        "+5.000000s worker/0#1 killed by signal 9 => worker/0#1: killed by signal 9 -> restart at once; spawn worker/0#2"
    );
    assert_eq!(recorder.recording().to_string().lines().count(), story().len());
}

#[test]
fn a_replay_says_where_another_strategy_or_plan_or_version_comes_to_something_else() {
    let (recorder, _) = recorded(plan(2), &story());
    let other = Plan::new(vec![
        role(Role::WORKER, 2, from_fn(|_, _, _| Directive::Remove)),
        role(Role::AGENT, 1, OneForOne::agent()),
    ]);
    let divergence = recorder.recording().replay(other).expect_err("it decides otherwise");
    assert_eq!(
        divergence.to_string(),
        "step 4, worker/0#1 killed by signal 9 at +5.000000s: \
         recorded [worker/0#1: killed by signal 9 -> restart at once; spawn worker/0#2], \
         replayed [worker/0#1: killed by signal 9 -> do not restart; vacate worker/0]"
    );
    let lonely = Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent())]);
    let divergence = recorder.recording().replay(lonely).expect_err("it has another plan");
    assert_eq!(divergence.to_string(), "the plan is not that of the recording: it has 1 roles, and there were 2");
    let cache = Role::new(1, "cache");
    let other = Plan::new([Role::AGENT, cache].map(|which| role(which, 1, OneForOne::worker())).to_vec());
    let divergence = recorder.recording().replay(other).expect_err("it has another role");
    assert_eq!(divergence.to_string(), "the plan is not that of the recording: role cache is at the place of another");
    let written = serde_json::to_string(&recorder.recording()).expect("it can be written");
    let other = written.replacen("\"version\":1", "\"version\":9", 1);
    let read: Recording = serde_json::from_str(&other).expect("it can be read");
    assert_eq!(read.replay(plan(2)), Err(Divergence::Version { found: 9 }));
}

#[test]
fn roles_that_a_user_names_have_their_names_again_after_a_replay() {
    let mailer = Role::new(130, "mailer");
    let plan = || Plan::new(vec![role(mailer, 1, OneForOne::worker())]);
    let id = |incarnation| Slot::new(mailer, 0).member(Incarnation::new(incarnation));
    let events = [(0, Event::Boot), (1, Event::Ready(id(1))), (9, Event::Exited(id(1), Exit::signal(9)))];
    let (recorder, _) = recorded(plan(), &events);
    let written = serde_json::to_string(&recorder.recording()).expect("it can be written");
    let read: Recording = serde_json::from_str(&written).expect("it can be read");
    let steps = read.replay(plan()).expect("it comes to the same");
    assert!(steps[2].to_string().ends_with("spawn mailer/0#2"), "{}", steps[2]);
}

#[test]
fn a_recording_that_begins_in_the_middle_knows_what_is_due_who_goes_along_and_who_was_left_behind() {
    let (mailer, audit) = (Role::new(130, "mailer"), Role::new(131, "audit"));
    let always = || from_fn(|_, _, _| Directive::Restart { scope: Scope::All, after: Duration::ZERO });
    let plan = || Plan::new([mailer, audit].map(|which| role(which, 1, always())).to_vec());
    let id = |role, incarnation| Slot::new(role, 0).member(Incarnation::new(incarnation));
    let mut desk = Desk::started(plan());
    desk.tell(Event::LinkLost(id(audit, 1), LinkError::Protocol("unknown kind 99".into())));
    assert_eq!(desk.pass(millis(5_000))[0], "abandon audit/0#1");

    let mut recorder = Recorder::new(&desk.supervisor);
    let mut step = |event: Event, after: u64| {
        desk.now = desk.now + millis(after);
        let actions = desk.supervisor.handle(event.clone(), desk.now);
        recorder.step(desk.now, &event, actions.as_slice(), &desk.supervisor);
    };
    step(Event::DeadlinePassed, 5_000);
    step(Event::Exited(id(mailer, 1), Exit::signal(9)), 10);
    step(Event::Stop(Urgency::Quick), 10);
    step(Event::Exited(id(mailer, 2), Exit::signal(9)), 10);
    let written = serde_json::to_string(&recorder.recording()).expect("it can be written");
    let read: Recording = serde_json::from_str(&written).expect("it can be read");
    let steps = read.replay(plan()).expect("it comes to the same");
    assert_eq!(steps[0].to_string(), "+10.000000s deadline => kill mailer/0#1");
    assert!(steps[1].to_string().ends_with("goes along with audit/0#1; spawn mailer/0#2"), "{}", steps[1]);
    let Some(Action::Finish(outcome)) = steps[3].actions.last() else { panic!("{}", steps[3]) };
    assert_eq!(outcome.leftovers.iter().map(MemberId::to_string).collect::<Vec<_>>(), ["audit/0#1"]);
}

#[test]
fn the_ring_is_bounded_and_what_is_left_of_it_can_be_replayed() {
    let mut events = vec![(0, Event::Boot), (1, Event::Ready(agent(1))), (2, Event::Ready(worker(0, 1)))];
    events.extend((1..10_000).flat_map(|nth: u32| {
        let at = u64::from(nth) * 2_000;
        [(at, Event::Exited(worker(0, nth), Exit::signal(9))), (at + 1, Event::Ready(worker(0, nth + 1)))]
    }));
    let (recorder, _) = recorded(plan(1), &events);
    let recording = recorder.recording();
    assert!((4_096..=8_192).contains(&recording.steps().len()), "{}", recording.steps().len());
    assert!(recording.replay(plan(1)).is_ok());

    // And where each step is long, there are fewer.
    let mut events = vec![(0, Event::Boot), (1, Event::Ready(agent(1))), (2, Event::Ready(worker(0, 1)))];
    events.extend((1..2_000).flat_map(|nth: u32| {
        let at = u64::from(nth) * 2_000;
        let exit = Exit { stderr: "x".repeat(16 << 10), ..Exit::signal(9) };
        [(at, Event::Exited(worker(0, nth), exit)), (at + 1, Event::Ready(worker(0, nth + 1)))]
    }));
    let (recorder, _) = recorded(plan(1), &events);
    assert!(recorder.recording().steps().len() < 200);
    assert!(recorder.recording().replay(plan(1)).is_ok());
}
