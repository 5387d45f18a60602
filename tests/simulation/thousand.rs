//! A thousand whole clusters, each with a fate of its own: chaos of all kinds, real role functions that serve HTTP and write
//! to each other, strategies of all kinds, and an operator. What comes of it is counted by the role functions, and printed
//! (`--nocapture`).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use hatchery::simulation::{Chaos, Explore, Fault, Simulation};
use hatchery::supervision::{
    Escalating, Exceptional, Intensity, OnException, OneForAll, OneForOne, RestForOne, RestartType, Significant,
};
use hatchery::{ClusterError, ClusterHandle, Context, Hatchery, MemberId, Role, RoleSettings, Slot};

use crate::census::{Census, Counts};
use crate::messages::{Shared, correspond, enrol, settle};
use crate::operations::{is_told, operate, whole};
use crate::{Luck, as_many_as, ms, secs};

const WORKERS: u16 = 3;

/// Who decides: mostly what everybody has; for the rest groups, and strategies that go around others.
#[derive(Clone, Copy, Debug)]
enum Regime {
    OneForOne,
    /// The workers go along with the agent.
    RestOfAgent,
    Everyone,
    /// The workers go along with each other, but not for an exception.
    Workers,
    /// A worker that exits with 0 is done, and all are.
    Significant,
    /// Gives up beyond a number of restarts.
    Escalating,
}

/// How many restarts are allowed to those that give up.
const RESTARTS: usize = 8;

impl Regime {
    fn of(sim: &Simulation) -> Regime {
        match sim.seed() % 16 {
            0 => Regime::RestOfAgent,
            1 => Regime::Everyone,
            2 => Regime::Workers,
            3 => Regime::Significant,
            4 => Regime::Escalating,
            _ => Regime::OneForOne,
        }
    }

    fn decides(self, plan: Hatchery) -> Hatchery {
        match self {
            Regime::OneForOne => plan,
            Regime::RestOfAgent => plan.tune(Role::AGENT, |agent| {
                agent.strategy(RestForOne::new(OneForOne::agent()));
            }),
            Regime::Everyone => plan.strategy(OneForAll::new(OneForOne::worker())),
            Regime::Workers => plan.tune(Role::WORKER, |worker| {
                let group = OneForAll::new(OneForOne::worker()).within_role();
                worker.strategy(Exceptional::new(group, OnException::Replace { drain: secs(30) }));
            }),
            Regime::Significant => plan.tune(Role::WORKER, |worker| {
                worker.strategy(Significant::any(OneForOne::worker().restart(RestartType::Transient)));
            }),
            Regime::Escalating => {
                plan.strategy(Escalating::new(OneForOne::worker(), Intensity::new(RESTARTS, secs(3_600))))
            }
        }
    }

    /// How many faults an hour it is to get over. A group that is struck again before it is up begins again.
    fn rate(self) -> f64 {
        match self {
            Regime::OneForOne | Regime::RestOfAgent | Regime::Significant | Regime::Escalating => 1_200.0,
            Regime::Everyone | Regime::Workers => 400.0,
        }
    }

    /// Whether the cluster ends by itself, and well.
    fn expect_end(self, end: &Result<(), ClusterError>) {
        match (self, end) {
            (Regime::Significant, Ok(())) => {}
            (Regime::Escalating, Err(ClusterError::GaveUp { reason, leftovers })) if leftovers.is_empty() => {
                assert!(reason.to_string().contains(&format!("would be restart {}", RESTARTS + 1)), "{reason}");
            }
            (
                Regime::OneForOne
                | Regime::RestOfAgent
                | Regime::Everyone
                | Regime::Workers
                | Regime::Significant
                | Regime::Escalating,
                end,
            ) => panic!("{self:?} ends with {end:?}"),
        }
    }
}

/// How often a worker writes. One cluster in sixteen is talkative: in all of them, four fifths of the time would go into it.
fn pace(sim: &Simulation) -> Duration {
    if (sim.seed() / 16).is_multiple_of(16) { ms(100) } else { secs(1) }
}

/// The web server of the other stories, which writes to its neighbour as well. All that it does is counted.
fn busy(ledger: &Shared, census: &Census, regime: Regime, pace: Duration) -> Hatchery {
    let (heard, ledger) = (ledger.clone(), ledger.clone());
    let (agents, workers) = (census.clone(), census.clone());
    let plan = Hatchery::new().listen_named("http", "127.0.0.1:8080").agent(move |cx: Context| {
        enrol(&cx, &heard);
        agents.clone().agent(cx)
    });
    let plan = plan.workers(WORKERS.into(), move |cx: Context| {
        enrol(&cx, &ledger);
        let (held, ledger) = (cx.clone(), ledger.clone());
        cx.spawn(async move { correspond(&held, ledger, WORKERS, pace).await });
        workers.clone().worker(cx)
    });
    // Nobody is ready for long where all begin again together.
    let patient = |role: &mut RoleSettings| {
        role.give_up_after(secs(3_600));
    };
    regime.decides(plan).tune(Role::AGENT, patient).tune(Role::WORKER, patient)
}

async fn fate(sim: &Simulation) -> hatchery::Result<Counts> {
    let (ledger, census, regime) = (Shared::default(), Census::of(sim), Regime::of(sim));
    let cluster = sim.start(busy(&ledger, &census, regime, pace(sim))).await?;
    cluster.ready().await?;
    match regime {
        Regime::OneForOne | Regime::RestOfAgent | Regime::Everyone | Regime::Workers => {
            lasts(sim, &cluster, &ledger, &census, regime).await?;
        }
        Regime::Significant | Regime::Escalating => ends(sim, &cluster, &census, regime).await,
    }
    ledger.lock().expect("nobody panicked").check();
    let counts = census.check();
    sim.check_quiescent()?;
    Ok(counts)
}

/// One that gets over everything, until it is asked to stop.
async fn lasts(
    sim: &Simulation,
    cluster: &ClusterHandle,
    ledger: &Shared,
    census: &Census,
    regime: Regime,
) -> hatchery::Result<()> {
    let chaos = sim.chaos(Chaos::of_all_kinds(regime.rate()));
    let (mut luck, client) = (Luck::of(sim), sim.client("http"));
    for _ in 0..6 {
        sim.elapse(ms(1_000 + luck.below(9_000))).await;
        let (throws, operates) = (luck.below(4) == 0, luck.below(2) == 0);
        let asking = async { tokio::join!(census.ask(&client, false), census.ask(&client, throws)) };
        let operating = async {
            if operates {
                let conclusion = tokio::time::timeout(secs(400), operate(cluster, &mut luck, WORKERS + 1)).await?;
                assert!(is_told(&conclusion), "{conclusion}");
            }
            Ok::<_, hatchery::BoxError>(())
        };
        tokio::join!(asking, operating).1?;
    }
    chaos.stop();
    for index in 0..WORKERS {
        // Some had been stopped.
        let _ = cluster.scale(Role::WORKER, WORKERS).await;
        let _ = cluster.restart(Slot::worker(index)).await;
    }
    whole(sim, cluster, WORKERS.into()).await?;
    census.ask(&client, false).await;
    let living: Vec<MemberId> = cluster.status().of(Role::WORKER).map(|status| status.id).collect();
    settle(sim, ledger, &living, &[Slot::agent()]).await;
    assert_eq!(census.refused(), 0, "the port is there as long as the cluster is");
    Ok(cluster.shutdown().await?)
}

/// One that ends by itself: sooner or later, and where chaos does not see to it, by what it is about.
async fn ends(sim: &Simulation, cluster: &ClusterHandle, census: &Census, regime: Regime) {
    const LATE: Duration = Duration::from_secs(600);
    let chaos = sim.chaos(Chaos::of_all_kinds(regime.rate()));
    let (mut luck, client) = (Luck::of(sim), sim.client("http"));
    let asking = async {
        loop {
            sim.elapse(ms(1_000 + luck.below(9_000))).await;
            census.ask(&client, luck.below(4) == 0).await;
            if sim.now() > LATE {
                sim.fault(Slot::worker(0), Fault::Exit(0));
            }
        }
    };
    let end = tokio::select! {
        biased;
        end = cluster.wait() => end,
        never = asking => never,
    };
    chaos.stop();
    regime.expect_end(&end);
}

#[test]
fn a_thousand_clusters_under_chaos_keep_every_promise() {
    let found = Mutex::new(BTreeMap::new());
    let explored = Explore::new(as_many_as(1_000)).run(|sim| {
        let found = &found;
        async move {
            let counts = fate(&sim).await?;
            found.lock().expect("nobody panicked").insert(sim.seed(), counts);
            Ok::<_, hatchery::BoxError>(())
        }
    });
    let mut counts = Counts::default();
    found.into_inner().expect("nobody panicked").values().for_each(|one| counts.add(one));
    println!(
        "seeds {} (twice {}), virtual time {:?}, facts {}, starts {}, faults that took effect {}, violations 0, trace \
         hash {:016x}\ncounted by user code: {counts:?}",
        explored.seeds,
        explored.repeated,
        explored.virtual_time,
        explored.facts,
        explored.starts,
        explored.faults,
        explored.trace_hash,
    );
    // What many come to says nothing of one that is looked at again.
    if explored.seeds < 500 {
        return;
    }
    assert!(explored.repeated >= explored.seeds / 20, "{explored:?}");
    assert!(explored.faults > 5 * explored.seeds, "{explored:?}");
    // Every process that was started has run the user's code, or is known to have ended before.
    assert_eq!(counts.boots + counts.unborn, explored.starts, "{counts:?}");
    assert!(counts.successors > 3 * explored.seeds && counts.cut_short > explored.seeds, "{counts:?}");
    // What is lost, or has no answer, is accounted for, one by one.
    let asked = counts.answered + counts.lost + counts.unanswered;
    assert!(counts.answered > 9 * explored.seeds && 10 * counts.answered > 9 * asked, "{counts:?}");
    assert!(counts.told <= counts.thrown && 10 * counts.told > 9 * counts.thrown, "{counts:?}");
}
