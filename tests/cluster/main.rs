//! Stories on real processes. One binary: asked for a scenario, it is the master of that cluster or one of its members;
//! otherwise it runs the tests, which start it again with one.
//!
//! Nothing here waits for a while: every wait is for a fact, with a deadline.

#![allow(clippy::disallowed_methods, reason = "here the clock is the wall's")]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod harness;
mod http;
mod scenarios;
mod tracer;

#[path = "../../examples/web.rs"]
#[allow(dead_code, reason = "its main is not this binary's")]
mod web;

mod exceptions;
mod hostile;
mod input;
mod messages;
mod orphans;
mod ports;
mod processes;
mod restarts;
mod start;
mod stop;
mod storms;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "--scenario") {
        return scenarios::run(&arguments[2], &arguments[3..]);
    }
    // Orphans come to us, so that their exit codes can be read.
    nix::sys::prctl::set_child_subreaper(true).expect("it is allowed to all");
    let trials = [
        start::trials(),
        exceptions::trials(),
        restarts::trials(),
        stop::trials(),
        orphans::trials(),
        processes::trials(),
        messages::trials(),
        ports::trials(),
        input::trials(),
        hostile::trials(),
        storms::trials(),
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
