//! The same program without hatchery, as one would write it by hand: `reference ADDRESS WORKERS`. One process first, then
//! the workers, all on one inherited listener; who dies is started again. Nothing more: no messages, no records, no
//! deadlines, no limits.
//!
//! `reference empty` is a tokio program that does nothing, to compare its size.

mod drain;
#[path = "../hello.rs"]
mod hello;
mod master;
mod worker;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["first"] => worker::first(),
        ["worker", how] => worker::worker(how),
        ["empty"] => worker::runtime().block_on(std::future::pending()),
        [address, workers] => master::run(address, workers.parse().expect("a number"), "worker"),
        // With the drain that axum has, to see what ours costs.
        [address, workers, "axum"] => master::run(address, workers.parse().expect("a number"), "axum"),
        // `cargo bench` runs whatever is declared as one; this is for the figures to start.
        _ => {}
    }
}
