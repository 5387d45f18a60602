//! Clusters in a program that does other things besides: this one, which runs tests. It enters its clusters before
//! anything else, so that every member of them, which is this binary started again, gets no further than that.
//!
//! Nothing here waits for a while: every wait is for a fact, with a deadline.

#![allow(clippy::disallowed_methods, reason = "here the clock is the wall's")]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod examples;
mod handle;
mod host;
mod nested;
mod operations;
mod plans;
mod processes;
mod tree;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

/// Long enough for the slowest machine: a wait that takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    // Before the members part from here: the arguments are theirs too.
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--example") => return examples::run(&arguments.next().expect("its name")),
        Some("--inside-a-runtime") => return host::inside_a_runtime(),
        Some("--deaf-to-children") => return host::deaf_to_children(),
        Some(_) | None => {}
    }
    plans::enter();
    let trials =
        [handle::trials(), tree::trials(), nested::trials(), host::trials(), operations::trials(), examples::trials()];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}

/// A test: a sentence, and its proof, which has a runtime of its own.
fn story<F>(name: &str, proof: fn() -> F) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    trial(name, move || {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async { tokio::time::timeout(PATIENCE, proof()).await.expect("it comes to its end") });
    })
}

fn trial(name: &str, proof: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name.to_owned(), move || {
        proof();
        Ok(())
    })
}
