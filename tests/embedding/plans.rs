//! The clusters of this program.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use hatchery::supervision::{Directive, Fact, OneForOne, Reason, RestartType, Significant, from_fn};
use hatchery::{Cluster, Context, Hatchery, LocalAddr, Request};
use tokio::io::AsyncWriteExt;

/// What the tests start.
#[derive(Debug)]
pub struct Plans {
    /// An agent and two workers on one port.
    pub shop: Cluster,
    /// One worker on another.
    pub jobs: Cluster,
    /// Workers that do not come up.
    pub broken: Cluster,
    /// Gives up as soon as a worker dies.
    pub touchy: Cluster,
    /// Done when its worker is told so.
    pub errand: Cluster,
    /// A worker whose orphans are to be handed to this process.
    pub adopting: Cluster,
}

static PLANS: OnceLock<Plans> = OnceLock::new();

/// First thing in `main`.
pub fn enter() {
    let shop = Hatchery::new().listen("127.0.0.1:0").agent(agent).workers(2, worker);
    let jobs = Hatchery::new().name("jobs").listen("127.0.0.1:0").workers(1, worker);
    let broken = Hatchery::new().name("broken").agent(agent).workers(2, cannot);
    let touchy = Hatchery::new().name("touchy").workers(1, worker).tune("worker", |role| {
        role.strategy(from_fn(|fact, _view, _dice| match fact {
            Fact::Exited(exit) => Directive::Escalate(Reason::new(format!("a worker {exit}"))),
            _ => Directive::Ignore,
        }));
    });
    let adopting = Hatchery::new().name("adopting").workers(1, worker).adopt_descendants(true);
    let errand = Hatchery::new().name("errand").agent(agent).workers(2, errand).tune("worker", |role| {
        role.strategy(Significant::any(OneForOne::worker().restart(RestartType::Transient)));
    });
    let entered = hatchery::enter([shop, jobs, broken, touchy, errand, adopting]).expect("good plans");
    let [shop, jobs, broken, touchy, errand, adopting] = entered;
    PLANS.set(Plans { shop, jobs, broken, touchy, errand, adopting }).expect("once");
}

pub fn plans() -> &'static Plans {
    PLANS.get().expect("main has entered them")
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    Ok(())
}

/// Returns when it is told that it is done.
async fn errand(cx: Context) -> hatchery::Result<()> {
    let mut done = cx.messenger().stream::<()>("done");
    cx.ready();
    tokio::select! {
        biased;
        () = cx.stopping() => {}
        _ = done.next() => {}
    }
    Ok(())
}

async fn cannot(_: Context) -> Result<(), &'static str> {
    Err("no such table: users")
}

/// Tells who it is, to whoever connects and to whoever asks.
async fn worker(cx: Context) -> hatchery::Result<()> {
    let messenger = cx.messenger();
    if let Ok(mut listener) = cx.listener() {
        let address = match listener.local_addr()? {
            LocalAddr::Tcp(address) => Some(address),
            _ => None,
        };
        messenger.answer("address", move |_: Request<()>| async move { address.ok_or("no address") })?;
        let id = cx.id();
        let accepting = cx.clone();
        cx.spawn(async move {
            while let Some(mut stream) = listener.accept().await {
                accepting.spawn(async move {
                    let _ = stream.write_all(format!("{id}").as_bytes()).await;
                });
            }
        });
    }
    messenger.answer("stray", move |_: Request<()>| async move { stray().map_err(|error| error.to_string()) })?;
    let (asking, me) = (messenger.clone(), cx.id().to_string());
    messenger.answer("who", move |_: Request<()>| {
        let me = me.clone();
        async move { Ok::<_, String>(me) }
    })?;
    messenger.answer("ask who", move |request: Request<String>| {
        let asking = asking.clone();
        async move {
            let whom = asking.resolve(&request.body).map_err(|error| error.to_string())?;
            asking.call::<String>(whom, "who", &()).await.map_err(|error| error.to_string())
        }
    })?;
    let asking = messenger.clone();
    messenger.answer("ask the host", move |request: Request<u32>| {
        let asking = asking.clone();
        async move {
            let answer = asking.call::<u32>(hatchery::Slot::master(), "double", &request.body).await;
            answer.map_err(|error| error.to_string())
        }
    })?;
    messenger.on("throw", |_: hatchery::Message<()>| async { throw() });
    cx.ready();
    cx.stopping().await;
    Ok(())
}

/// Starts a process that leaves its group, its session and its parents behind. Returns its number.
fn stray() -> std::io::Result<u32> {
    let mut shell = Command::new("sh")
        .args(["-c", "(setsid sh -c 'echo $$; exec sleep 600' </dev/null &)"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = shell.stdout.take() {
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    }
    shell.wait()?;
    line.trim().parse().map_err(std::io::Error::other)
}

/// Where the workers of a cluster listen.
pub async fn address(handle: &hatchery::ClusterHandle) -> SocketAddr {
    let asked = handle.messenger().call::<SocketAddr>(hatchery::Slot::worker(0), "address", &()).await;
    asked.expect("a worker tells")
}

/// A time that no test should take.
pub const LONG: Duration = Duration::from_secs(30);

fn throw() {
    panic!("thrown");
}
