//! The port that workers share.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use hatchery::{ClusterEvent, Slot};

use super::{Case, case};
use crate::cast::Cast;
use crate::stage::{Stage, Wire};
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![
        case("whoever connects is served by a worker", Cast::Puppets, |stage| Box::pin(served(stage))),
        case("an open connection is finished during a stop, and then the port refuses", Cast::Puppets, |stage| {
            Box::pin(finished(stage))
        }),
        case("an open connection is finished while its worker is replaced", Cast::Puppets, |stage| {
            Box::pin(replaced(stage))
        }),
    ]
}

/// Who serves it.
async fn greeting(wire: &mut Box<dyn Wire>) -> String {
    let mut said = Vec::new();
    while said.last() != Some(&b'\n') {
        said.push(wire.read_u8().await.expect("it is greeted"));
    }
    String::from_utf8(said).expect("text").trim().to_owned()
}

async fn echoes(wire: &mut Box<dyn Wire>) {
    wire.write_all(b"ping").await.expect("it is open");
    let mut echo = [0; 4];
    wire.read_exact(&mut echo).await.expect("it is served");
    assert_eq!(&echo, b"ping");
}

async fn served(stage: Stage) {
    let story = Story::ready(&stage).await;
    let door = stage.door(&story.handle).await;
    for _ in 0..10 {
        let mut wire = door.connect().await.expect("somebody listens");
        assert!(greeting(&mut wire).await.starts_with("worker/"));
        echoes(&mut wire).await;
    }
    story.end().await;
}

async fn finished(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let door = stage.door(&story.handle).await;
    let mut wire = door.connect().await.expect("somebody listens");
    greeting(&mut wire).await;
    let handle = story.handle.clone();
    let (end, ()) = tokio::join!(handle.shutdown(), async {
        story.until(|event| (*event == ClusterEvent::Stopping).then_some(())).await;
        echoes(&mut wire).await;
        drop(wire);
    });
    assert_eq!(end, Ok(()));
    assert!(door.connect().await.is_err(), "nobody listens any more");
}

async fn replaced(stage: Stage) {
    let mut story = Story::ready(&stage).await;
    let door = stage.door(&story.handle).await;
    let mut wire = door.connect().await.expect("somebody listens");
    let who = greeting(&mut wire).await;
    let slot = if who.starts_with("worker/0") { Slot::worker(0) } else { Slot::worker(1) };
    story.tell(slot, "report").await;
    let successor = story.until_ready(slot).await;
    echoes(&mut wire).await;
    drop(wire);
    let (member, ..) = story.until_exit().await;
    assert_eq!((member.to_string(), story.who(slot).await), (who, successor.to_string()));
    story.end().await;
}
