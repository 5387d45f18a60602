//! Requests per second and server CPU per request: two workers, 64 connections, a hello of axum.

use std::time::Duration;

use crate::load::{self, Connections};
use crate::measure::Comparison;
use crate::programs::{Programs, Side};

const ROUNDS: usize = 7;
const SPAN: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 64;

pub(crate) fn keep_alive(programs: &Programs) {
    compare(programs, "64 kept connections", Connections::Kept);
}

pub(crate) fn connection_per_request(programs: &Programs) {
    compare(programs, "a connection per request, 64 at a time", Connections::Fresh);
}

fn compare(programs: &Programs, name: &str, connections: Connections) {
    let (mut rates, mut costs, mut drains) = (Comparison::default(), Comparison::default(), Comparison::default());
    for round in 0..ROUNDS {
        let mut sides = [Side::ByHand, Side::Hatchery, Side::Plain];
        // Nobody always goes first.
        sides.rotate_left(round % 3);
        let figures = sides.map(|side| (side, serve(programs, side, connections)));
        let of = |wanted| figures.iter().find(|(side, _)| *side == wanted).expect("all were measured").1;
        let (by_hand, hatchery, plain) = (of(Side::ByHand), of(Side::Hatchery), of(Side::Plain));
        rates.add(by_hand.0, hatchery.0);
        costs.add(by_hand.1, hatchery.1);
        drains.add(plain.1, by_hand.1);
    }
    rates.tell(&format!("{name}: requests/s"), ">= 0.97");
    costs.tell(&format!("{name}: CPU us/request"), "<= 1.05");
    drains.tell("  (by hand: with axum's drain | with ours)", "");
}

/// Requests per second, and microseconds of server CPU for each.
fn serve(programs: &Programs, side: Side, connections: Connections) -> (f64, f64) {
    let server = programs.start(side, 2);
    load::run(server.address, CONNECTIONS, connections, Duration::from_millis(500));
    let before = server.cpu();
    let load = load::run(server.address, CONNECTIONS, connections, SPAN);
    let cpu = server.cpu() - before;
    assert_eq!(load.failed, 0, "a healthy server answers");
    (load.per_second(), cpu.as_secs_f64() * 1e6 / load.answered as f64)
}
