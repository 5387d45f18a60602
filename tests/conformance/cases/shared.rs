//! One connection for all, to a real server over TCP: so not where a world has no sockets.

use std::collections::BTreeMap;
use std::time::Duration;

use hatchery::{ClusterHandle, Role, Slot};
use tokio::sync::mpsc::UnboundedReceiver;

use super::messages::told;
use super::{Case, Need};
use crate::cast::Cast;
use crate::registry::{Registry, TOPIC};
use crate::stage::{Order, Stage};
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "whoever follows hears what is, every change, and of each gap",
            cast: Cast::Sharing,
            needs: &[Need::Socket],
            proof: |stage| Box::pin(heard(stage)),
        },
        Case {
            name: "an agent that is killed a hundred times loses nobody what it follows",
            cast: Cast::Sharing,
            needs: &[Need::Socket, Need::Kill],
            proof: |stage| Box::pin(killed(stage)),
        },
    ]
}

/// Who has heard what: a value and how many were missed before it, or of a gap.
type Heard = UnboundedReceiver<(String, Option<(u64, u64)>)>;

/// What has been heard so far.
#[derive(Default)]
struct Ledger {
    last: BTreeMap<String, Option<u64>>,
    gaps: u64,
}

impl Ledger {
    /// One more. Between two gaps each value is the one after that before it and those that are known to be missed.
    fn take(&mut self, (who, told): (String, Option<(u64, u64)>)) {
        let last = self.last.entry(who.clone()).or_default();
        match (told, *last) {
            (None, before) => {
                assert!(before.is_some(), "{who}: two gaps in a row");
                self.gaps += 1;
            }
            (Some((value, missed)), Some(before)) => assert_eq!(value, before + 1 + missed, "{who}"),
            (Some(_), None) => {}
        }
        *last = told.map(|(value, _)| value);
    }

    /// Goes on until all of these know that value.
    async fn until(&mut self, heard: &mut Heard, handle: &ClusterHandle, value: u64) {
        let knows = |ledger: &Ledger, who: String| ledger.last.get(&who) == Some(&Some(value));
        loop {
            let roster = handle.status();
            if roster.of(Role::WORKER).all(|worker| knows(self, worker.id.to_string())) {
                return;
            }
            self.take(heard.recv().await.expect("they follow"));
        }
    }
}

async fn begun(stage: &Stage) -> (Story, Registry, Heard) {
    let story = Story::ready(stage).await;
    let registry = Registry::default();
    let messenger = story.handle.messenger();
    let heard = told(&messenger, "heard");
    registry.put("x", 1);
    // Until then there is no connection: the client tries again.
    messenger.publish(TOPIC, &registry.open().await).await.expect("everybody may");
    (story, registry, heard)
}

async fn heard(stage: Stage) {
    let (story, registry, mut heard) = begun(&stage).await;
    let (messenger, mut ledger) = (story.handle.messenger(), Ledger::default());
    ledger.until(&mut heard, &story.handle, 1).await;
    messenger.call::<()>(Slot::worker(0), "publish", &2u64).await.expect("it is connected");
    ledger.until(&mut heard, &story.handle, 2).await;
    assert_eq!(messenger.call::<u64>(Slot::worker(1), "invoke", &"x".to_owned()).await, Ok(2));
    assert_eq!(registry.subscribed().len(), 1, "of all of them");
    registry.cut();
    registry.put("x", 9);
    ledger.until(&mut heard, &story.handle, 9).await;
    assert_eq!(ledger.gaps, 2, "each has heard of it once");
    assert_eq!(registry.wrongs(), Vec::<String>::new());
    story.end().await;
}

async fn killed(stage: Stage) {
    const KILLS: u64 = 100;
    let (mut story, registry, mut heard) = begun(&stage).await;
    let mut ledger = Ledger::default();
    ledger.until(&mut heard, &story.handle, 1).await;
    for value in 2..KILLS + 2 {
        // In the middle of one change, or in the middle of coming back from the kill before.
        registry.put("x", value);
        if value % 3 == 0 {
            ledger.until(&mut heard, &story.handle, value).await;
        }
        stage.signal(&story.handle, story.member(Slot::agent()), Order::Kill);
        story.until_ready(Slot::agent()).await;
    }
    registry.put("x", KILLS + 2);
    ledger.until(&mut heard, &story.handle, KILLS + 2).await;
    assert!(ledger.gaps > 0 && ledger.gaps <= 2 * KILLS, "{} gaps", ledger.gaps);
    println!("{} gaps of two followers, {KILLS} kills", ledger.gaps);
    // Those of agents that were killed are closed by then, or about to be.
    while registry.subscribed().len() != 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(registry.wrongs(), Vec::<String>::new());
    assert_eq!(story.member(Slot::agent()).incarnation().get(), KILLS as u32 + 1);
    story.end().await;
}
