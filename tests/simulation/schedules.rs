//! Schedules on a virtual calendar: a month in a moment, and what runs when whoever runs it, or ordered it, is killed.

mod calendar;
mod failures;
mod lists;
mod words;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hatchery::schedule::{Missed, Overlap, RunOutcome, ScheduleStatus};
use hatchery::simulation::{Explore, Fault, Simulation, explore};
use hatchery::{ClusterHandle, Context, Hatchery, Message, Role, Schedule, Slot, Tick};

use crate::{alone, ms, rough, secs, seeds};

/// The runs that have begun: of which schedule, for which tick, by whom, and when.
type Begun = Arc<Mutex<Vec<(String, SystemTime, String, Duration)>>>;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn idle(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    cx.stopping().await;
    Ok(())
}

fn plan(workers: usize) -> Hatchery {
    Hatchery::new().agent(idle).workers(workers, idle)
}

/// The first moment of March and of October 2026, in UTC.
const MARCH: Duration = Duration::from_secs(1_772_323_200);
const OCTOBER: Duration = Duration::from_secs(1_790_812_800);

/// A job that writes down that it has begun, and takes so long.
fn note(sim: &Simulation, begun: &Begun, takes: Duration) -> impl Fn(Context, Tick) -> Work + Send + Sync + 'static {
    let (sim, begun) = (sim.clone(), begun.clone());
    move |cx: Context, tick: Tick| {
        let run = (tick.schedule, tick.due, cx.id().to_string(), sim.now());
        begun.lock().expect("nobody panicked").push(run);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            Ok(())
        })
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

async fn throws() -> Result<(), String> {
    Err("nobody is to come here".to_owned())
}

async fn throw(_: Context) -> Result<(), String> {
    panic!("thrown by a job")
}

fn count(begun: &Begun, schedule: &str) -> usize {
    begun.lock().expect("nobody panicked").iter().filter(|(name, ..)| name == schedule).count()
}

async fn status(cluster: &ClusterHandle, name: &str) -> ScheduleStatus {
    let all = cluster.messenger().schedules(secs(60)).await.expect("the agent answers");
    all.into_iter().find(|status| status.name == name).expect("it is declared")
}

/// The runs of a daily job in a month, as days of it and minutes of those, in UTC.
fn month(first: Duration) -> Vec<(u64, u64)> {
    let months = Arc::new(Mutex::new(Vec::new()));
    let told = months.clone();
    Explore::new(0..4).virtual_time_limit(DAY * 40).run(move |sim| {
        let told = told.clone();
        async move {
            let begun = Begun::default();
            // Three hours before, since it begins earlier in Berlin.
            sim.set_calendar(UNIX_EPOCH + first - HOUR * 3);
            let daily = Schedule::cron("30 2 * * *").time_zone("Europe/Berlin");
            let cluster = sim.start(plan(4).schedule("daily", daily, note(&sim, &begun, secs(60)))).await?;
            cluster.ready().await?;
            sim.elapse(DAY * 31).await;
            let now = status(&cluster, "daily").await;
            assert_eq!((now.runs, now.failures, now.missed, now.skipped), (31, 0, 0, 0));
            let last = now.last.expect("it has run");
            assert_eq!((last.duration(), &last.outcome), (secs(60), &RunOutcome::Done));
            let since = |at: SystemTime| at.duration_since(UNIX_EPOCH + first).expect("of that month").as_secs() / 60;
            let runs = begun.lock().expect("nobody panicked").clone();
            let minutes = runs.iter().map(|run| (1 + since(run.1) / 1_440, since(run.1) % 1_440));
            told.lock().expect("nobody panicked").push(minutes.collect::<Vec<_>>());
            cluster.shutdown().await?;
            sim.check_quiescent()
        }
    });
    let mut months = months.lock().expect("nobody panicked");
    let first = months.pop().expect("there is one");
    assert!(months.iter().all(|other| *other == first));
    first
}
