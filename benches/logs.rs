//! What logs cost: how many events two workers can have written into one file, and what one costs who logs it:
//! `cargo bench --bench logs`.
//!
//! Each worker logs so many events a second, in portions of a millisecond, and counts its own processor time, all threads, link
//! and all. The same event through the same formatter into nothing, in the same process right after, is what formatting alone
//! costs. Text and JSON, several rounds, medians; lines are counted in the file.

#![allow(clippy::disallowed_methods, reason = "this is about time")]

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hatchery::log::{Logs, Rotation};
use hatchery::{Cluster, Context, Hatchery, Request, Role, Slot};
use serde::{Deserialize, Serialize};

const ROUNDS: usize = 5;
const WORKERS: u16 = 2;
const SPAN: Duration = Duration::from_secs(5);
/// Events a second of one worker.
const RATES: [u64; 3] = [150_000, 200_000, 300_000];
const PORTION: Duration = Duration::from_millis(1);

/// What a worker is to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Task {
    rate: u64,
    span: Duration,
}

/// What it came to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Spent {
    events: u64,
    /// Nanoseconds of processor time for each, here.
    cpu: f64,
    /// Nanoseconds for each that whoever logs waits.
    call: f64,
    /// The same into nothing.
    formatting: f64,
}

fn event(n: u64) {
    tracing::info!(n, status = 200, path = "/users/17/orders", "answered");
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    cx.messenger().answer("cpu", |_: Request<()>| async { Ok::<_, String>(processor_time()) })?;
    cx.ready();
    Ok(())
}

async fn worker(cx: Context) -> hatchery::Result<()> {
    hatchery::log::init(&cx)?;
    cx.messenger().answer("log", |request: Request<Task>| async move { Ok::<_, String>(log(request.body).await) })?;
    cx.ready();
    cx.stopping().await;
    Ok(())
}

async fn log(Task { rate, span }: Task) -> Spent {
    let (portion, began, before) = (rate * PORTION.as_millis() as u64 / 1000, Instant::now(), processor_time());
    let (mut events, mut waited) = (0, Duration::ZERO);
    let mut ticks = tokio::time::interval(PORTION);
    while began.elapsed() < span {
        ticks.tick().await;
        let portion_began = Instant::now();
        for n in events..events + portion {
            event(n);
        }
        events += portion;
        waited += portion_began.elapsed();
    }
    // What is under way is part of the price.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let cpu = (processor_time() - before).as_nanos() as f64 / events as f64;
    let call = waited.as_nanos() as f64 / events as f64;
    let nothing = tracing_subscriber::fmt().with_ansi(false).with_writer(io::sink).finish();
    const ALONE: u64 = 200_000;
    let formatting = tracing::subscriber::with_default(nothing, || {
        let began = Instant::now();
        (0..ALONE).for_each(event);
        began.elapsed().as_nanos() as f64 / ALONE as f64
    });
    Spent { events, cpu, call, formatting }
}

/// That of all threads of this process.
fn processor_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Where the files are: the same in every process.
fn dir() -> PathBuf {
    std::env::temp_dir().join("hatchery-bench-logs")
}

fn plan(name: &str) -> Hatchery {
    let logs = Logs::new(dir().join(name)).rotation(Rotation::never());
    let logs = if name == "json" { logs.json() } else { logs };
    Hatchery::new().name(name).agent(agent).workers(WORKERS.into(), worker).logs(logs)
}

fn main() -> ExitCode {
    let clusters = match hatchery::enter(["text", "json"].map(plan)) {
        Ok(clusters) => clusters,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a machine with threads");
    let measured: hatchery::Result<()> = runtime.block_on(async {
        for (cluster, name) in clusters.iter().zip(["text", "json"]) {
            measure(cluster, name).await?;
        }
        Ok(())
    });
    let _ = fs::remove_dir_all(dir());
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(cluster: &Cluster, name: &str) -> hatchery::Result<()> {
    let handle = cluster.start().await?;
    handle.ready().await?;
    let messenger = handle.messenger();
    let file = dir().join(name).join("worker.log");
    for rate in RATES {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let _ = fs::remove_file(&file);
            let agent_before: Duration = messenger.call(Slot::agent(), "cpu", &()).await?;
            let (master_before, began) = (processor_time(), Instant::now());
            let task = Task { rate, span: SPAN };
            let ask = |worker: u16| messenger.call_within::<Spent>(3 * SPAN, Slot::worker(worker), "log", &task);
            let (one, two) = tokio::join!(ask(0), ask(1));
            let (one, two) = (one?, two?);
            let (written, dropped) = count(&file)?;
            let agent_after: Duration = messenger.call(Slot::agent(), "cpu", &()).await?;
            let events = one.events + two.events;
            assert_eq!(written + dropped, events, "every event is written or counted");
            let mean = |of: fn(&Spent) -> f64| (of(&one) + of(&two)) / 2.0;
            let each = |time: Duration| time.as_nanos() as f64 / events as f64;
            rounds.push([
                events as f64 / SPAN.as_secs_f64(),
                dropped as f64,
                mean(|spent| spent.cpu),
                mean(|spent| spent.call),
                mean(|spent| spent.formatting),
                each(agent_after - agent_before),
                each(processor_time() - master_before),
                began.elapsed().as_secs_f64(),
            ]);
        }
        let median = |at: usize| {
            let mut values: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        };
        println!(
            "{name}: {:.0} events/s of {WORKERS} workers, {:.0} dropped; for each event {:.0} ns of processor in its worker \
             ({:.0} in the call, {:.0} to format it into nothing), {:.0} in the agent, {:.0} in the master",
            median(0),
            median(1),
            median(2),
            median(3),
            median(4),
            median(5),
            median(6)
        );
    }
    assert_eq!(handle.status().ready(Role::WORKER), usize::from(WORKERS));
    handle.shutdown().await?;
    Ok(())
}

/// How many lines are events, and how many events are counted as dropped.
fn count(file: &Path) -> io::Result<(u64, u64)> {
    let (mut written, mut dropped) = (0, 0);
    for line in BufReader::new(fs::File::open(file)?).lines() {
        let line = line?;
        match line.split_once(" lines were dropped") {
            None => written += 1,
            Some((before, _)) => {
                let number = before.rsplit(|c: char| !c.is_ascii_digit()).next();
                dropped += number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
            }
        }
    }
    Ok((written, dropped))
}
