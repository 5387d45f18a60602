//! A member that does what it is told, by message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hatchery::{BoxError, CallError, Context, LocalAddr, Message, Request, Role, Slot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::sabotage;

/// What the role function is told.
enum Cue {
    Return,
    Fail,
    Throw,
}

/// Tells it when it is ready, and again when the cluster is; and does what "do", "exit" and calls ask for.
pub async fn puppet(cx: Context) -> Result<(), BoxError> {
    let messenger = cx.messenger();
    let (cues, mut cue) = mpsc::channel(8);
    let stays = Arc::new(AtomicBool::new(false));
    let own = cx.clone();
    messenger.on("do", move |what: Message<String>| act(own.clone(), cues.clone(), what.body));
    messenger.on("exit", |code: Message<i32>| exit(code.body));
    messenger.on("block", |millis: Message<u64>| std::thread::sleep(Duration::from_millis(millis.body)));
    messenger.on("stick", |_: Message<()>| stick());
    let own = cx.clone();
    messenger.on("note", move |number: Message<u32>| {
        let own = own.clone();
        async move {
            let note = (own.incarnation().get(), number.body);
            let _ = own.messenger().to(Slot::master(), "noted", &note).await;
        }
    });
    let me = cx.id().to_string();
    messenger.answer("who", move |_: Request<()>| {
        let me = me.clone();
        async move { Ok::<_, String>(me) }
    })?;
    let own = cx.clone();
    messenger.answer("hang", move |_: Request<()>| {
        let own = own.clone();
        async move {
            let _ = own.messenger().to(Slot::master(), "hanging", &()).await;
            std::future::pending::<Result<(), String>>().await
        }
    })?;
    let stay = stays.clone();
    messenger.answer("stay", move |_: Request<()>| {
        stay.store(true, Ordering::Relaxed);
        async { Ok::<_, String>(()) }
    })?;
    let own = cx.clone();
    messenger.answer("cluster ready", move |_: Request<()>| {
        let own = own.clone();
        async move { Ok::<_, String>(own.cluster_ready().await) }
    })?;
    let own = cx.clone();
    messenger.answer("ready workers", move |_: Request<()>| {
        let own = own.clone();
        async move { Ok::<_, String>(own.members().await.current().ready(Role::WORKER)) }
    })?;
    let own = cx.clone();
    messenger.answer("publish", move |what: Request<(String, u32)>| {
        let own = own.clone();
        async move { own.messenger().publish(&what.body.0, &what.body.1).await }
    })?;
    let own = cx.clone();
    messenger.answer("listen", move |topic: Request<String>| listen(own.clone(), topic.body))?;
    let mut listener = cx.listener()?;
    if let LocalAddr::Tcp(address) = listener.local_addr()? {
        messenger.answer("address", move |_: Request<()>| async move { Ok::<_, String>(address) })?;
    }
    // One listener is enough for the agent to hold: it leaves the port to the workers.
    if cx.role() == Role::WORKER {
        let own = cx.clone();
        cx.spawn(async move {
            while let Some(mut stream) = listener.accept().await {
                let greeting = format!("{}\n", own.id());
                own.spawn(async move {
                    let mut bytes = [0; 64];
                    if stream.write_all(greeting.as_bytes()).await.is_err() {
                        return;
                    }
                    while let Ok(got @ 1..) = stream.read(&mut bytes).await {
                        if stream.write_all(&bytes[..got]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
    cx.ready();
    tokio::select! {
        biased;
        () = cx.stopping() => {}
        cue = cue.recv() => match cue {
            Some(Cue::Fail) => return Err("told to fail".into()),
            Some(Cue::Throw) => panic!("told to throw in the role function"),
            Some(Cue::Return) | None => return Ok(()),
        }
    }
    if stays.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn act(cx: Context, cues: mpsc::Sender<Cue>, what: String) {
    let cue = match what.as_str() {
        "return" => Cue::Return,
        "fail" => Cue::Fail,
        "throw in the role function" => Cue::Throw,
        "throw in a task" => {
            cx.spawn(async { throw("told to throw in a task") });
            return;
        }
        "throw in a handler" => return throw("told to throw in a handler"),
        "report" => return cx.report_exception("told to report"),
        "cut the link" => return sabotage::cut().expect("it is its own"),
        "truncate the link" => return sabotage::truncate().expect("it is its own"),
        "spoil the link" => return sabotage::spoil().expect("it is its own"),
        other => panic!("nobody knows how to {other:?}"),
    };
    let _ = cues.send(cue).await;
}

/// Tells the host of all that it hears of a topic. Answers with what is kept.
async fn listen(cx: Context, topic: String) -> Result<Option<u32>, CallError> {
    let mut subscription = cx.messenger().subscribe::<u32>(&topic).await?;
    let latest = subscription.latest();
    let own = cx.clone();
    cx.spawn(async move {
        while let Some(update) = subscription.next().await {
            let heard = (own.id().to_string(), update.value, update.missed);
            let _ = own.messenger().to(Slot::master(), "heard", &heard).await;
        }
    });
    Ok(latest)
}

/// Is not ready before somebody has published what it is to know.
pub async fn informed(cx: Context) -> Result<(), BoxError> {
    let mut subscription = cx.messenger().subscribe::<u32>("secret").await?;
    while subscription.next().await.is_some_and(|update| update.value != Some(42)) {}
    puppet(cx).await
}

/// Publishes it, after it is ready.
pub async fn informant(cx: Context) -> Result<(), BoxError> {
    let messenger = cx.messenger();
    cx.spawn(async move { messenger.publish("secret", &42u32).await.expect("everybody may") });
    puppet(cx).await
}

/// Whoever is stuck in this process may go on: a thread that never did would outlive its test.
pub static LET_GO: AtomicBool = AtomicBool::new(false);

fn stick() {
    while !LET_GO.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn exit(code: i32) {
    std::process::exit(code)
}

fn throw(what: &str) {
    panic!("{what}");
}
