//! Requests per second and server CPU per request: two workers, 64 connections, a hello of axum.

use std::time::Duration;

use crate::load::{self, Connections};
use crate::measure::Comparison;
use crate::programs::{Programs, Running, Side};

const ROUNDS: usize = 9;

/// A round is so many bursts of each side in turn, short enough that whoever else uses the machine disturbs all alike.
const BURSTS: usize = 24;
const BURST: Duration = Duration::from_millis(150);
const WARM_UP: Duration = Duration::from_millis(500);
const CONNECTIONS: usize = 64;

pub(crate) fn keep_alive(programs: &Programs) {
    compare(programs, "64 kept connections", Connections::Kept);
}

pub(crate) fn connection_per_request(programs: &Programs) {
    compare(programs, "a connection per request, 64 at a time", Connections::Fresh);
}

fn compare(programs: &Programs, name: &str, connections: Connections) {
    let (mut rates, mut costs, mut drains) = (Comparison::default(), Comparison::default(), Comparison::default());
    let sides = [Side::ByHand, Side::Hatchery, Side::Plain].map(|side| programs.start(side, 2));
    for side in &sides {
        load::run(side.address, CONNECTIONS, connections, WARM_UP);
    }
    for _ in 0..ROUNDS {
        let mut totals = [Total::default(); 3];
        for burst in 0..BURSTS {
            // Nobody always goes first.
            for turn in 0..3 {
                let which = (burst + turn) % 3;
                totals[which].add(&sides[which], connections);
            }
        }
        let [by_hand, hatchery, plain] = totals;
        rates.add(by_hand.per_second(), hatchery.per_second());
        costs.add(by_hand.cost(), hatchery.cost());
        drains.add(plain.cost(), by_hand.cost());
    }
    rates.tell(&format!("{name}: requests/s"), ">= 0.97");
    costs.tell(&format!("{name}: CPU us/request"), "<= 1.05");
    drains.tell("  (by hand: with axum's drain | with ours)", "");
}

/// What one side did in a round.
#[derive(Clone, Copy, Default)]
struct Total {
    answered: u64,
    took: Duration,
    cpu: Duration,
}

impl Total {
    /// Adds a burst of load.
    fn add(&mut self, server: &Running, connections: Connections) {
        let before = server.cpu();
        let load = load::run(server.address, CONNECTIONS, connections, BURST);
        assert_eq!(load.failed, 0, "a healthy server answers");
        self.cpu += server.cpu() - before;
        self.answered += load.answered;
        self.took += load.took;
    }

    fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// Microseconds of server CPU for each request.
    fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered as f64
    }
}
