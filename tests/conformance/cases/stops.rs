//! How a cluster ends.

use hatchery::supervision::{Cause, ExitStatus};
use hatchery::{ClusterError, ClusterEvent, Slot};

use super::{Case, Need, case};
use crate::cast::{Cast, HASTE};
use crate::stage::{Order, Stage};
use crate::story::{Story, status};

pub fn cases() -> Vec<Case> {
    vec![
        case("a stop is in order: the workers, then the agent, each with code 0", Cast::Puppets, |stage| {
            Box::pin(in_order(stage))
        }),
        case("a member that ignores the stop is killed when its time is over", Cast::Hasty, |stage| {
            Box::pin(ignored(stage))
        }),
        case("a kill ends all at once", Cast::Puppets, |stage| Box::pin(killed(stage))),
        case("with its last handle a cluster ends", Cast::Puppets, |stage| Box::pin(dropped(stage))),
        case("a cluster that has ended can be started again", Cast::Puppets, |stage| Box::pin(again(stage))),
        Case {
            name: "a member that stands still is killed when its time to stop is over",
            cast: Cast::Hasty,
            needs: &[Need::Stop],
            proof: |stage| Box::pin(stands(stage)),
        },
        Case {
            name: "a member that stood still for a while is as it was",
            cast: Cast::Puppets,
            needs: &[Need::Stop],
            proof: |stage| Box::pin(goes_on(stage)),
        },
    ]
}

async fn in_order(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let handle = story.handle.clone();
    assert_eq!(handle.shutdown().await, Ok(()));
    let mut gone = Vec::new();
    while gone.len() < 3 {
        let (member, cause, _) = story.until_exit().await;
        assert!(matches!(&cause, Cause::Left(_)), "{cause:?}");
        assert_eq!(status(&cause), Some(ExitStatus::Code(0)));
        gone.push(member.slot());
    }
    assert_eq!(gone[2], Slot::agent(), "{gone:?}");
    assert_eq!(
        story.until(|event| matches!(event, ClusterEvent::Finished(_)).then(|| event.clone())).await,
        ClusterEvent::Finished(Ok(()))
    );
    assert_eq!(story.next().await, None);
}

/// Who of the workers was late.
async fn late(mut story: Story) {
    let handle = story.handle.clone();
    assert_eq!(handle.shutdown().await, Ok(()));
    let killed = ExitStatus::Signal { number: 9, core_dumped: false };
    for _ in 0..3 {
        let (member, cause, _) = story.until_exit().await;
        match member.slot() == Slot::worker(0) {
            true => assert!(
                matches!(&cause, Cause::Overdue(time, exit) if *time == HASTE && exit.status == killed),
                "{cause:?}"
            ),
            false => assert_eq!(status(&cause), Some(ExitStatus::Code(0)), "{member}"),
        }
    }
}

async fn ignored(stage: Stage) {
    let story = Story::ready(&stage).await;
    story.has_stay(Slot::worker(0)).await;
    late(story).await;
}

async fn stands(stage: Stage) {
    let story = Story::ready(&stage).await;
    stage.signal(&story.handle, story.member(Slot::worker(0)), Order::Stop);
    late(story).await;
}

async fn goes_on(stage: Stage) {
    let story = Story::ready(&stage).await;
    let member = story.member(Slot::worker(0));
    stage.signal(&story.handle, member, Order::Stop);
    let messenger = story.handle.messenger();
    let asked = async { messenger.call::<String>(member, "who", &()).await };
    let (answer, ()) = tokio::join!(asked, async {
        // It is asked while it stands: others answer meanwhile.
        story.who(Slot::worker(1)).await;
        stage.signal(&story.handle, member, Order::Continue);
    });
    assert_eq!(answer, Ok(member.to_string()));
    story.end().await;
}

/// They are told to go and killed in one breath: who is quick has gone by itself.
async fn killed(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let handle = story.handle.clone();
    story.has_stay(Slot::worker(0)).await;
    assert_eq!(handle.kill().await, Ok(()));
    for _ in 0..3 {
        let (member, cause, _) = story.until_exit().await;
        let killed = status(&cause) == Some(ExitStatus::Signal { number: 9, core_dumped: false });
        assert!(killed || member.slot() != Slot::worker(0), "{member}: {cause:?}");
    }
    assert_eq!(handle.status().members.iter().filter(|member| member.pid.is_some()).count(), 0);
}

async fn dropped(stage: Stage) {
    let story = Story::ready(&stage).await;
    let mut events = story.handle.events();
    drop(story);
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert_eq!(last, Some(ClusterEvent::Finished(Err(ClusterError::Killed))));
}

async fn again(stage: Stage) {
    for _ in 0..2 {
        let story = Story::ready(&stage).await;
        assert_eq!(story.who(Slot::worker(1)).await, "worker/1#1");
        story.end().await;
    }
}
