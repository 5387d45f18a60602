//! What an operator asks for while the cluster runs.

use hatchery::supervision::{Conclusion, OperationError};
use hatchery::{Role, Slot};

use super::{Case, case};
use crate::cast::Cast;
use crate::stage::Stage;
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![
        case("a role is scaled up and down", Cast::Puppets, |stage| Box::pin(scaled(stage))),
        case("a role is scaled to nobody and back", Cast::Puppets, |stage| Box::pin(to_nobody(stage))),
        case("a slot is restarted, and its successor serves", Cast::Puppets, |stage| Box::pin(restarted(stage))),
        case("a slot that is stopped stays empty until it is restarted", Cast::Puppets, |stage| {
            Box::pin(stopped(stage))
        }),
        case("what the plan does not have cannot be operated", Cast::Puppets, |stage| Box::pin(unknown(stage))),
    ]
}

async fn scaled(stage: Stage) {
    let story = Story::ready(&stage).await;
    assert_eq!(story.handle.scale(Role::WORKER, 4).await, Conclusion::Done);
    assert_eq!(story.handle.status().ready(Role::WORKER), 4);
    assert_eq!(story.who(Slot::worker(3)).await, "worker/3#1");
    assert_eq!(story.handle.scale(Role::WORKER, 1).await, Conclusion::Done);
    assert_eq!(story.handle.status().ready(Role::WORKER), 1);
    assert_eq!(story.who(Slot::worker(0)).await, "worker/0#1");
    story.end().await;
}

async fn to_nobody(stage: Stage) {
    let story = Story::ready(&stage).await;
    assert_eq!(story.handle.scale(Role::WORKER, 0).await, Conclusion::Done);
    assert_eq!((story.handle.status().ready(Role::WORKER), story.handle.status().ready(Role::AGENT)), (0, 1));
    assert_eq!(story.handle.scale(Role::WORKER, 2).await, Conclusion::Done);
    assert_eq!(story.handle.status().ready(Role::WORKER), 2);
    story.end().await;
}

async fn restarted(stage: Stage) {
    let story = Story::ready(&stage).await;
    for slot in [Slot::worker(0), Slot::agent()] {
        assert_eq!(story.handle.restart(slot).await, Conclusion::Done);
        assert_eq!(story.who(slot).await, format!("{slot}#2"));
    }
    story.end().await;
}

async fn stopped(stage: Stage) {
    let story = Story::ready(&stage).await;
    assert_eq!(story.handle.stop(Slot::worker(0)).await, Conclusion::Done);
    assert_eq!(story.handle.status().ready(Role::WORKER), 1);
    assert_eq!(story.handle.restart(Slot::worker(0)).await, Conclusion::Done);
    assert_eq!(story.who(Slot::worker(0)).await, "worker/0#2");
    story.end().await;
}

async fn unknown(stage: Stage) {
    let story = Story::ready(&stage).await;
    let nowhere = Slot::worker(9);
    let failed = |error| Conclusion::Failed(error);
    assert_eq!(story.handle.restart(nowhere).await, failed(OperationError::NoSuchSlot(nowhere)));
    assert_eq!(story.handle.stop(nowhere).await, failed(OperationError::NoSuchSlot(nowhere)));
    let two_agents = OperationError::TooMany { role: Role::AGENT, most: 1 };
    assert_eq!(story.handle.scale(Role::AGENT, 2).await, failed(two_agents));
    story.end().await;
}
