//! A thousand hours of crashes in seconds: a cluster with real role functions, simulated under chaos, once for each seed.
//!
//! ```console
//! $ cargo run --release --features simulation --example simulate -- --seeds 256 --hours 1 --workers 4
//! {"seeds":256,"virtual_hours":256,"facts":…,"restarts":…,"faults":…,"violations":0,"trace_hash":"…","wall_ms":…}
//! ```
//!
//! The hash is that of every line that was traced, and the same in every run of the same arguments. `--seed` is the
//! first seed. When something that must hold does not, the program says for which seed, and exits with 1.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use clap::Parser;
use hatchery::simulation::{Chaos, Explore, Simulation};
use hatchery::{Context, Hatchery, Messenger, Request, Role, Slot};

#[derive(Clone, Copy, Parser)]
struct Arguments {
    /// How many worlds.
    #[arg(long, default_value_t = 256)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How long each, virtually.
    #[arg(long, default_value_t = 1)]
    hours: u64,
    #[arg(long, default_value_t = 4)]
    workers: usize,
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    let hits = Arc::new(AtomicU64::new(0));
    cx.messenger().answer("count", move |_: Request<()>| {
        let hits = hits.clone();
        async move { Ok::<_, String>(hits.fetch_add(1, Ordering::Relaxed) + 1) }
    })?;
    cx.ready();
    Ok(())
}

async fn worker(cx: Context) -> hatchery::Result<()> {
    let app = Router::new().route("/count", get(count)).with_state(cx.messenger());
    let listener = cx.listener()?;
    cx.ready();
    hatchery::axum::serve(listener, app, &cx).await
}

async fn count(State(messenger): State<Messenger>) -> String {
    match messenger.call::<u64>(Slot::agent(), "count", &()).await {
        Ok(count) => count.to_string(),
        Err(error) => error.to_string(),
    }
}

/// One world.
async fn world(sim: Simulation, Arguments { hours, workers, .. }: Arguments) -> hatchery::Result<()> {
    let plan = Hatchery::new().listen_named("http", "127.0.0.1:8080").agent(agent).workers(workers, worker);
    let cluster = sim.start(plan).await?;
    cluster.ready().await?;
    let chaos = sim.chaos(Chaos::of_all_kinds(66.0));
    for _ in 0..hours * 60 {
        sim.elapse(Duration::from_secs(60)).await;
        // Whoever answers may be struck meanwhile.
        let _ = sim.client("http").get("/count").await;
    }
    chaos.stop();
    let whole = || cluster.status().ready(Role::WORKER) == workers && cluster.status().ready(Role::AGENT) == 1;
    // A link that was to break with the next write has broken by then.
    sim.elapse(Duration::from_secs(60)).await;
    sim.eventually(Duration::from_secs(300), whole).await?;
    cluster.shutdown().await?;
    sim.check_quiescent()
}

#[expect(clippy::disallowed_methods, reason = "how long it really took is what is measured")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { seeds, seed, hours, workers } = arguments;
    let begun = Instant::now();
    match Explore::new(seed..seed + seeds).try_run(|sim| world(sim, arguments)) {
        Ok(explored) => {
            // Of those that were run: HATCHERY_SEED names a single one.
            let first = (workers as u64 + 1) * explored.seeds;
            println!(
                "{{\"seeds\":{},\"virtual_hours\":{},\"facts\":{},\"restarts\":{},\"faults\":{},\"violations\":0,\
                 \"trace_hash\":\"{:016x}\",\"wall_ms\":{}}}",
                explored.seeds,
                explored.seeds * hours,
                explored.facts,
                explored.starts.saturating_sub(first),
                explored.faults,
                explored.trace_hash,
                begun.elapsed().as_millis(),
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
