//! Everything at once, for hours: what must hold in every step is checked by the simulation itself.

use hatchery::simulation::{Chaos, Explore};
use hatchery::{Role, Slot};

use crate::{secs, seeds, web};

#[test]
fn i13_after_hours_of_chaos_the_cluster_is_whole_again_and_stops_in_order() {
    let explored = Explore::new(seeds()).run(|sim| async move {
        let cluster = sim.start(web(4)).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(Chaos::of_all_kinds(120.0));
        for _ in 0..60 {
            sim.elapse(secs(60)).await;
            // It may fail: the agent may be down, the worker may die of it.
            let _ = sim.client("http").get("/count").await;
        }
        chaos.stop();
        let whole = || {
            let status = cluster.status();
            status.ready(Role::WORKER) == 4 && status.ready(Role::AGENT) == 1
        };
        sim.eventually(secs(180), whole).await?;
        // A link that is to be corrupted with the next write has been by then.
        sim.elapse(secs(60)).await;
        sim.eventually(secs(180), whole).await?;
        let reply = sim.client("http").get("/count").await?;
        assert!(reply.is_success(), "{reply:?}");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
    assert!(explored.faults > 60 * explored.seeds, "{explored:?}");
    println!("{explored:?}");
}

#[test]
fn a_cluster_that_is_stopped_at_any_moment_of_chaos_ends_in_time() {
    Explore::new(seeds()).run(|sim| async move {
        let cluster = sim.start(web(3)).await?;
        cluster.ready().await?;
        sim.chaos(Chaos::of_all_kinds(2_000.0));
        sim.elapse(secs(sim.seed() % 50)).await;
        let begun = sim.now();
        // It may have given up: that is an end, too.
        let _ = cluster.shutdown().await;
        assert!(sim.now() - begun < secs(30), "{:?}", sim.now() - begun);
        sim.check_quiescent()
    });
}

#[test]
fn the_only_worker_may_die_again_and_again_and_its_port_never_refuses() {
    Explore::new(seeds()).run(|sim| async move {
        let cluster = sim.start(web(1)).await?;
        cluster.ready().await?;
        for round in 0..20u64 {
            sim.elapse(secs(2)).await;
            sim.fault(Slot::worker(0), hatchery::simulation::Fault::Signal(9));
            let reply = sim.client("http").get("/who").await?;
            assert_eq!(reply.text(), format!("worker/0#{}", round + 2));
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
