//! Workers whose failures are judged by a strategy of the user's.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use hatchery::Hatchery;
use hatchery::supervision::{Directive, Fact, Scope, from_fn};

use super::probe;

#[derive(Clone, Debug, Parser)]
pub struct Options {
    #[arg(long)]
    answer: Answer,
}

/// What it says, whatever it is asked.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Answer {
    /// Nothing that can be waited for.
    Never,
    /// Nothing.
    Panic,
}

pub fn cluster(Options { answer }: Options) -> Hatchery {
    let agent = |cx| probe::act(cx, "ready stopping".into());
    let worker = |cx| probe::act(cx, "ready cluster 1?#1?report:ill 2?exit:1 stopping".into());
    Hatchery::new().program("strategies").agent(agent).workers(3, worker).tune("worker", move |role| {
        role.strategy(from_fn(move |fact, _, _| match (answer, fact) {
            (Answer::Never, Fact::Exception(_)) => Directive::Replace { drain: Duration::MAX },
            (Answer::Never, _) => Directive::Restart { scope: Scope::One, after: Duration::MAX },
            (Answer::Panic, _) => panic!("no idea"),
        }));
    })
}
