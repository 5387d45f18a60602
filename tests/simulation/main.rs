//! Stories of whole clusters that are simulated: the production master and members, the code of the tests as the user's,
//! virtual time. Each runs for several seeds, all of them twice.
//!
//! `HATCHERY_SEED` names one seed for all, `HATCHERY_SEEDS` how many, or from which to which (`1000..2000`).

mod actors;
mod borders;
mod census;
mod faults;
mod groups;
mod heartbeats;
mod itself;
mod lives;
mod messages;
mod mocks;
mod operations;
mod schedules;
mod shared;
mod storms;
mod thousand;
mod topics;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use hatchery::simulation::Chaos;
use hatchery::{Context, Hatchery, Messenger, Request, Slot};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs the test of that name again in a process of its own, and says whether this is that process. For who listens to
/// `tracing`: it remembers for a whole process which spans nobody wants, and the other tests want none.
fn alone(test: &str) -> bool {
    const ALONE: &str = "HATCHERY_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let own = std::env::current_exe().expect("it runs");
    let mut process = std::process::Command::new(own);
    let run = process.args([test, "--exact", "--nocapture"]).env(ALONE, "").output().expect("it starts");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&run.stderr));
    false
}

/// The seeds of a story. So few are all run twice.
fn seeds() -> Range<u64> {
    as_many_as(12)
}

/// The seeds of a story that is told so often, unless the environment says otherwise.
fn as_many_as(usual: u64) -> Range<u64> {
    const SEEDS: &str = "HATCHERY_SEEDS";
    let Some(told) = std::env::var_os(SEEDS) else { return 0..usual };
    let number = |text: &str| text.parse::<u64>().ok();
    told.to_str()
        .and_then(|told| match told.split_once("..") {
            Some((first, end)) => Some(number(first)?..number(end)?),
            None => Some(0..number(told)?),
        })
        .unwrap_or_else(|| {
            panic!("{SEEDS} is {told:?}, and is to be how many seeds, or from which to which: 1000..2000")
        })
}

/// What members have to get over in stories of what is said between them.
fn rough() -> Chaos {
    Chaos::new().crashes_per_hour(300.0).freezes_per_hour(100.0).link_stalls_per_hour(100.0).panics_per_hour(60.0)
}

/// Dice of a test's own, by the seed of its world.
struct Luck(u64);

impl Luck {
    fn of(sim: &hatchery::simulation::Simulation) -> Luck {
        Luck(sim.seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, below: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// An agent that counts, and the code of a small web server: what users would write.
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
    let who = cx.id().to_string();
    let app = Router::new()
        .route("/count", get(count))
        .route("/who", get(|| async move { who }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("boom")
                }
            }),
        )
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(secs(3)).await;
                "done"
            }),
        )
        .with_state(cx.messenger());
    let listener = cx.listener()?;
    cx.ready();
    hatchery::axum::serve(listener, app, &cx).await
}

async fn count(State(messenger): State<Messenger>) -> String {
    match messenger.call::<u64>(Slot::agent(), "count", &()).await {
        Ok(count) => count.to_string(),
        Err(error) => format!("failed: {error}"),
    }
}

fn web(workers: usize) -> Hatchery {
    Hatchery::new().listen_named("http", "127.0.0.1:8080").agent(agent).workers(workers, worker)
}
