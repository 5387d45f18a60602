//! What keeps its order, also over a start and a restart, and arrives as it was.

use super::*;

// Numbers, as they come: one line each, written before the next is looked at.

pub(super) async fn numbers(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let told = cx.clone();
    messenger
        .on("number", move |message: Message<u32>| say(&told, format!("got {} from {}", message.body, message.from)));
    messenger.on("die", |message: Message<i32>| -> () { std::process::exit(message.body) });
    messenger.answer("all?", |_: Request<()>| async { Ok::<_, String>(()) })?;
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

/// Sent before the receiver exists.
pub(super) async fn early(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    for number in 0..200u32 {
        messenger.to(Slot::worker(0), "number", &number).await?;
    }
    messenger.to_workers("number", &200u32).await?;
    cx.ready();
    live(cx.clone(), async {
        messenger.call::<()>(Slot::worker(0), "all?", &()).await?;
        say(&cx, format!("{} came back", messenger.undelivered_count()));
        Ok::<_, CallError>(())
    })
    .await
}

/// Sent while the receiver dies and is restarted.
pub(super) async fn restart(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let mut undelivered = messenger.undelivered();
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        messenger.to(Slot::worker(0), "die", &1i32).await?;
        let lost = undelivered.next().await.expect("the link lives");
        assert_eq!((lost.reason, lost.action.as_str()), (Reason::Died, "die"));
        for number in 0..200u32 {
            messenger.to(Slot::worker(0), "number", &number).await?;
        }
        messenger.call::<()>(Slot::worker(0), "all?", &()).await?;
        say(&cx, format!("{} came back", messenger.undelivered_count() - 1));
        Ok::<_, CallError>(())
    })
    .await
}

// Bytes that mean nothing to anybody but the two ends.

pub(super) async fn raw(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let mut echoes = messenger.stream::<Bytes>("echo");
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let every: Vec<u8> = (0..=255).collect();
        // Would be an endless length, and text that is none.
        let nonsense = [vec![0xfd; 40], vec![0xff; 1], Vec::new(), every.repeat(256)];
        for bytes in nonsense.map(Bytes::from) {
            messenger.to(Slot::worker(0), "echo", bytes.clone()).await?;
            assert_eq!(echoes.next().await.expect("the link lives").body, bytes);
            let answer: Bytes = messenger.call(Slot::worker(0), "echo", bytes.clone()).await?;
            assert_eq!(answer, bytes);
        }
        say(&cx, "all is well");
        Ok::<_, CallError>(())
    })
    .await
}

pub(super) async fn echo(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let back = messenger.clone();
    messenger.on("echo", move |message: Message<Bytes>| {
        let back = back.clone();
        async move { back.to(message.from, "echo", message.body).await }
    });
    messenger.answer("echo", |request: Request<Bytes>| async move { Ok::<_, String>(request.body) })?;
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

// One sender, one receiver, every verb: one order.

pub(super) async fn order(cx: Context) -> hatchery::Result<()> {
    if cx.slot().index() == 1 {
        return numbers(cx).await;
    }
    begin(&cx);
    let messenger = cx.messenger();
    messenger.on("number", |_: Message<u32>| {});
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let receiver = Slot::worker(1);
        for number in 0..4000u32 {
            match number % 4 {
                0 => messenger.to(receiver, "number", &number).await?,
                1 => messenger.to(receiver.member(Incarnation::FIRST), "number", &number).await?,
                2 => messenger.to_workers("number", &number).await?,
                _ => messenger.broadcast("number", &number).await?,
            }
        }
        messenger.call::<()>(receiver, "all?", &()).await?;
        say(&cx, format!("{} came back", messenger.undelivered_count()));
        Ok::<_, CallError>(())
    })
    .await
}
