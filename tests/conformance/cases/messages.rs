//! What is said between members, and what is answered when somebody has gone.

use hatchery::messenger::Message;
use hatchery::{CallError, Messenger, Reason, Role, SendError, Slot};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Case, case};
use crate::cast::Cast;
use crate::stage::Stage;
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![
        case("what is sent to a slot arrives once and in order, also over its restart", Cast::Puppets, |stage| {
            Box::pin(ordered(stage))
        }),
        case("what is sent to one who has gone comes back", Cast::Puppets, |stage| Box::pin(gone(stage))),
        case("a call is answered by the end of the callee", Cast::Hasty, |stage| Box::pin(died(stage))),
        case("a call that nobody handles comes back", Cast::Puppets, |stage| Box::pin(unhandled(stage))),
        case("members know who is ready", Cast::Puppets, |stage| Box::pin(roster(stage))),
    ]
}

/// What members tell the host.
pub(super) fn told<T: serde::de::DeserializeOwned + Send + 'static>(
    messenger: &Messenger,
    action: &str,
) -> UnboundedReceiver<T> {
    let (told, heard) = unbounded_channel();
    messenger.on(action, move |message: Message<T>| drop(told.send(message.body)));
    heard
}

async fn ordered(stage: Stage) {
    const COUNT: u32 = 60;
    let story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let mut noted = told::<(u32, u32)>(&messenger, "noted");
    let sending = async {
        for number in 0..COUNT {
            messenger.to(Slot::worker(0), "note", &number).await.expect("the slot is there");
            tokio::task::yield_now().await;
        }
    };
    let ((), restarted) = tokio::join!(sending, story.handle.restart(Slot::worker(0)));
    assert_eq!(restarted, hatchery::supervision::Conclusion::Done);
    let mut by_incarnation = [Vec::new(), Vec::new()];
    for _ in 0..COUNT {
        let (incarnation, number) = noted.recv().await.expect("all arrive");
        by_incarnation[incarnation as usize - 1].push(number);
    }
    // Each tells what it got in the order in which it got it; the two tell it by different ways.
    assert_eq!(by_incarnation.concat(), (0..COUNT).collect::<Vec<_>>());
    assert!(noted.try_recv().is_err(), "nothing arrives twice");
    story.end().await;
}

async fn gone(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let mut undelivered = messenger.undelivered();
    let former = story.member(Slot::worker(0));
    story.tell(Slot::worker(0), "return").await;
    assert_eq!(story.until_exit().await.0, former);
    match messenger.to(former, "do", &"report".to_owned()).await {
        Ok(()) => {
            let back = undelivered.next().await.expect("it comes back");
            assert_eq!((back.action.as_str(), back.reason, back.perhaps_seen), ("do", Reason::Gone, false));
        }
        Err(error) => assert_eq!(error, SendError::Gone(former)),
    }
    let called = messenger.call::<String>(former, "who", &()).await;
    let gone = [CallError::Undelivered(Reason::Gone), CallError::Send(SendError::Gone(former))];
    assert!(called.as_ref().is_err_and(|error| gone.contains(error)), "{called:?}");
    story.end().await;
}

async fn died(stage: Stage) {
    let story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let mut hanging = told::<()>(&messenger, "hanging");
    let call = messenger.call::<()>(story.member(Slot::worker(0)), "hang", &());
    let (answer, stopped) = tokio::join!(call, async {
        hanging.recv().await.expect("it has the call");
        story.handle.stop(Slot::worker(0)).await
    });
    assert_eq!(answer, Err(CallError::Undelivered(Reason::Died)));
    assert_eq!(stopped, hatchery::supervision::Conclusion::Done);
    story.end().await;
}

async fn unhandled(stage: Stage) {
    let story = Story::ready(&stage).await;
    let called = story.handle.messenger().call::<()>(Slot::worker(0), "sing", &()).await;
    assert_eq!(called, Err(CallError::Undelivered(Reason::NoHandler)));
    story.end().await;
}

async fn roster(stage: Stage) {
    let story = Story::ready(&stage).await;
    let seen: usize = story.handle.messenger().call(Slot::agent(), "ready workers", &()).await.expect("it answers");
    assert_eq!((seen, story.handle.status().ready(Role::WORKER)), (2, 2));
    story.end().await;
}
