//! A thousand whole clusters, each with a fate of its own: chaos of all kinds, real role functions that serve HTTP and write
//! to each other, and an operator. What comes of it is printed (`--nocapture`).

use std::collections::BTreeMap;
use std::sync::Mutex;

use hatchery::simulation::{Chaos, Explore, Simulation};
use hatchery::{Context, Hatchery, MemberId, Role, Slot};

use crate::messages::{Shared, correspond};
use crate::operations::{is_told, operate, whole};
use crate::{Luck, agent, as_many_as, ms, secs, worker};

const WORKERS: u16 = 3;

/// The web server of the other stories, which writes to its neighbour as well.
fn busy(ledger: &Shared) -> Hatchery {
    let ledger = ledger.clone();
    let plan = Hatchery::new().listen_named("http", "127.0.0.1:8080").agent(agent);
    plan.workers(WORKERS.into(), move |cx: Context| {
        let (held, ledger) = (cx.clone(), ledger.clone());
        async move {
            cx.spawn(async move { correspond(&held, ledger, WORKERS, ms(100)).await });
            worker(cx).await
        }
    })
}

/// One of them. Returns how many were started again after a failure, and how many requests were answered.
async fn fate(sim: &Simulation) -> hatchery::Result<(u64, u64)> {
    let ledger = Shared::default();
    let cluster = sim.start(busy(&ledger)).await?;
    cluster.ready().await?;
    let chaos = sim.chaos(Chaos::of_all_kinds(1_200.0));
    let (mut luck, mut answered) = (Luck::of(sim), 0);
    for _ in 0..6 {
        sim.elapse(ms(1_000 + luck.below(9_000))).await;
        // It may fail: the agent may be down, the worker may die of it.
        let reply = tokio::time::timeout(secs(60), sim.client("http").get("/count")).await;
        answered += u64::from(reply.is_ok_and(|reply| reply.is_ok_and(|reply| reply.is_success())));
        if luck.below(2) == 0 {
            let conclusion = tokio::time::timeout(secs(400), operate(&cluster, &mut luck, WORKERS + 1)).await?;
            assert!(is_told(&conclusion), "{conclusion}");
        }
    }
    chaos.stop();
    for index in 0..WORKERS {
        // Some had been stopped.
        let _ = cluster.scale(Role::WORKER, WORKERS).await;
        let _ = cluster.restart(Slot::worker(index)).await;
    }
    whole(sim, &cluster, WORKERS.into()).await?;
    assert!(sim.client("http").get("/count").await?.is_success());
    let living: Vec<MemberId> = cluster.status().of(Role::WORKER).map(|status| status.id).collect();
    cluster.shutdown().await?;
    ledger.lock().expect("nobody panicked").check(&living);
    sim.check_quiescent()?;
    let restarts =
        sim.trace().lines().filter(|line| line.contains("-> restart") || line.contains("-> replace")).count();
    Ok((restarts as u64, answered))
}

#[test]
fn a_thousand_clusters_under_chaos_keep_every_promise() {
    let found = Mutex::new(BTreeMap::new());
    let explored = Explore::new(as_many_as(1_000)).run(|sim| {
        let found = &found;
        async move {
            let of_it = fate(&sim).await?;
            found.lock().expect("nobody panicked").insert(sim.seed(), of_it);
            Ok::<_, hatchery::BoxError>(())
        }
    });
    let found = found.into_inner().expect("nobody panicked");
    let restarts: u64 = found.values().map(|(restarts, _)| restarts).sum();
    let answered: u64 = found.values().map(|(_, answered)| answered).sum();
    println!(
        "seeds {} (twice {}), virtual time {:?}, facts {}, starts {}, restarts {restarts}, faults that took effect {}, \
         answers {answered}, violations 0, trace hash {:016x}",
        explored.seeds,
        explored.repeated,
        explored.virtual_time,
        explored.facts,
        explored.starts,
        explored.faults,
        explored.trace_hash,
    );
    assert!(explored.repeated >= explored.seeds / 20, "{explored:?}");
    assert!(explored.faults > 5 * explored.seeds, "{explored:?}");
    assert!(restarts > 3 * explored.seeds, "{restarts} restarts");
    assert!(answered > 3 * explored.seeds, "{answered} answers");
}
