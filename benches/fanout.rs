//! One change of a kept value, heard by eight workers, beside one broadcast: `cargo bench --bench fanout`.
//!
//! From the agent's word until it has heard back from all of them. In turn, one of each, so that what else the machine does
//! strikes both.

#![allow(clippy::disallowed_methods, reason = "this is about time")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hatchery::{Bytes, Cluster, Context, Hatchery, Message, Request, Slot};
use tokio::sync::{Mutex, mpsc};

const WORKERS: usize = 8;
const ROUNDS: usize = 5;
const EACH: usize = 2_000;

/// The medians of one round: kept and broadcast, in nanoseconds.
type Medians = (u64, u64);

fn main() -> ExitCode {
    let plan = Hatchery::new().agent(agent).workers(WORKERS, worker);
    let cluster = match plan.enter() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a machine with threads");
    match runtime.block_on(measure(cluster)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(cluster: Cluster) -> hatchery::Result<()> {
    let handle = cluster.start().await?;
    handle.ready().await?;
    let messenger = handle.messenger();
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let limit = Duration::from_secs(120);
        let (kept, broadcast) = messenger.call_within::<Medians>(limit, Slot::agent(), "round", &()).await?;
        let ratio = kept as f64 / broadcast as f64;
        // The first is for the caches.
        if round > 0 {
            println!("round {round}: kept {} µs, broadcast {} µs, ratio {ratio:.2}", kept / 1_000, broadcast / 1_000);
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("a change of a kept value to {WORKERS} workers costs {:.2} of a broadcast", ratios[ROUNDS / 2]);
    Ok(handle.shutdown().await?)
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    let messenger = cx.messenger();
    let (heard, hearing) = mpsc::unbounded_channel();
    messenger.on("heard", move |_: Message<()>| {
        let _ = heard.send(());
    });
    let hearing = Arc::new(Mutex::new(hearing));
    let own = cx.clone();
    messenger.answer("round", move |_: Request<()>| {
        let (cx, hearing) = (own.clone(), hearing.clone());
        async move { round(&cx, &mut *hearing.lock().await).await.map_err(|error| error.to_string()) }
    })?;
    cx.ready();
    Ok(())
}

async fn round(cx: &Context, hearing: &mut mpsc::UnboundedReceiver<()>) -> hatchery::Result<Medians> {
    let (messenger, payload) = (cx.messenger(), Bytes::from_static(&[7; 64]));
    let (mut kept, mut broadcast) = (Vec::new(), Vec::new());
    for _ in 0..EACH {
        let began = Instant::now();
        let (published, ()) = tokio::join!(messenger.publish("topic", payload.clone()), all(hearing));
        published?;
        kept.push(began.elapsed().as_nanos() as u64);
        let began = Instant::now();
        messenger.to_workers("topic", payload.clone()).await?;
        all(hearing).await;
        broadcast.push(began.elapsed().as_nanos() as u64);
    }
    let median = |times: &mut Vec<u64>| {
        times.sort();
        times[EACH / 2]
    };
    Ok((median(&mut kept), median(&mut broadcast)))
}

async fn all(hearing: &mut mpsc::UnboundedReceiver<()>) {
    for _ in 0..WORKERS {
        hearing.recv().await;
    }
}

async fn worker(cx: Context) -> hatchery::Result<()> {
    let messenger = cx.messenger();
    let own = messenger.clone();
    messenger.on("topic", move |_: Message<Bytes>| {
        let messenger = own.clone();
        async move { drop(messenger.to_agent("heard", &()).await) }
    });
    let mut subscription = messenger.subscribe::<Bytes>("topic").await?;
    cx.ready();
    loop {
        tokio::select! {
            biased;
            () = cx.stopping() => return Ok(()),
            Some(_) = subscription.next() => messenger.to_agent("heard", &()).await?,
        }
    }
}
