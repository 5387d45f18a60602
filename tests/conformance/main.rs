//! One body of cases for all that members can be made of: processes, threads, and simulated processes (feature
//! `simulation`). What holds on one holds on all; what one cannot have, it says below, with the reason.
//!
//! Nothing here waits for a while: every wait is for a fact, with a deadline.

#![allow(clippy::disallowed_methods, reason = "here the clock is the wall's")]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod alone;
mod cases;
mod cast;
mod puppet;
mod registry;
mod sabotage;
mod stage;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::cases::{Case, Need};
use crate::stage::{Kind, Stage};

/// Long enough for the slowest machine: a wait that takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a kind of member cannot have, and why. Cases that need it are left out.
fn lacks(kind: Kind) -> &'static [(Need, &'static str)] {
    match kind {
        Kind::Processes => &[
            (Need::Stall, "what is written to a socket is there, and nobody can hold it back"),
            (
                Need::Starvation,
                "the kernel kills for lack of memory in a control group that tests have no right to make",
            ),
            (Need::Suspension, "to suspend the host is not for tests"),
        ],
        Kind::Threads => &[
            (Need::Kill, "nobody but the master can ask a thread to end"),
            (Need::Stop, "a signal stops the whole process"),
            (Need::Exit, "std::process::exit ends the whole process"),
            (Need::LinkFault, "both ends of the link are in this process, and nobody else has them"),
            (Need::Refusal, "a program that could be missing is refused with the plan"),
            (Need::Stall, "a link is a queue in memory, and nobody can hold it back"),
            (Need::Starvation, "lack of memory is the whole process's"),
            (Need::Suspension, "to suspend the host is not for tests"),
        ],
        #[cfg(feature = "simulation")]
        Kind::Simulated => {
            &[(Need::Socket, "a simulated world has no sockets: tests/simulation/shared.rs has a server in it")]
        }
    }
}

/// The cases that a kind cannot have, by name.
fn left_out(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Processes => &[
            "a link that stalls for a while costs nobody, and what was sent arrives",
            "a member that is killed for lack of memory is replaced, and the record says so",
            "a suspended host costs nobody",
        ],
        Kind::Threads => &[
            "a link that breaks ends its member, which is replaced",
            "a member that breaks the protocol of its link is killed and replaced",
            "a link that ends within a frame ends its member, which is replaced",
            "a link that stalls for a while costs nobody, and what was sent arrives",
            "a member that is killed for lack of memory is replaced, and the record says so",
            "a suspended host costs nobody",
            "a program that cannot be started fails the start with the system's reason",
            "a member that exits before it is ready fails the start with its code",
            "a member that exits is replaced, and its code is in the record",
            "a killed member is replaced, and its signal is in the record",
            "an agent that is killed a hundred times has nothing run twice",
            "an agent that is killed a hundred times loses nobody what it follows",
            "a member that stands still is killed when its time to stop is over",
            "a member that stood still for a while is as it was",
            "a member that stands still for too long is replaced as one that is stuck",
            "a member that stood still and answers again is responsive",
        ],
        #[cfg(feature = "simulation")]
        Kind::Simulated => &[
            "whoever follows hears what is, every change, and of each gap",
            "an agent that is killed a hundred times loses nobody what it follows",
        ],
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(alone::ARGUMENT) {
        return alone::run();
    }
    // Members part from here.
    stage::enter();
    let mut trials = vec![trial("what a kind leaves out is what it lacks".into(), exclusions), alone::trial()];
    for &kind in Kind::ALL {
        for case in cases::all() {
            if !left_out(kind).contains(&case.name) {
                trials.push(trial(format!("{kind}: {}", case.name), move || Stage::play(kind, &case)));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, proof: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        proof();
        Ok(())
    })
}

/// Nothing is left out without a reason, and no reason without something that is left out for it.
fn exclusions() {
    let cases = cases::all();
    for &kind in Kind::ALL {
        for name in left_out(kind) {
            assert!(cases.iter().any(|case| case.name == *name), "{kind}: no case is called {name:?}");
        }
        for Case { name, needs, .. } in &cases {
            let missing: Vec<_> = lacks(kind).iter().filter(|(need, _)| needs.contains(need)).collect();
            assert_eq!(left_out(kind).contains(name), !missing.is_empty(), "{kind}: {name}, lacking {missing:?}");
        }
        for (need, why) in lacks(kind) {
            assert!(cases.iter().any(|case| case.needs.contains(need)), "{kind}: nothing needs {need:?} ({why})");
        }
        // What a backend says of itself is what is found here.
        let capabilities = kind.capabilities();
        let has = |need| lacks(kind).iter().all(|(lacking, _)| *lacking != need);
        assert_eq!((capabilities.kill, capabilities.stop), (has(Need::Kill), has(Need::Stop)), "{kind}");
    }
}
