//! A family that is simulated logs as one of processes does, and the same in every run.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatchery::Slot;
use hatchery::simulation::{Fault, Simulation};
use libtest_mimic::Trial;

use crate::family::{counted, read};
use crate::scenarios::plan;
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial("simulated, an agent that is killed again and again loses no line, the same in every run", killed)]
}

const LINES: u64 = 500;
const KILLS: u32 = 20;

fn run(seed: u64, dir: &Path) -> (String, String) {
    let trace = Arc::new(Mutex::new(String::new()));
    let (kept, dir_of_it) = (trace.clone(), dir.to_owned());
    Simulation::run(seed, move |sim| async move {
        let rest = [LINES.to_string(), "2000".to_owned()];
        let cluster = sim.start(plan("count", &dir_of_it, &rest)).await?;
        cluster.ready().await?;
        for kill in 1..=KILLS {
            sim.elapse(Duration::from_millis(37)).await;
            assert!(sim.fault(Slot::agent(), Fault::Signal(9)).took_effect());
            let back = || {
                cluster.status().members.iter().any(|member| {
                    member.id.slot() == Slot::agent()
                        && member.id.incarnation().get() == kill + 1
                        && member.state == hatchery::MemberState::Ready
                })
            };
            sim.eventually(Duration::from_secs(30), back).await?;
        }
        sim.elapse(Duration::from_secs(60)).await;
        cluster.shutdown().await?;
        *kept.lock().expect("nobody panicked") = sim.trace().to_string();
        sim.check_quiescent()
    });
    let trace = trace.lock().expect("nobody panicked").clone();
    (trace, read(dir, "worker.log"))
}

fn killed() {
    for seed in 0..3 {
        println!("seed {seed}");
        let runs = [(), ()].map(|()| {
            let dir = tempfile::tempdir().expect("a directory");
            run(seed, dir.path())
        });
        let counted = counted(&runs[0].1);
        assert_eq!(counted.check("worker/0#1", LINES) + counted.check("worker/1#1", LINES), 0, "seed {seed}");
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}
