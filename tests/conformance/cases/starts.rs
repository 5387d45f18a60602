//! How a cluster comes up, and how it does not.

use hatchery::supervision::{BootFailure, Cause, ExitStatus};
use hatchery::{ClusterEvent, Slot};

use super::{Case, Need, case};
use crate::cast::{BOOT, Cast, EARLY};
use crate::stage::Stage;
use crate::story::{Story, status};

pub fn cases() -> Vec<Case> {
    vec![
        case("the agent is ready before a worker is started, and the cluster is ready once", Cast::Puppets, |stage| {
            Box::pin(order(stage))
        }),
        case("whoever comes later is told that the cluster is ready", Cast::Puppets, |stage| Box::pin(told(stage))),
        case("a function that returns before it is ready fails the start", Cast::Returning, |stage| {
            Box::pin(fails(stage, ""))
        }),
        case("a function that fails before it is ready fails the start with its words", Cast::Failing, |stage| {
            Box::pin(fails(stage, "no such table: users"))
        }),
        case("a function that panics before it is ready fails the start with its words", Cast::Throwing, |stage| {
            Box::pin(fails(stage, "too early"))
        }),
        case("a member that is never ready is ended, and fails the start", Cast::Silent, |stage| {
            Box::pin(silent(stage))
        }),
        Case {
            name: "a member that exits before it is ready fails the start with its code",
            cast: Cast::Exiting,
            needs: &[Need::Exit],
            proof: |stage| Box::pin(exits(stage)),
        },
        Case {
            name: "a program that cannot be started fails the start with the system's reason",
            cast: Cast::Missing,
            needs: &[Need::Refusal],
            proof: |stage| Box::pin(missing(stage)),
        },
    ]
}

async fn order(stage: Stage) {
    let mut story = Story::begin(&stage).await;
    let mut said = Vec::new();
    while said.last().is_none_or(|line| line != "cluster ready") {
        said.push(match story.next().await.expect("it goes on") {
            ClusterEvent::Started { member, .. } => format!("{member} started"),
            other => other.to_string(),
        });
    }
    assert_eq!(said[..2], ["agent/0#1 started", "agent/0#1 ready"], "{said:?}");
    let mut workers = said[2..6].to_vec();
    workers.sort();
    let expected = ["worker/0#1 ready", "worker/0#1 started", "worker/1#1 ready", "worker/1#1 started"];
    assert_eq!((&workers[..], said.len()), (&expected.map(String::from)[..], 7), "{said:?}");
    story.tell(Slot::worker(0), "throw in a task").await;
    assert_eq!(story.until_exit().await.0.slot(), Slot::worker(0));
    story.handle.shutdown().await.expect("it stops");
    while let Some(event) = story.next().await {
        assert_ne!(event, ClusterEvent::ClusterReady, "it is told once");
    }
}

async fn told(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    story.tell(Slot::worker(1), "throw in a task").await;
    let successor = story.until_ready(Slot::worker(1)).await;
    let told = story.handle.messenger().call(successor, "cluster ready", &()).await;
    assert_eq!(told, Ok(true));
    story.end().await;
}

/// Whatever it does, a function that has ended before it was ready ends its member with the code of an exception.
async fn fails(stage: Stage, words: &str) {
    let story = Story::begin(&stage).await;
    let (member, cause) = story.failure().await;
    assert_eq!((member.slot(), status(&cause)), (Slot::worker(0), Some(ExitStatus::Code(70))), "{cause}");
    assert!(matches!(&cause, Cause::BootFailed(BootFailure::Ended(_))), "{cause:?}");
    assert!(cause.to_string().contains(words), "{cause}");
}

async fn silent(stage: Stage) {
    let story = Story::begin(&stage).await;
    let (_, cause) = story.failure().await;
    let Cause::BootFailed(BootFailure::TimedOut { allowed, exit }) = &cause else { panic!("{cause:?}") };
    assert_eq!((*allowed, &exit.status), (BOOT, &ExitStatus::Signal { number: 9, core_dumped: false }));
}

async fn exits(stage: Stage) {
    let mut story = Story::begin(&stage).await;
    let member = story
        .until(|event| match event {
            ClusterEvent::Started { member, .. } => (member.slot() == Slot::worker(0)).then_some(*member),
            _ => None,
        })
        .await;
    stage.exit_early(member);
    let (failed, cause) = story.failure().await;
    assert_eq!((failed, status(&cause)), (member, Some(ExitStatus::Code(EARLY))));
}

async fn missing(stage: Stage) {
    let story = Story::begin(&stage).await;
    let (_, cause) = story.failure().await;
    let Some(ExitStatus::NotStarted(failure)) = status(&cause) else { panic!("{cause:?}") };
    assert_eq!(failure.errno, Some(2), "{}", failure.what);
}
