//! What a family logs is in its files: once, whole, in order, or counted. On real processes, threads and simulated ones.
//!
//! One binary: asked for a scenario, it is the master of that cluster or one of its members; otherwise it runs the tests, which
//! start it again with one, each with a directory of its own.

#![allow(clippy::disallowed_methods, reason = "here the clock is the wall's")]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod errors;
mod family;
mod files;
mod kills;
mod room;
mod scenarios;
#[cfg(feature = "simulation")]
mod simulated;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, scenario, dir, rest @ ..] = &arguments[..]
        && first == "--scenario"
    {
        return scenarios::run(scenario, dir, rest);
    }
    let trials = [
        errors::trials(),
        files::trials(),
        kills::trials(),
        room::trials(),
        #[cfg(feature = "simulation")]
        simulated::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}

/// A test: a sentence, and its proof.
fn trial(name: &str, proof: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name.to_owned(), move || {
        proof();
        Ok(())
    })
}
