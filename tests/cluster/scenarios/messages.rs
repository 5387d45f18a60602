//! Members that talk. Each case is what the agent does and what the workers do; a driver says what it found, and one that
//! finds what must not be panics.

mod handlers;
mod losses;
mod order;
mod verbs;

use std::future::Future;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hatchery::messenger::Lost;
use hatchery::{
    Bytes, CallError, Context, Hatchery, Incarnation, MemberState, Message, Reason, Recipient, Request, Role,
    SendError, Slot, Target, Undelivered,
};

use super::{say, tell_cluster_ready};

#[derive(Clone, Debug, Parser)]
pub struct Options {
    #[arg(long)]
    case: Case,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Case {
    Counts,
    Dice,
    Verbs,
    Refused,
    Returned,
    Early,
    Restart,
    Raw,
    Order,
    Storm,
    LastWords,
    Handlers,
    Deaf,
    Detour,
}

/// The limit of a payload in all cases.
const LIMIT: usize = 64 << 10;

/// A call that takes longer has failed.
const SOON: Duration = Duration::from_secs(20);

pub fn cluster(Options { case }: Options) -> Hatchery {
    let plan = Hatchery::new().program("messages").payload_limit(LIMIT);
    match case {
        Case::Counts => plan.agent(verbs::counts).workers(2, verbs::counts),
        Case::Dice => plan.agent(verbs::dice_agent).workers(4, verbs::dice_worker),
        Case::Verbs => {
            plan.agent(verbs::verbs_other).workers(2, verbs::verbs_worker).role("cache", 2, verbs::verbs_other)
        }
        Case::Refused => plan.agent(verbs::refused).workers(2, verbs::receiver),
        Case::Returned => plan.agent(losses::returned).workers(4, verbs::receiver),
        Case::Early => plan.agent(order::early).workers(1, order::numbers),
        Case::Restart => plan.agent(order::restart).workers(1, order::numbers),
        Case::Raw => plan.agent(order::raw).workers(1, order::echo),
        Case::Order => plan.agent(order::numbers).workers(2, order::order),
        Case::Storm => plan.agent(order::numbers).workers(4, losses::storm).tune(Role::WORKER, |role| {
            role.restart_limit(None);
        }),
        Case::LastWords => plan.agent(order::numbers).workers(1, losses::last_words),
        Case::Handlers => plan.agent(handlers::failing_agent).workers(1, handlers::failing_worker),
        Case::Detour => plan.agent(verbs::detour).workers(2, verbs::idle),
        Case::Deaf => plan.agent(losses::deaf_agent).workers(2, losses::deaf_worker),
    }
}

/// What every member begins with, and how it ends.
async fn live<E>(cx: Context, act: impl Future<Output = Result<(), E>>) -> hatchery::Result<()>
where
    E: Into<hatchery::BoxError>,
{
    act.await.map_err(Into::into)?;
    cx.stopping().await;
    Ok(())
}

fn begin(cx: &Context) {
    say(cx, format!("pid {}", std::process::id()));
    tell_cluster_ready(cx);
}
