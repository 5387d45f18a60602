//! hatchery beside the same program written by hand, in one run: `cargo bench --bench figures [-- FILTER]`.
//!
//! Every figure is taken from both in turn, several times; what counts is the median of the ratios. Client and servers
//! share the machine: compare within a run, not between machines.

#![allow(clippy::disallowed_methods, reason = "this is about time")]

mod http;
mod idle;
mod life;
mod load;
mod measure;
mod programs;

use self::programs::Programs;

/// Takes a figure and tells it.
type Figure = fn(&Programs);

fn main() {
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let programs = Programs::build();
    println!("{:<44} {:>12} {:>12}  ratio: median (of each round)", "", "by hand", "hatchery");
    let figures: [(&str, Figure); 5] = [
        ("http", http::keep_alive),
        ("http-close", http::connection_per_request),
        ("respawn", life::respawn),
        ("start", life::start),
        ("idle", idle::idle),
    ];
    for (name, figure) in figures {
        if wanted(name) {
            figure(&programs);
        }
    }
}
