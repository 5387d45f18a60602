//! Members that are silent although they should be heard.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hatchery::supervision::{Cause, Decision, Directive, ExitStatus, Scope};
use hatchery::{ClusterError, ClusterEvent, ClusterEvents, MemberId, MemberState, Recipient, Role, Slot};

use super::{Case, Need, case};
use crate::cast::{Cast, HASTE, SILENCE};
use crate::puppet::LET_GO;
use crate::stage::{Order, Stage};
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![
        case("a member whose runtime is stuck is unresponsive, then replaced, and has failed once", Cast::Impatient, {
            |stage| {
                Box::pin(async move {
                    let story = Story::ready(&stage).await;
                    let member = story.member(Slot::worker(0));
                    stage.stick(&story.handle, member).await;
                    replaced(stage, story, member).await;
                })
            }
        }),
        Case {
            name: "a member that stands still for too long is replaced as one that is stuck",
            cast: Cast::Impatient,
            needs: &[Need::Stop],
            proof: |stage| {
                Box::pin(async move {
                    let story = Story::ready(&stage).await;
                    let member = story.member(Slot::worker(0));
                    stage.signal(&story.handle, member, Order::Stop);
                    replaced(stage, story, member).await;
                })
            },
        },
        case("a member whose runtime was blocked and answers again is responsive", Cast::Beating, |stage| {
            Box::pin(async move {
                let mut story = Story::ready(&stage).await;
                let member = story.member(Slot::worker(0));
                stage.block(&story.handle, member, Duration::from_secs(2)).await;
                until_unresponsive(&mut story, member).await;
                comes_back(story, member).await;
            })
        }),
        Case {
            name: "a member that stood still and answers again is responsive",
            cast: Cast::Beating,
            needs: &[Need::Stop],
            proof: |stage| {
                Box::pin(async move {
                    let mut story = Story::ready(&stage).await;
                    let member = story.member(Slot::worker(0));
                    stage.signal(&story.handle, member, Order::Stop);
                    until_unresponsive(&mut story, member).await;
                    stage.signal(&story.handle, member, Order::Continue);
                    comes_back(story, member).await;
                })
            },
        },
    ]
}

async fn until_unresponsive(story: &mut Story, silent: MemberId) {
    story
        .until(|event| match event {
            ClusterEvent::Unresponsive { member, .. } => (*member == silent).then_some(()),
            _ => None,
        })
        .await;
}

/// Nothing else has happened to it.
async fn comes_back(mut story: Story, silent: MemberId) {
    story
        .until(|event| match event {
            ClusterEvent::Responsive { member } => (*member == silent).then_some(()),
            ClusterEvent::Decided { .. } | ClusterEvent::Exited { .. } => panic!("{event}"),
            _ => None,
        })
        .await;
    assert_eq!(story.who(silent.slot()).await, silent.to_string());
    story.end().await;
}

/// Whether anybody else has been called unresponsive.
async fn falters(events: &mut ClusterEvents, stuck: MemberId) -> bool {
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        if matches!(event, ClusterEvent::Unresponsive { member, .. } if member != stuck) {
            return true;
        }
    }
    false
}

/// It is asked to go, killed, and replaced. One more failure, and it would not be.
async fn replaced(stage: Stage, mut story: Story, stuck: MemberId) {
    until_unresponsive(&mut story, stuck).await;
    let roster = story.handle.status();
    let status = roster.members.iter().find(|status| status.id == stuck).expect("it is there");
    assert_eq!(status.state, MemberState::Unresponsive);
    // Its sibling serves, and has what is for anybody. On a busy machine it may itself be called unresponsive for a moment:
    // then one is as good as the other, and what the stuck one got is not answered.
    let messenger = story.handle.messenger();
    loop {
        let mut meanwhile = story.handle.events();
        let roster = story.handle.status();
        let served = roster.of(Role::WORKER).any(|status| status.id != stuck && status.state == MemberState::Ready);
        let answer =
            messenger.call_within::<String>(Duration::from_secs(1), Recipient::Random(Role::WORKER), "who", &()).await;
        match answer {
            Ok(name) => {
                assert_ne!(name, stuck.to_string());
                break;
            }
            Err(error) => assert!(!served || falters(&mut meanwhile, stuck).await, "{error}"),
        }
    }
    let (span, decision) = story
        .until(|event| match event {
            ClusterEvent::Decided { member, cause: Cause::Unresponsive(span), decision } => {
                (*member == stuck).then(|| (*span, decision.clone()))
            }
            _ => None,
        })
        .await;
    assert!(span >= SILENCE, "{span:?}");
    let restart = Directive::Restart { scope: Scope::One, after: Duration::ZERO };
    assert_eq!(decision, Decision::Strategy(restart.clone()));
    let (member, cause, decision) = story.until_exit().await;
    assert_eq!((member, decision), (stuck, Decision::Strategy(restart)));
    let expected = match stage.can_kill() {
        true => ExitStatus::Signal { number: 9, core_dumped: false },
        false => ExitStatus::Unkillable,
    };
    assert!(matches!(&cause, Cause::Overdue(time, exit) if *time == HASTE && exit.status == expected), "{cause:?}");
    assert_eq!(story.who(Slot::worker(0)).await, "worker/0#2");
    if !stage.can_kill() {
        LET_GO.store(true, Ordering::Relaxed);
    }
    match story.handle.shutdown().await {
        Ok(()) => {}
        // A thread goes when it can.
        Err(ClusterError::LeftBehind(left)) if !stage.can_kill() => assert_eq!(left, [stuck]),
        Err(other) => panic!("{other}"),
    }
}
