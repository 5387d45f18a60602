//! An actor in a worker, used from other processes as if it were in theirs: by the agent, which also kills its process,
//! and by the program that embeds the cluster.
//!
//! ```console
//! $ cargo run --example remote_actor
//! worker/1#1 serves a total from pid 5131
//! agent/0#1 told it of 1, 2 and 3, and asked: 6, says pid 5131
//! agent/0#1 has a call open, and pid 5131 is killed
//! agent/0#1 hears of that call: the receiver died
//! worker/1#2 serves a total from pid 5136
//! agent/0#1 asks by the same reference: 0, says pid 5136
//! the master told it of 40, and asked: 40, says pid 5136
//! ```
//!
//! It ends by itself, with 0; or with 1 and a sentence, after half a minute at the latest.

use std::process::ExitCode;
use std::time::Duration;

use hatchery::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call, cast};
use hatchery::{BoxError, CallError, Cluster, Context, Hatchery, Protocol, ProxyMsg, Request, Slot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What a total can be told and asked: the type is only a name for that.
struct Total;

impl Protocol for Total {
    const NAME: &'static str = "total";
    /// Add so much.
    type Cast = u64;
    type Call = Question;
    type Reply = Said;
}

#[derive(Serialize, Deserialize)]
enum Question {
    /// How much is it?
    HowMuch,
    /// Never answered.
    Never,
}

/// The total, and the process that keeps it.
#[derive(Serialize, Deserialize)]
struct Said {
    total: u64,
    pid: u32,
}

/// The actor that does the work. It takes the same messages as every reference to it, and knows of no process.
struct Keeper;

#[derive(Default)]
struct Kept {
    total: u64,
    unanswered: Vec<RpcReplyPort<Result<Said, CallError>>>,
}

#[hatchery::ractor::actor(message = ProxyMsg<Total>, state = Kept, arguments = ())]
impl Keeper {
    async fn pre_start(&self, _: ActorRef<ProxyMsg<Total>>, _: ()) -> Result<Kept, ActorProcessingErr> {
        Ok(Kept::default())
    }

    async fn handle(
        &self,
        _: ActorRef<ProxyMsg<Total>>,
        message: ProxyMsg<Total>,
        kept: &mut Kept,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProxyMsg::Cast(number) => kept.total += number,
            ProxyMsg::Call(Question::HowMuch, reply) => {
                let _ = reply.send(Ok(Said { total: kept.total, pid: std::process::id() }));
            }
            ProxyMsg::Call(Question::Never, reply) => kept.unanswered.push(reply),
        }
        Ok(())
    }
}

/// Serves a total, from before it is ready until it is stopped.
async fn worker(cx: Context) -> hatchery::Result<()> {
    let (keeper, _) = Actor::spawn(None, Keeper, ()).await?;
    cx.host(keeper)?;
    if cx.slot() == Slot::worker(1) {
        println!("{} serves a total from pid {}", cx.id(), std::process::id());
    }
    cx.ready();
    cx.stopping().await;
    Ok(())
}

/// Shows what the program is about when the master asks it to.
async fn agent(cx: Context) -> hatchery::Result<()> {
    let own = cx.clone();
    cx.messenger().answer("show", move |_: Request<()>| show(own.clone()))?;
    cx.ready();
    Ok(())
}

async fn show(cx: Context) -> Result<(), BoxError> {
    let me = cx.id();
    let total = cx.actor::<Total>(Slot::worker(1))?;
    for number in [1, 2, 3] {
        cast!(total, ProxyMsg::Cast(number))?;
    }
    let said = call!(total, ProxyMsg::Call, Question::HowMuch)??;
    println!("{me} told it of 1, 2 and 3, and asked: {}, says pid {}", said.total, said.pid);

    let pid = said.pid;
    println!("{me} has a call open, and pid {pid} is killed");
    let killed = async {
        // A second call is behind the first: its answer says that the first is open.
        call!(total, ProxyMsg::Call, Question::HowMuch)??;
        kill(Pid::from_raw(pid.try_into()?), Signal::SIGKILL)?;
        Ok::<_, BoxError>(())
    };
    let open = async { call!(total, ProxyMsg::Call, Question::Never) };
    let (open, killed) = tokio::join!(biased; open, killed);
    killed?;
    match open? {
        Ok(_) => return Err("nobody could have answered that".into()),
        Err(error) => println!("{me} hears of that call: {error}"),
    }

    // It names the slot: what is sent while that restarts waits for the successor, who begins anew.
    let said = call!(total, ProxyMsg::Call, Question::HowMuch)??;
    println!("{me} asks by the same reference: {}, says pid {}", said.total, said.pid);
    Ok(())
}

pub(crate) fn main() -> ExitCode {
    let plan = Hatchery::new().agent(agent).workers(2, worker);
    // In a member this does not return.
    let ended = plan.enter().map_err(BoxError::from).and_then(|cluster| {
        let runtime = tokio::runtime::Runtime::new()?;
        let limit = Duration::from_secs(30);
        runtime.block_on(async { tokio::time::timeout(limit, attend(&cluster)).await })?
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("remote_actor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The program in which the master runs: it takes part as its members do.
async fn attend(cluster: &Cluster) -> Result<(), BoxError> {
    let handle = cluster.start().await?;
    handle.ready().await?;
    handle.messenger().call::<()>(Slot::agent(), "show", &()).await?;
    let total = handle.slot(Slot::worker(1)).actor::<Total>()?;
    cast!(total, ProxyMsg::Cast(40))?;
    let said = call!(total, ProxyMsg::Call, Question::HowMuch)??;
    println!("the master told it of 40, and asked: {}, says pid {}", said.total, said.pid);
    handle.shutdown().await?;
    Ok(())
}
