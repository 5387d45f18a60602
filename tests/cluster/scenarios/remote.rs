//! Members that serve an actor, and members that hold references to it.

#[path = "../../stories/counter.rs"]
mod counter;

use ::hatchery;
use clap::{Parser, ValueEnum};
use hatchery::ractor::{Actor, call, cast};
use hatchery::remote::ask;
use hatchery::{CallError, Context, Hatchery, ProxyMsg, Reason, Role, SendError, Slot};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use self::counter::{Count, Counter, CounterActor, Question, Tell, counter_story, start};
use super::{say, tell_cluster_ready};

#[derive(Clone, Debug, Parser)]
pub struct Options {
    #[arg(long)]
    case: Case,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Case {
    /// The story of the counter, in this process and in others.
    Story,
    /// A worker dies with calls open.
    Death,
    /// Actors end, and with one of them its member.
    Ends,
    /// A worker has stopped, and is told all the same.
    Flood,
}

pub fn cluster(Options { case }: Options) -> Hatchery {
    let plan = Hatchery::new().program("remote");
    match case {
        Case::Story => plan.agent(storyteller).workers(3, storyteller),
        Case::Death => plan.agent(bereaved).workers(2, server),
        Case::Ends => plan.agent(survivor).workers(2, server),
        Case::Flood => plan.agent(flooder).workers(2, server),
    }
}

async fn begin(cx: &Context) -> hatchery::Result<()> {
    say(cx, format!("pid {}", std::process::id()));
    tell_cluster_ready(cx);
    cx.host(start().await)?;
    cx.ready();
    Ok(())
}

async fn server(cx: Context) -> hatchery::Result<()> {
    begin(&cx).await?;
    cx.stopping().await;
    Ok(())
}

/// The agent tells it of worker/0, that of worker/1, that of worker/2, that of the agent: each counter is told of once.
async fn storyteller(cx: Context) -> hatchery::Result<()> {
    begin(&cx).await?;
    cx.cluster_ready().await;
    let next = |index: u16| if index < 2 { Slot::worker(index + 1) } else { Slot::agent() };
    let hero = if cx.role() == Role::AGENT { Slot::worker(0) } else { next(cx.slot().index()) };
    counter_story(start().await).await;
    counter_story(cx.actor(hero)?).await;
    let taken = cx.host(start().await).map_err(|error| error.to_string());
    assert_eq!(taken, Err("protocol \"counter\" is served by another actor already".to_owned()));
    let nowhere = cx.actor::<Counter>(Slot::worker(3)).err();
    assert_eq!(nowhere, Some(SendError::NoSuchMember("worker/3".into())));
    // Nobody embeds this master.
    let nobody = ask(&cx.actor::<Counter>(Slot::master())?, Count).await;
    assert_eq!(nobody, Err(CallError::Undelivered(Reason::NoHandler)));
    say(&cx, "all is well");
    cx.stopping().await;
    Ok(())
}

async fn bereaved(cx: Context) -> hatchery::Result<()> {
    begin(&cx).await?;
    cx.cluster_ready().await;
    let counter = cx.actor::<Counter>(Slot::worker(1))?;
    cast!(counter, ProxyMsg::Cast(Tell::Add(7)))?;
    let open: Vec<_> = (0..100)
        .map(|_| {
            let counter = counter.clone();
            cx.spawn(async move { call!(counter, ProxyMsg::Call, Question::Never) })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(ask(&counter, Count).await, Ok(7));
    say(&cx, "a hundred calls are open");
    for call in open {
        assert_eq!(call.await??, Err(CallError::Undelivered(Reason::Died)));
    }
    // The same reference, and another process behind it.
    assert_eq!(ask(&counter, Count).await, Ok(0));
    counter_story(counter).await;
    assert_eq!(ask(&cx.actor::<Counter>(Slot::worker(0))?, Count).await, Ok(0), "it has heard nothing of that");
    say(&cx, "all is well");
    cx.stopping().await;
    Ok(())
}

async fn survivor(cx: Context) -> hatchery::Result<()> {
    begin(&cx).await?;
    cx.cluster_ready().await;
    // An actor that fails is its supervisor's business.
    let failing = cx.actor::<Counter>(Slot::worker(0))?;
    let mut lost = cx.messenger().undelivered();
    cast!(failing, ProxyMsg::Cast(Tell::Fail))?;
    assert_eq!(ask(&failing, Count).await, Err(CallError::Undelivered(Reason::Ended)));
    cast!(failing, ProxyMsg::Cast(Tell::Add(5)))?;
    let back = lost.next().await.ok_or("the link is lost")?;
    assert_eq!((back.reason, back.to.to_string()), (Reason::Ended, "worker/0#1".to_owned()));
    assert!(matches!(back.cast_of::<Counter>(), Some(Tell::Add(5))));
    say(&cx, "an actor has failed");
    // One that panics is an exception of its worker, which is replaced; what was told later is for the successor.
    let panicking = cx.actor::<Counter>(Slot::worker(1))?;
    cast!(panicking, ProxyMsg::Cast(Tell::Panic))?;
    let mut members = cx.members().await;
    let second = Slot::worker(1).member(hatchery::Incarnation::FIRST);
    members.wait_for(|roster| roster.members.iter().all(|member| member.id != second)).await;
    assert_eq!(ask(&panicking, Count).await, Ok(0));
    // In the agent it is logged: it serves with another actor.
    let own = cx.actor::<Counter>(Slot::agent())?;
    cast!(own, ProxyMsg::Cast(Tell::Panic))?;
    assert_eq!(ask(&own, Count).await, Err(CallError::Undelivered(Reason::Ended)));
    let (fresh, _) = Actor::spawn(None, CounterActor(None), ()).await?;
    cx.host(fresh)?;
    counter_story(own).await;
    say(&cx, "all is well");
    cx.stopping().await;
    Ok(())
}

async fn flooder(cx: Context) -> hatchery::Result<()> {
    let mut told = 100_000;
    begin(&cx).await?;
    cx.cluster_ready().await;
    let roster = cx.members().await.current();
    let stopped =
        roster.members.iter().find(|member| member.id.slot() == Slot::worker(1)).and_then(|member| member.pid);
    let pid = Pid::from_raw(stopped.ok_or("it has no process")?.try_into()?);
    let (counter, other) = (cx.actor::<Counter>(Slot::worker(1))?, cx.actor::<Counter>(Slot::worker(0))?);
    kill(pid, Signal::SIGSTOP)?;
    for _ in 0..told {
        cast!(counter, ProxyMsg::Cast(Tell::Add(1)))?;
    }
    // Behind them all there is no room, and nobody waits for any. What has moved on meanwhile has left some: it is filled.
    loop {
        match ask(&counter, Count).await {
            Err(CallError::Send(SendError::Full)) => break,
            Err(CallError::Undelivered(Reason::TimedOut)) => {}
            other => return Err(format!("it cannot have answered: {other:?}").into()),
        }
        cast!(counter, ProxyMsg::Cast(Tell::Add(1)))?;
        told += 1;
    }
    assert_eq!(ask(&other, Count).await, Ok(0));
    let dead = cx.messenger().undelivered_count();
    let on_their_way = told - dead;
    assert!((8_192..3 * 8_193).contains(&on_their_way), "{dead} of {told} are dead letters");
    kill(pid, Signal::SIGCONT)?;
    let arrived = loop {
        match ask(&counter, Count).await {
            Ok(arrived) => break arrived,
            Err(CallError::Send(SendError::Full)) => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
        }
    };
    assert_eq!((arrived, cx.messenger().undelivered_count()), (on_their_way, dead), "each arrived or came back");
    say(&cx, "all is well");
    cx.stopping().await;
    Ok(())
}
