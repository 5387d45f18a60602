//! Stories on real processes. One binary: asked for a scenario, it is the master of that cluster or one of its members;
//! otherwise it runs the tests, which start it again with one.
//!
//! Nothing here waits for a while: every wait is for a fact, with a deadline.
//!
//! # Scenarios of the peers' suites that make no sense here, and why
//!
//! The names of the tests say which scenario they are; 22, the single process, is in tests/threads; 25, the schedule, in
//! tests/simulation/schedules.rs and tests/conformance. These have none:
//!
//! - 10 and 15 in the environment "local": there are no environments. Whether the dead are replaced is a setting.
//! - 23, the reload: replacing all members of a running cluster is not part of this crate so far.
//! - 24, https: TLS is the service's own, above the listener. The port of a debugger: there is no inspector to attach to.
//!   Sticky connections: one shared socket, and whoever accepts keeps. A foreign listen that must not count as started:
//!   ready is what the member's code says, never what it binds.

#![allow(clippy::disallowed_methods, reason = "here the clock is the wall's")]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod harness;
mod http;
mod scenarios;
mod tracer;

#[path = "../../examples/web.rs"]
#[allow(dead_code, reason = "its main is not this binary's")]
mod web;

#[path = "../../examples/remote_actor.rs"]
mod remote_actor;

mod commands;
mod container;
#[cfg(feature = "schedule")]
mod control;
mod daemon;
#[path = "../../examples/shared_connection.rs"]
#[allow(dead_code, reason = "its main is not this binary's")]
mod shared_connection;

mod exceptions;
mod heartbeats;
mod hostile;
mod input;
mod manager;
mod messages;
mod orphans;
mod pid_file;
mod place;
mod ports;
mod processes;
mod remote;
mod restarts;
mod shared;
mod start;
mod stderr;
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
        heartbeats::trials(),
        restarts::trials(),
        stop::trials(),
        orphans::trials(),
        processes::trials(),
        messages::trials(),
        remote::trials(),
        shared::trials(),
        ports::trials(),
        input::trials(),
        stderr::trials(),
        hostile::trials(),
        pid_file::trials(),
        manager::trials(),
        daemon::trials(),
        commands::trials(),
        container::trials(),
        storms::trials(),
        #[cfg(feature = "schedule")]
        control::trials(),
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
