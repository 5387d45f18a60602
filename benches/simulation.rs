//! What simulated time costs: `cargo bench --features simulation --bench simulation`.
//!
//! Trivial role functions, so that what is measured is hatchery's: the actors, the codec, the handshake and the core are
//! those of production.

use std::time::Duration;

use divan::Bencher;
use hatchery::simulation::{MockProcess, Run, Simulation};
use hatchery::supervision::Conclusion;
use hatchery::{BoxError, Context, Hatchery, Role};

fn main() {
    crash_loops();
    divan::main();
}

/// How often the workers are restarted in each of these hours, so that an hour says how much happened in it.
fn crash_loops() {
    for end in ENDS {
        let run = hour(end);
        println!("an hour of {end:?}: {} starts, {} facts", run.starts, run.facts);
        assert!(run.starts > 100, "they end and come back");
    }
}

/// How the members of a loop end, again and again.
#[derive(Clone, Copy, Debug)]
enum End {
    /// By a signal, half a second after ready. After five such in a row a slot is only probed, every 30 s in the end.
    Crash,
    /// As long after it, the function returns an error: the successor is started while the old one leaves.
    Error,
    /// An error after ten seconds, which count as a healthy life: the answer is a restart at once, every time.
    LateError,
}

const ENDS: [End; 3] = [End::Crash, End::Error, End::LateError];

/// An hour of four workers that end again and again.
#[divan::bench(args = ENDS)]
fn hour_of_crash_loops(bencher: Bencher<'_, '_>, end: End) {
    bencher.bench_local(|| hour(end));
}

/// A whole cluster of so many workers, from nothing until everybody is ready, and stopped again.
#[divan::bench(args = [100, 1_000])]
fn start_and_stop(bencher: Bencher<'_, '_>, workers: usize) {
    bencher.bench_local(|| once(workers));
}

fn hour(end: End) -> Run {
    let plan = Hatchery::new().agent(agent);
    let plan = match end {
        End::Crash => plan.worker_mocks(4, MockProcess::script().ready().crash_after(Duration::from_millis(500))),
        End::Error => plan.workers(4, |cx| fails(cx, Duration::from_millis(500))),
        End::LateError => plan.workers(4, |cx| fails(cx, Duration::from_secs(10))),
    };
    // Nobody of the role is of use for longer than that: the loop would end with the cluster.
    let plan = plan.tune("worker", |role| {
        role.give_up_after(Duration::from_secs(24 * 60 * 60));
    });
    Simulation::run(7, |sim| async move {
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        sim.elapse(Duration::from_secs(60 * 60)).await;
        cluster.shutdown().await?;
        Ok::<_, BoxError>(())
    })
}

async fn fails(cx: Context, life: Duration) -> hatchery::Result<()> {
    cx.ready();
    tokio::time::sleep(life).await;
    Err("it cannot go on".into())
}

/// A cluster of one worker that is scaled to so many, and back.
#[divan::bench(args = [100, 1_000])]
fn scale(bencher: Bencher<'_, '_>, workers: u16) {
    bencher.bench_local(|| {
        Simulation::run(7, |sim| async move {
            let cluster = sim.start(Hatchery::new().agent(agent).workers(1, worker)).await?;
            cluster.ready().await?;
            for count in [workers, 1] {
                assert_eq!(cluster.scale(Role::WORKER, count).await, Conclusion::Done);
            }
            cluster.shutdown().await?;
            Ok::<_, BoxError>(())
        })
    });
}

fn once(workers: usize) -> Run {
    Simulation::run(7, |sim| async move {
        let cluster = sim.start(Hatchery::new().agent(agent).workers(workers, worker)).await?;
        cluster.ready().await?;
        assert_eq!(cluster.status().ready(Role::WORKER), workers);
        cluster.shutdown().await?;
        Ok::<_, BoxError>(())
    })
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    Ok(())
}

async fn worker(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    cx.stopping().await;
    Ok(())
}
