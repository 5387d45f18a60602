//! What schedules cost while nothing is due, and how long a month of them takes where it is simulated:
//! `cargo bench --features simulation --bench schedules`.
//!
//! Of each of the two clusters, one without schedules and one with ten thousand, the processor time of its processes is read
//! before and after the same span, in turn.

#![allow(clippy::disallowed_methods, reason = "this is about time")]

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hatchery::simulation::Simulation;
use hatchery::{Cluster, ClusterHandle, Context, Hatchery, Schedule, Slot, Tick};

const SCHEDULES: usize = 10_000;
const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTHS: u64 = 21;

async fn idle(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    cx.stopping().await;
    Ok(())
}

async fn nothing(_: Context, _: Tick) -> hatchery::Result<()> {
    Ok(())
}

fn plan(name: &str) -> Hatchery {
    Hatchery::new().name(name).agent(idle).workers(2, idle)
}

/// Half of them daily at some minute, half of them every so many hours. None is due while this runs, but by chance.
fn scheduled(mut plan: Hatchery) -> Hatchery {
    for number in 0..SCHEDULES {
        let (minute, hour) = (number % 60, (number / 60) % 24);
        let schedule = match number % 2 {
            0 => Schedule::cron(format!("{minute} {hour} 1 * *")),
            _ => Schedule::every(Duration::from_secs(3_600 * (1 + number as u64 % 48))),
        };
        plan = plan.schedule(format!("schedule {number}"), schedule, nothing);
    }
    plan
}

fn main() -> ExitCode {
    let [without, with] = match hatchery::enter([plan("without"), scheduled(plan("with"))]) {
        Ok(both) => both,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a machine with threads");
    if let Err(error) = runtime.block_on(measure(without, with)) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let mut months: Vec<Duration> = (0..MONTHS).map(month).collect();
    months.sort();
    let fastest = months[0].as_secs_f64() * 1e3;
    let median = months[MONTHS as usize / 2].as_secs_f64() * 1e3;
    println!("a simulated month of a daily job on one of 4 workers: {median:.1} ms (fastest {fastest:.1})");
    ExitCode::SUCCESS
}

async fn measure(without: Cluster, with: Cluster) -> hatchery::Result<()> {
    let without = without.start().await?;
    without.ready().await?;
    let began = Instant::now();
    let with = with.start().await?;
    with.ready().await?;
    let known = with.messenger().schedules(Duration::from_secs(60)).await?;
    println!("{} schedules are followed {:?} after the start", known.len(), began.elapsed());
    for round in 1..=ROUNDS {
        let (mut times, clusters) = (Vec::new(), [&without, &with]);
        for cluster in clusters {
            let before = processor_time(cluster)?;
            tokio::time::sleep(SPAN).await;
            times.push(processor_time(cluster)? - before);
        }
        println!("round {round}: {:?} without, {:?} with {SCHEDULES}, of the agent, in {SPAN:?}", times[0], times[1]);
    }
    without.shutdown().await?;
    Ok(with.shutdown().await?)
}

/// What the threads of the agent have used, as the scheduler of the kernel counts it.
fn processor_time(cluster: &ClusterHandle) -> hatchery::Result<Duration> {
    let roster = cluster.status();
    let agent = roster.members.iter().find(|member| member.id.slot() == Slot::agent()).and_then(|agent| agent.pid);
    let pid = agent.ok_or("it has a process")?;
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += stat.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

fn month(seed: u64) -> Duration {
    let began = Instant::now();
    Simulation::run(seed, |sim| async move {
        let daily = Schedule::cron("30 2 * * *").time_zone("Europe/Berlin");
        let hatchery = Hatchery::new().agent(idle).workers(4, idle).schedule("daily", daily, nothing);
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        sim.elapse(DAY * 29 + DAY / 2).await;
        let known = cluster.messenger().schedules(Duration::from_secs(1)).await?;
        assert_eq!((known[0].runs, known[0].failures), (30, 0));
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    began.elapsed()
}
