//! A cluster that runs, and what it tells.

use hatchery::supervision::{Cause, Decision, ExitStatus};
use hatchery::{ClusterError, ClusterEvent, ClusterEvents, ClusterHandle, MemberId, Slot};

use crate::stage::Stage;

/// A cluster that runs. What it tells is taken in order: who looks for something passes over what comes before.
pub struct Story {
    pub handle: ClusterHandle,
    events: ClusterEvents,
    before: Vec<String>,
}

impl Story {
    /// Started, not more.
    pub async fn begin(stage: &Stage) -> Story {
        let handle = stage.start().await;
        let events = handle.events();
        Story { handle, events, before: Vec::new() }
    }

    /// Started, and all are ready.
    pub async fn ready(stage: &Stage) -> Story {
        let mut story = Story::begin(stage).await;
        story.until(|event| (*event == ClusterEvent::ClusterReady).then_some(())).await;
        story
    }

    /// The next event. `None`: there will be none.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        let event = self.events.next().await?;
        self.before.push(event.to_string());
        Some(event)
    }

    /// The first event that is looked for.
    pub async fn until<T>(&mut self, look: impl Fn(&ClusterEvent) -> Option<T>) -> T {
        loop {
            let Some(event) = self.next().await else { panic!("it ended without: {:#?}", self.before) };
            if let Some(found) = look(&event) {
                return found;
            }
        }
    }

    /// The next who becomes ready in that slot.
    pub async fn until_ready(&mut self, slot: Slot) -> MemberId {
        self.until(|event| match event {
            ClusterEvent::Ready { member } => (member.slot() == slot).then_some(*member),
            _ => None,
        })
        .await
    }

    /// The next end.
    pub async fn until_exit(&mut self) -> (MemberId, Cause, Decision) {
        self.until(|event| match event {
            ClusterEvent::Exited { member, cause, decision } => Some((*member, cause.clone(), decision.clone())),
            _ => None,
        })
        .await
    }

    /// The next exception, and what follows from it.
    pub async fn until_exception(&mut self) -> (MemberId, String, Option<Decision>) {
        self.until(|event| match event {
            ClusterEvent::Exception { member, exception, decision } => {
                Some((*member, exception.to_string(), decision.clone()))
            }
            _ => None,
        })
        .await
    }

    /// Who is in that slot now.
    pub fn member(&self, slot: Slot) -> MemberId {
        let roster = self.handle.status();
        let found = roster
            .members
            .iter()
            .map(|status| status.id)
            .filter(|id| id.slot() == slot)
            .max_by_key(|id| id.incarnation().get());
        found.expect("somebody is there")
    }

    /// Tells a puppet what to do.
    pub async fn tell(&self, slot: Slot, what: &str) {
        self.handle.messenger().to(slot, "do", &what.to_owned()).await.expect("it is there");
    }

    /// Has it ignore its stop. It has heard when this resolves.
    pub async fn has_stay(&self, slot: Slot) {
        self.handle.messenger().call::<()>(slot, "stay", &()).await.expect("it answers");
    }

    /// Who answers there.
    pub async fn who(&self, slot: Slot) -> String {
        self.handle.messenger().call(slot, "who", &()).await.expect("it answers")
    }

    /// The end of a start that failed.
    pub async fn failure(&self) -> (MemberId, Cause) {
        match self.handle.ready().await {
            Err(ClusterError::StartFailed { member, cause, leftovers }) => {
                assert_eq!(leftovers, []);
                (member, *cause)
            }
            other => panic!("the start has not failed: {other:?}"),
        }
    }

    /// Stops it, in order.
    pub async fn end(self) {
        assert_eq!(self.handle.shutdown().await, Ok(()), "{:#?}", self.before);
    }
}

/// What the record of an end says of it.
pub fn status(cause: &Cause) -> Option<ExitStatus> {
    cause.exit().map(|exit| exit.status.clone())
}
