//! What follows when something happens to a link, or to the machine.

use hatchery::supervision::{Cause, ExitStatus, LinkError};
use hatchery::{ClusterEvent, MemberId, Slot};

use super::{Case, Need, case};
use crate::cast::Cast;
use crate::stage::{Blow, Stage};
use crate::story::{Story, status};

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "a link that breaks ends its member, which is replaced",
            cast: Cast::Puppets,
            needs: &[Need::LinkFault],
            proof: |stage| Box::pin(lost(stage, Blow::Cut)),
        },
        Case {
            name: "a link that ends within a frame ends its member, which is replaced",
            cast: Cast::Puppets,
            needs: &[Need::LinkFault],
            proof: |stage| Box::pin(lost(stage, Blow::Truncate)),
        },
        Case {
            name: "a member that breaks the protocol of its link is killed and replaced",
            cast: Cast::Puppets,
            needs: &[Need::LinkFault],
            proof: |stage| Box::pin(spoiled(stage)),
        },
        Case {
            name: "a link that stalls for a while costs nobody, and what was sent arrives",
            cast: Cast::Puppets,
            needs: &[Need::Stall],
            proof: |stage| Box::pin(stalled(stage)),
        },
        Case {
            name: "a member that is killed for lack of memory is replaced, and the record says so",
            cast: Cast::Puppets,
            needs: &[Need::Starvation],
            proof: |stage| Box::pin(starved(stage)),
        },
        Case {
            name: "a suspended host costs nobody",
            cast: Cast::Beating,
            needs: &[Need::Suspension],
            proof: |stage| Box::pin(suspended(stage)),
        },
        case("a member that takes its time to be ready is waited for", Cast::Slow, |stage| Box::pin(slow(stage))),
    ]
}

/// The next end, of the worker that was struck, after which its successor serves.
async fn ended(mut story: Story) -> Cause {
    let (member, cause, _) = story.until_exit().await;
    assert_eq!(member.to_string(), "worker/0#1");
    assert_eq!(story.who(Slot::worker(0)).await, "worker/0#2");
    assert_eq!(story.who(Slot::worker(1)).await, "worker/1#1");
    story.end().await;
    cause
}

async fn lost(stage: Stage, blow: Blow) {
    let story = Story::ready(&stage).await;
    stage.strike_link(&story.handle, story.member(Slot::worker(0)), blow).await;
    let cause = ended(story).await;
    // Either end may be the first to notice.
    let lost = matches!(cause, Cause::LinkLost(..)) || status(&cause) == Some(ExitStatus::Code(110));
    assert!(lost, "{cause:?}");
}

async fn spoiled(stage: Stage) {
    let story = Story::ready(&stage).await;
    stage.strike_link(&story.handle, story.member(Slot::worker(0)), Blow::Spoil).await;
    let cause = ended(story).await;
    let Cause::LinkLost(LinkError::Protocol(_), exit) = &cause else { panic!("{cause:?}") };
    // It is killed, unless it has seen before that its master let go of the link, and left.
    let ends = [ExitStatus::Signal { number: 9, core_dumped: false }, ExitStatus::Code(110)];
    assert!(ends.contains(&exit.status), "{cause:?}");
}

/// Nobody has come to anything.
fn assert_same(story: &Story) {
    let members = &story.handle.status().members;
    assert!(members.len() == 3 && members.iter().all(|member| member.id.incarnation().get() == 1), "{members:?}");
}

async fn stalled(stage: Stage) {
    let story = Story::ready(&stage).await;
    stage.stall_link(story.member(Slot::worker(0)));
    assert_eq!(story.who(Slot::worker(0)).await, "worker/0#1");
    assert_same(&story);
    story.end().await;
}

async fn starved(stage: Stage) {
    let story = Story::ready(&stage).await;
    stage.starve(story.member(Slot::worker(0)));
    let cause = ended(story).await;
    let exit = cause.exit().expect("it has ended");
    let killed = ExitStatus::Signal { number: 9, core_dumped: false };
    assert_eq!((exit.out_of_memory, &exit.status), (true, &killed));
}

async fn suspended(stage: Stage) {
    let story = Story::ready(&stage).await;
    stage.suspend().await;
    for slot in [Slot::agent(), Slot::worker(0), Slot::worker(1)] {
        assert_eq!(story.who(slot).await, format!("{slot}#1"));
    }
    assert_same(&story);
    story.end().await;
}

async fn slow(stage: Stage) {
    let mut story = Story::begin(&stage).await;
    let mut before: Vec<MemberId> = Vec::new();
    loop {
        match story.next().await.expect("it goes on") {
            ClusterEvent::Ready { member } => before.push(member),
            ClusterEvent::ClusterReady => break,
            ClusterEvent::Exited { .. } | ClusterEvent::Decided { .. } => panic!("nobody has done anything wrong"),
            _ => {}
        }
    }
    assert_eq!(before.len(), 3, "{before:?}");
    assert_same(&story);
    story.end().await;
}
