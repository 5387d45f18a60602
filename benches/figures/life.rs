//! How long a death and a start take.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::who_answers;
use crate::measure::{Comparison, median};
use crate::programs::{Programs, Running, Side};

/// `kill -9` of the only worker to the first answer of its successor. The figure of a round is the median of its kills.
pub(crate) fn respawn(programs: &Programs) {
    const ROUNDS: usize = 7;
    const KILLS: usize = 31;
    let (by_hand, hatchery) = (programs.start(Side::ByHand, 1), programs.start(Side::Hatchery, 1));
    let mut times = Comparison::default();
    for _ in 0..ROUNDS {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..KILLS {
            theirs.push(kill_the_worker(&by_hand));
            ours.push(kill_the_worker(&hatchery));
        }
        times.add(median(&theirs), median(&ours));
    }
    times.tell("kill -9 to the successor's answer: us", "<= 1.5");
}

fn kill_the_worker(server: &Running) -> f64 {
    let victim = who_answers(server.address);
    let pid = Pid::from_raw(victim.parse().expect("a pid"));
    let begun = Instant::now();
    kill(pid, Signal::SIGKILL).expect("it runs");
    let successor = who_answers(server.address);
    let took = begun.elapsed();
    assert_ne!(successor, victim, "it was killed");
    took.as_secs_f64() * 1e6
}

/// Start of the master to its word that one process and eight workers are ready.
pub(crate) fn start(programs: &Programs) {
    const ROUNDS: usize = 15;
    let mut times = Comparison::default();
    for _ in 0..ROUNDS {
        let start = |side| programs.start(side, 8).start.as_secs_f64() * 1e3;
        times.add(start(Side::ByHand), start(Side::Hatchery));
    }
    times.tell("start to ready with eight workers: ms", "<= 1.5");
}
