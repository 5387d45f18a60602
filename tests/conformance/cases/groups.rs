//! Members that go along with another.

use hatchery::supervision::{Cause, Decision};
use hatchery::{ClusterEvent, Message, Slot};
use tokio::sync::mpsc::unbounded_channel;

use super::{Case, case};
use crate::cast::Cast;
use crate::stage::Stage;
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![case(
        "with an agent that fails its workers leave, and all are back in order, with what waited for them",
        Cast::Grouped,
        |stage| Box::pin(with_the_agent(stage)),
    )]
}

async fn with_the_agent(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let (told, mut noted) = unbounded_channel();
    messenger.on("noted", move |message: Message<(u32, u32)>| {
        let _ = told.send(message.body);
    });
    story.tell(Slot::agent(), "fail").await;
    let mut said = Vec::new();
    let mut gone = 0;
    while said.len() < 6 {
        match story.next().await.expect("it goes on") {
            ClusterEvent::Exited { member, cause, decision } => {
                if member.slot() != Slot::agent() {
                    assert!(matches!(&cause, Cause::Left(_)), "{cause:?}");
                    assert_eq!(decision.to_string(), "goes along with agent/0#1");
                    gone += 1;
                } else {
                    assert!(matches!(&decision, Decision::Strategy(_)), "{decision:?}");
                }
                if gone == 2 {
                    // Nobody is there: it waits.
                    messenger.to(Slot::worker(1), "note", &7u32).await.expect("the slot is there");
                }
            }
            ClusterEvent::Started { member, .. } => {
                assert_eq!(gone, 2, "{member} is started when all have gone");
                said.push(format!("{member} started"));
            }
            ClusterEvent::Ready { member } => said.push(format!("{member} ready")),
            _ => {}
        }
    }
    assert_eq!(said[..2], ["agent/0#2 started", "agent/0#2 ready"]);
    assert!(said[2..].iter().all(|what| what.starts_with("worker/") && what.contains("#2 ")), "{said:?}");
    assert_eq!(noted.recv().await, Some((2, 7)), "its second process has it");
    story.end().await;
}
