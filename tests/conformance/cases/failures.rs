//! What follows when something goes wrong.

use hatchery::supervision::{Decision, Directive, ExitStatus};
use hatchery::{ClusterEvent, Slot};

use super::{Case, Need, case};
use crate::cast::Cast;
use crate::stage::{Order, Stage};
use crate::story::{Story, status};

pub fn cases() -> Vec<Case> {
    vec![
        case("a panic in the role function has a worker replaced", Cast::Puppets, |stage| {
            Box::pin(replaced(stage, "throw in the role function"))
        }),
        case("a panic in a task has a worker replaced", Cast::Puppets, |stage| {
            Box::pin(replaced(stage, "throw in a task"))
        }),
        case("a panic in a handler has a worker replaced", Cast::Puppets, |stage| {
            Box::pin(replaced(stage, "throw in a handler"))
        }),
        case("a reported exception has a worker replaced", Cast::Puppets, |stage| Box::pin(replaced(stage, "report"))),
        case("an agent with an exception stays and serves", Cast::Puppets, |stage| Box::pin(agent_stays(stage))),
        case("an exception over the limit leaves the worker in service", Cast::Touchy, |stage| Box::pin(sick(stage))),
        case("a worker whose function returns is started again", Cast::Puppets, |stage| {
            Box::pin(returns(stage, "return", 0))
        }),
        case("a worker whose function fails is replaced", Cast::Puppets, |stage| Box::pin(returns(stage, "fail", 70))),
        case("an agent whose function has returned lives for its handlers", Cast::Puppets, |stage| {
            Box::pin(agent_returns(stage))
        }),
        case("a worker that fails young too often is parked, and tried again", Cast::Touchy, |stage| {
            Box::pin(parked(stage))
        }),
        Case {
            name: "a member that exits is replaced, and its code is in the record",
            cast: Cast::Puppets,
            needs: &[Need::Exit],
            proof: |stage| Box::pin(exits(stage)),
        },
        Case {
            name: "a killed member is replaced, and its signal is in the record",
            cast: Cast::Puppets,
            needs: &[Need::Kill],
            proof: |stage| Box::pin(killed(stage)),
        },
    ]
}

/// The successor is asked for at once, and the end of the one with the exception is no news.
async fn replaced(stage: Stage, how: &str) {
    let mut story = Story::ready(&stage).await;
    let sick = story.member(Slot::worker(0));
    story.tell(Slot::worker(0), how).await;
    let (member, text, decision) = story.until_exception().await;
    assert_eq!(member, sick);
    assert!(text.contains("told to"), "{text}");
    assert!(matches!(decision, Some(Decision::Strategy(Directive::Replace { .. }))), "{decision:?}");
    let (member, cause, decision) = story.until_exit().await;
    assert_eq!((member, status(&cause)), (sick, Some(ExitStatus::Code(70))));
    assert_eq!(decision, Decision::AlreadyReplaced, "its successor was asked for first");
    assert_eq!(story.who(Slot::worker(0)).await, "worker/0#2");
    assert_eq!(
        (story.who(Slot::agent()).await, story.who(Slot::worker(1)).await),
        ("agent/0#1".into(), "worker/1#1".into())
    );
    story.end().await;
}

async fn agent_stays(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    for how in ["throw in a task", "throw in a handler", "report", "throw in the role function"] {
        story.tell(Slot::agent(), how).await;
        let (member, _, decision) = story.until_exception().await;
        assert_eq!((member.slot(), decision), (Slot::agent(), Some(Decision::Strategy(Directive::Ignore))), "{how}");
        assert_eq!(story.who(Slot::agent()).await, "agent/0#1");
    }
    story.end().await;
}

/// The first time it is replaced, the second time it is over its limit.
async fn sick(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    story.tell(Slot::worker(0), "report").await;
    assert!(matches!(story.until_exception().await.2, Some(Decision::Strategy(Directive::Replace { .. }))));
    let second = story.until_ready(Slot::worker(0)).await;
    story.handle.messenger().to(second, "do", &"report".to_owned()).await.expect("it is there");
    let (member, _, decision) = story.until_exception().await;
    assert_eq!((member, decision), (second, Some(Decision::Strategy(Directive::Ignore))));
    assert_eq!(story.who(Slot::worker(0)).await, second.to_string());
    story.end().await;
}

async fn returns(stage: Stage, how: &str, code: i32) {
    let mut story = Story::ready(&stage).await;
    story.tell(Slot::worker(1), how).await;
    let (member, cause, _) = story.until_exit().await;
    assert_eq!((member.to_string(), status(&cause)), ("worker/1#1".into(), Some(ExitStatus::Code(code))));
    assert_eq!(story.who(Slot::worker(1)).await, "worker/1#2");
    story.end().await;
}

async fn agent_returns(stage: Stage) {
    let story = Story::ready(&stage).await;
    story.tell(Slot::agent(), "return").await;
    assert_eq!(story.who(Slot::agent()).await, "agent/0#1");
    story.end().await;
}

async fn parked(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let mut member = story.member(Slot::worker(0));
    loop {
        story.handle.messenger().to(member, "do", &"fail".to_owned()).await.expect("it is there");
        let next = story
            .until(|event| match event {
                ClusterEvent::Ready { member } if member.slot() == Slot::worker(0) => Some(Some(*member)),
                ClusterEvent::Parked { slot, retry_in: Some(_) } if *slot == Slot::worker(0) => Some(None),
                _ => None,
            })
            .await;
        match next {
            Some(successor) => member = successor,
            None => break,
        }
        assert!(member.incarnation().get() < 10, "it is never parked");
    }
    let probe = story.until_ready(Slot::worker(0)).await;
    assert_eq!(story.who(Slot::worker(0)).await, probe.to_string());
    story.end().await;
}

async fn exits(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    stage.exit(&story.handle, story.member(Slot::worker(0)), 7).await;
    let (member, cause, decision) = story.until_exit().await;
    assert_eq!((member.to_string(), status(&cause)), ("worker/0#1".into(), Some(ExitStatus::Code(7))));
    assert!(matches!(decision, Decision::Strategy(Directive::Restart { .. })), "{decision:?}");
    assert_eq!(story.who(Slot::worker(0)).await, "worker/0#2");
    story.end().await;
}

async fn killed(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    stage.signal(&story.handle, story.member(Slot::worker(1)), Order::Kill);
    let (member, cause, decision) = story.until_exit().await;
    let killed = ExitStatus::Signal { number: 9, core_dumped: false };
    assert_eq!((member.to_string(), status(&cause)), ("worker/1#1".into(), Some(killed)));
    assert!(matches!(decision, Decision::Strategy(Directive::Restart { .. })), "{decision:?}");
    assert_eq!(story.who(Slot::worker(1)).await, "worker/1#2");
    story.end().await;
}
