//! What simulated time costs: `cargo bench --features simulation --bench simulation`.
//!
//! Trivial role functions, so that what is measured is hatchery's: the actors, the codec, the handshake and the core are
//! those of production.

use std::time::Duration;

use divan::Bencher;
use hatchery::simulation::{Run, Simulation};
use hatchery::{BoxError, Context, Hatchery, Role};

fn main() {
    crash_loops();
    divan::main();
}

/// How often the workers of the two hours are restarted, so that an hour says how much happened in it.
fn crash_loops() {
    for (name, life) in [("young", YOUNG), ("stable", STABLE)] {
        let run = hour(life);
        println!("an hour of {name} deaths: {} starts, {} facts", run.starts, run.facts);
        assert!(run.starts > 100, "they die and come back");
    }
}

/// Dead before anybody would call them stable: after five of these in a row a slot is only probed, every 30 s in the end.
const YOUNG: Duration = Duration::from_millis(500);

/// Each death after a healthy life is answered with a restart at once.
const STABLE: Duration = Duration::from_secs(10);

/// An hour of four workers that crash again and again, each so long after it was ready.
#[divan::bench(args = [YOUNG, STABLE])]
fn hour_of_crash_loops(bencher: Bencher<'_, '_>, life: Duration) {
    bencher.bench_local(|| hour(life));
}

/// A whole cluster of so many workers, from nothing until everybody is ready, and stopped again.
#[divan::bench(args = [100, 1_000])]
fn start_and_stop(bencher: Bencher<'_, '_>, workers: usize) {
    bencher.bench_local(|| once(workers));
}

fn hour(life: Duration) -> Run {
    let worker = move |cx: Context| async move {
        cx.ready();
        tokio::time::sleep(life).await;
        Err::<(), BoxError>("it cannot go on".into())
    };
    Simulation::run(7, |sim| async move {
        let plan = Hatchery::new().agent(agent).workers(4, worker).tune("worker", |role| {
            // Nobody of the role is of use for longer than that: the loop would end with the cluster.
            role.give_up_after(Duration::from_secs(24 * 60 * 60));
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        sim.elapse(Duration::from_secs(60 * 60)).await;
        cluster.shutdown().await?;
        Ok::<_, BoxError>(())
    })
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
