//! A small web service that shows what a cluster does, and lets you break it.
//!
//! ```console
//! $ cargo run --release --features cli --example web
//! ready http://127.0.0.1:8000 master=4238 agent=4240 workers=4241,4242
//! ```
//!
//! Or in the background, with the commands of [`hatchery::cli`]: `web start --daemon`, `web status`, `web restart worker/1`,
//! `web scale worker 4`, `web stop`; `web help` has them all.
//!
//! Then, from another terminal, `curl` these, and `kill -9` whom you like. `RUST_LOG=info` shows what the master sees and
//! decides. Ctrl-C stops the master, and with it everything else.
//!
//! | Route | Does |
//! |---|---|
//! | `/` | says who answers |
//! | `/count` | asks the agent for the next number |
//! | `/slow?ms=500` | answers after that time |
//! | `/panic` | an uncaught exception in this worker |
//! | `/agent/panic` | one in a handler of the agent |
//! | `/exit?code=3` | this worker's process exits |
//! | `/spin?ms=500` | blocks this worker's runtime; with `--heartbeat 1000` it is replaced when that lasts 30 s |
//! | `/leave` | this worker's function returns |
//! | `/send?to=all&text=hi` | sends: to `all`, `workers`, `agent`, `random`, `worker/1`, `worker/1%231` |
//! | `/inbox`, `/agent/inbox` | what was received |
//! | `/status` | who is there, how they are, and what ended those before |

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use clap::Parser;
use hatchery::cli::Command;
use hatchery::log::Logs;
use hatchery::supervision::Intensity;
use hatchery::{
    CallError, Context, Hatchery, Heartbeat, Members, Message, Messenger, Recipient, Request, Role, RoleSettings,
    SendError, Slot, Target,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, Notify};
use tracing_subscriber::filter::LevelFilter;

/// Serves a small web page from several processes.
#[derive(Debug, Parser)]
pub(crate) struct Web {
    #[command(flatten)]
    options: Options,
    /// Without one, it starts in the foreground.
    #[command(subcommand)]
    command: Option<Command>,
}

/// What can be said of it, also behind a command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to listen: HOST:PORT, or unix:PATH.
    #[arg(long, global = true, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: String,
    /// How many workers. Default: one per core.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How many young deaths of a slot, in how many seconds, are still restarted, as in 5/30; or off.
    #[arg(long, global = true, value_name = "N/SECS|off", value_parser = limit)]
    restart_limit: Option<Limit>,
    /// How often members are asked whether their runtime turns over: stuck for 30 of these times, one is replaced. Off by
    /// default.
    #[arg(long, global = true, value_name = "MS")]
    heartbeat: Option<u64>,
    /// How long members may outlive a killed master.
    #[arg(long, global = true, value_name = "MS", default_value = "5000")]
    orphan_grace: u64,
}

/// A restart limit, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(Option<Intensity>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "off" {
        return Ok(Limit(None));
    }
    let wrong = || format!("{text:?} is neither N/SECS nor off");
    let (restarts, secs) = text.split_once('/').ok_or_else(wrong)?;
    let (restarts, secs): (usize, u64) = (restarts.parse().map_err(|_| wrong())?, secs.parse().map_err(|_| wrong())?);
    Ok(Limit(Some(Intensity::new(restarts, Duration::from_secs(secs)))))
}

fn main() -> ExitCode {
    let web = Web::parse();
    // hatchery tells by `tracing` what happens and what it decides, to whoever listens: RUST_LOG=info shows it. Members that have
    // a log directory log there.
    let elsewhere = hatchery::is_member() && web.log_dir().is_some();
    let level = std::env::var("RUST_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    if let Some(level) = level.filter(|_| !elsewhere) {
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    }
    run(web)
}

impl Web {
    fn log_dir(&self) -> Option<&PathBuf> {
        match &self.command {
            Some(Command::Start(start)) => start.log_dir.as_ref(),
            Some(_) | None => None,
        }
    }
}

/// Does what a command says, or serves.
pub(crate) fn run(Web { options, command }: Web) -> ExitCode {
    match command {
        None => cluster(options, None).run(),
        Some(command) => command.run(|start| cluster(options, start.log_dir.clone())),
    }
}

/// The plan: one agent, and workers that share a port. They log into `log_dir`.
fn cluster(options: Options, log_dir: Option<PathBuf>) -> Hatchery {
    let Options { listen, workers, restart_limit, heartbeat, orphan_grace } = options;
    let heartbeat = heartbeat.map(Duration::from_millis).map(|time| Heartbeat::every(time).timeout(30 * time));
    let tune = move |role: &mut RoleSettings| {
        if let Some(Limit(limit)) = restart_limit {
            role.restart_limit(limit);
        }
        role.heartbeat(heartbeat);
    };
    let logged = log_dir.is_some();
    let plan = Hatchery::new()
        .listen(listen)
        .orphan_grace(Duration::from_millis(orphan_grace))
        .agent(move |cx| agent(cx, logged))
        .workers(workers.unwrap_or_else(hatchery::per_core), move |cx| worker(cx, logged))
        .tune(Role::AGENT, tune)
        .tune(Role::WORKER, tune);
    match log_dir {
        Some(dir) => plan.logs(Logs::new(dir)),
        None => plan,
    }
}

/// The last texts that a member received.
type Inbox = Arc<Mutex<VecDeque<Text>>>;

/// A text, as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Text {
    from: String,
    text: String,
}

/// How many texts an inbox keeps.
const KEPT: usize = 1000;

/// Collects the texts that are sent to this member.
fn collect(messenger: &Messenger) -> Inbox {
    let inbox = Inbox::default();
    let texts = inbox.clone();
    messenger.on("text", move |message: Message<String>| {
        let texts = texts.clone();
        async move {
            let mut texts = texts.lock().await;
            if texts.len() == KEPT {
                texts.pop_front();
            }
            texts.push_back(Text { from: message.from.to_string(), text: message.body });
        }
    });
    inbox
}

/// The agent: counts for everybody, and tells the world when the cluster is ready.
async fn agent(cx: Context, logged: bool) -> hatchery::Result<()> {
    if logged {
        hatchery::log::init(&cx)?;
    }
    let messenger = cx.messenger();
    let hits = Arc::new(AtomicU64::new(0));
    messenger.answer("count", move |_: Request<()>| {
        let hits = hits.clone();
        async move { Ok::<_, String>((hits.fetch_add(1, Ordering::Relaxed) + 1, std::process::id())) }
    })?;
    messenger.on("panic", throw);
    let inbox = collect(&messenger);
    messenger.answer("inbox", move |_: Request<()>| {
        let inbox = inbox.clone();
        async move { Ok::<_, String>(inbox.lock().await.clone()) }
    })?;
    // Answered in its turn, after all that the caller has sent before.
    messenger.answer("received?", |_: Request<()>| async { Ok::<_, String>(()) })?;
    cx.ready();
    // A successor of this process is told, too: the world need not be.
    if cx.cluster_ready().await && cx.incarnation() == hatchery::Incarnation::FIRST {
        let listener = cx.listener()?.local_addr()?;
        let roster = cx.members().await.current();
        let pids =
            |role| roster.of(role).filter_map(|member| member.pid).map(|pid| pid.to_string()).collect::<Vec<_>>();
        let (agent, workers) = (pids(Role::AGENT).join(","), pids(Role::WORKER).join(","));
        let line = format!("ready {} master={} agent={agent} workers={workers}\n", url(&listener), roster.master_pid);
        // Whoever reads it may be slow: the agent has others to serve.
        let mut stdout = tokio::io::stdout();
        stdout.write_all(line.as_bytes()).await?;
        stdout.flush().await?;
    }
    Ok(())
}

/// A handler with a fault.
fn throw(_: Message<()>) {
    panic!("asked to")
}

fn url(address: &hatchery::LocalAddr) -> String {
    match address {
        hatchery::LocalAddr::Tcp(address) => format!("http://{address}"),
        other => other.to_string(),
    }
}

/// What the handlers of a worker share.
#[derive(Clone)]
struct App {
    cx: Context,
    messenger: Messenger,
    members: Members,
    inbox: Inbox,
    leave: Arc<Notify>,
}

/// A worker: accepts on the port that all workers share.
async fn worker(cx: Context, logged: bool) -> hatchery::Result<()> {
    if logged {
        hatchery::log::init(&cx)?;
    }
    let messenger = cx.messenger();
    let inbox = collect(&messenger);
    messenger.answer("received?", |_: Request<()>| async { Ok::<_, String>(()) })?;
    let leave = Arc::new(Notify::new());
    let app = App { cx: cx.clone(), messenger, members: cx.members().await, inbox, leave: leave.clone() };
    let pid = HeaderValue::from(std::process::id());
    let router = Router::new()
        .route("/", get(hello))
        .route("/count", get(count))
        .route("/slow", get(slow))
        .route("/panic", get(panic_in_the_background))
        .route("/agent/panic", get(panic_in_the_agent))
        .route("/exit", get(exit))
        .route("/spin", get(spin))
        .route("/leave", get(leave_by_returning))
        .route("/send", get(send))
        .route("/inbox", get(inbox_of_this_worker))
        .route("/agent/inbox", get(inbox_of_the_agent))
        .route("/status", get(status))
        .layer(map_response(move |mut response: Response| {
            response.headers_mut().insert("x-worker", pid.clone());
            async { response }
        }))
        .with_state(app);
    let listener = cx.listener()?;
    cx.ready();
    tokio::select! {
        served = hatchery::axum::serve(listener, router, &cx) => served,
        () = leave.notified() => Ok(()),
    }
}

async fn hello(State(app): State<App>) -> String {
    let (slot, incarnation) = (app.cx.slot(), app.cx.incarnation());
    format!("hello from {slot} incarnation {incarnation} pid {}\n", std::process::id())
}

async fn count(State(app): State<App>) -> Result<Response, Failed> {
    let (count, agent_pid): (u64, u32) = app.messenger.call(Slot::agent(), "count", &()).await?;
    tracing::info!(count, agent_pid, "counted");
    Ok(Json(json!({ "count": count, "agent_pid": agent_pid })).into_response())
}

#[derive(Deserialize)]
struct Millis {
    #[serde(default = "half_a_second")]
    ms: u64,
}

fn half_a_second() -> u64 {
    500
}

async fn slow(app: State<App>, Query(Millis { ms }): Query<Millis>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    hello(app).await
}

async fn panic_in_the_background(State(app): State<App>) -> &'static str {
    // Nobody awaits it: the exception is nobody's but the process's.
    app.cx.spawn(async { panic!("asked to") });
    "thrown\n"
}

async fn panic_in_the_agent(State(app): State<App>) -> Result<&'static str, Failed> {
    app.messenger.to_agent("panic", &()).await?;
    Ok("thrown in the agent\n")
}

#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    code: i32,
}

#[allow(clippy::disallowed_methods, reason = "what the library may not do, its user may")]
async fn exit(Query(Code { code }): Query<Code>) -> String {
    std::process::exit(code)
}

async fn spin(app: State<App>, Query(Millis { ms }): Query<Millis>) -> String {
    // What a runtime cannot defend itself against: no await in it.
    std::thread::sleep(Duration::from_millis(ms));
    hello(app).await
}

async fn leave_by_returning(State(app): State<App>) -> &'static str {
    app.leave.notify_one();
    "leaving\n"
}

#[derive(Deserialize)]
struct Send {
    to: String,
    #[serde(default)]
    text: String,
}

async fn send(State(app): State<App>, Query(Send { to, text }): Query<Send>) -> Result<&'static str, Failed> {
    let App { messenger, .. } = &app;
    match to.as_str() {
        "all" => messenger.broadcast("text", &text).await?,
        "workers" => messenger.to_workers("text", &text).await?,
        "agent" => messenger.to_agent("text", &text).await?,
        "random" => messenger.to_random("text", &text).await?,
        name => match messenger.resolve(name)? {
            Recipient::Member(member) => {
                messenger.to(member, "text", &text).await?;
                // Sent is not delivered. Between two members nothing overtakes: where this arrives, that has.
                messenger.call_within::<()>(Duration::from_secs(2), member, "received?", &()).await?;
            }
            other => messenger.send(Target::One(other), "text", &text).await?,
        },
    }
    Ok("sent\n")
}

async fn inbox_of_this_worker(State(app): State<App>) -> Json<VecDeque<Text>> {
    Json(app.inbox.lock().await.clone())
}

async fn inbox_of_the_agent(State(app): State<App>) -> Result<Json<VecDeque<Text>>, Failed> {
    Ok(Json(app.messenger.call(Slot::agent(), "inbox", &()).await?))
}

async fn status(State(app): State<App>) -> Json<serde_json::Value> {
    let roster = app.members.current();
    let members = roster.members.iter().map(|member| {
        json!({
            "slot": member.id.slot().to_string(),
            "incarnation": member.id.incarnation().get(),
            "pid": member.pid,
            "state": member.state.to_string(),
            "restarts": member.restarts,
            "exceptions": member.exceptions,
            "last_exit": member.last_exit,
            "retry_in_ms": member.retry_in.map(|left| left.as_millis() as u64),
        })
    });
    Json(json!({ "master_pid": roster.master_pid, "members": members.collect::<Vec<_>>() }))
}

/// What could not be sent or asked, as the client sees it.
struct Failed(CallError);

impl From<CallError> for Failed {
    fn from(error: CallError) -> Failed {
        Failed(error)
    }
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Failed {
        Failed(CallError::Send(error))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            CallError::Send(SendError::NoSuchMember(_)) => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        (status, format!("{}\n", self.0)).into_response()
    }
}
