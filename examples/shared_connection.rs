//! One connection to Redis for all workers: the agent holds it, and each worker follows keys as if it were its own.
//!
//! ```console
//! $ redis-server --save '' --port 6379
//! $ cargo run --release --example shared_connection -- --workers 2
//! ready http://127.0.0.1:8000 master=4238 agent=4240 workers=4241,4242
//! ```
//!
//! Then, from another terminal; each worker says what it has heard of the key `mood`:
//!
//! ```console
//! $ curl 'localhost:8000/heard'
//! worker/0 pid 4241 connected, mood: nothing
//! worker/1 pid 4242 connected, mood: nothing
//! $ curl 'localhost:8000/publish?key=mood&value=fine'
//! published
//! $ curl 'localhost:8000/heard'
//! worker/0 pid 4241 connected, mood: nothing "fine"
//! worker/1 pid 4242 connected, mood: nothing "fine"
//! $ curl 'localhost:8000/cache/set?key=motto&value=onward&seconds=60'
//! set
//! $ curl 'localhost:8000/cache/get?key=motto'
//! onward
//! ```
//!
//! `redis-cli client list` shows two connections of this program, however many workers there are: one that is told of changes,
//! and one for commands. Then break it:
//!
//! | Do | And `/heard` ends with |
//! |---|---|
//! | `kill -9` the Redis server | `not connected, … "fine" gap`: what was heard last may be old |
//! | start it again | `connected, … gap nothing`: subscribed again; this server has kept nothing |
//! | `kill -STOP` the Redis server | the same gap, after four seconds: it answers no ping; `kill -CONT` ends it |
//! | `kill -9` the agent | a gap, and what Redis has: another agent has connected |
//! | `kill -9` a worker | what Redis has: its successor hears the last value first |
//!
//! `redis-cli set mood bad`, and then `redis-cli publish mood whatever`, is as good as `/publish`. `--follow mood,weather` has
//! more keys followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Parser;
use futures_util::StreamExt;
use hatchery::shared::{Change, Follower, SharedClient, Updates, Upstream};
use hatchery::{
    BoxError, CallError, Context, Hatchery, Incarnation, LocalAddr, Members, Messenger, Request, Role, SendError,
};
use redis::AsyncCommands;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing_subscriber::filter::LevelFilter;

/// Serves what Redis tells, from several processes, over one connection.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// The Redis server.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:6379", value_parser = server)]
    redis: redis::Client,
    /// Where to listen: HOST:PORT, or unix:PATH.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: String,
    /// How many workers. Default: one per core.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// The keys that workers follow.
    #[arg(long, value_name = "KEYS", default_value = "mood", value_delimiter = ',')]
    follow: Vec<String>,
}

/// Opens no connection: members come by here, too.
fn server(address: &str) -> redis::RedisResult<redis::Client> {
    redis::Client::open(format!("redis://{address}/"))
}

fn main() -> ExitCode {
    if let Some(level) = std::env::var("RUST_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok()) {
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    }
    cluster(Options::parse()).run()
}

/// The plan: an agent with the connection, and workers that share it, and a port.
pub(crate) fn cluster(options: Options) -> Hatchery {
    let Options { redis, listen, workers, follow } = options;
    Hatchery::new()
        .listen(listen)
        .agent(move |cx| agent(cx, redis.clone()))
        .workers(workers.unwrap_or_else(hatchery::per_core), move |cx| worker(cx, follow.clone()))
}

/// Longer than a Redis server that is well takes for anything that is asked here. One that takes longer is as good as gone, and
/// those who wait should hear so before they give up themselves.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often it is asked whether it is there. A server that hangs, or a cable that is cut, closes no connection.
const PULSE: Duration = Duration::from_secs(1);

/// So many messages are read at once, and answered with one question to Redis.
const BATCH: usize = 1_024;

/// What is cached is put under names of its own, beside the keys that are followed.
const CACHE: &str = "cache:";

/// The client, in the agent: two connections, because one that is subscribed takes no other commands.
struct Redis {
    channels: PubSubSink,
    reader: Arc<Reader>,
}

/// What may be asked of Redis.
#[derive(Serialize, Deserialize)]
enum Ask {
    Get { key: String },
    Set { key: String, value: String, seconds: u64 },
}

/// A key is a Redis key, and the channel on which its changes are told.
impl SharedClient for Redis {
    const NAME: &'static str = "redis";
    /// `None`: there is no such key.
    type Value = Option<String>;
    type Request = Ask;
    type Reply = Option<String>;

    async fn subscribe(&self, key: &str) -> Result<(), BoxError> {
        self.channels.clone().subscribe(key).await?;
        // In this order: what is set after the reading is told.
        Ok(self.reader.read(vec![key.to_owned()]).await?)
    }

    async fn unsubscribe(&self, key: &str) -> Result<(), BoxError> {
        Ok(self.channels.clone().unsubscribe(key).await?)
    }

    async fn publish(&self, key: &str, value: Option<String>) -> Result<(), BoxError> {
        let mut both = redis::pipe();
        both.atomic();
        match &value {
            Some(value) => both.set(key, value).ignore(),
            None => both.del(key).ignore(),
        };
        both.publish(key, value.unwrap_or_default()).ignore();
        Ok(both.query_async(&mut self.reader.commands.clone()).await?)
    }

    async fn invoke(&self, ask: Ask) -> Result<Option<String>, BoxError> {
        let mut commands = self.reader.commands.clone();
        match ask {
            Ask::Get { key } => Ok(commands.get(format!("{CACHE}{key}")).await?),
            Ask::Set { key, value, seconds } => {
                commands.set_ex::<_, _, ()>(format!("{CACHE}{key}"), value, seconds).await?;
                Ok(None)
            }
        }
    }
}

impl Redis {
    async fn connect(server: redis::Client, upstream: Upstream<Option<String>>) -> Result<Redis, BoxError> {
        let config = redis::AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let commands = server.get_multiplexed_async_connection_with_config(&config).await?;
        let (channels, messages) = patiently(server.get_async_pubsub()).await?.split();
        let (turn, heard) = (tokio::sync::Mutex::default(), AtomicU64::new(0));
        let reader = Arc::new(Reader { commands, turn, heard, upstream });
        tokio::spawn(attend(reader.clone(), channels.clone(), messages));
        Ok(Redis { channels, reader })
    }
}

/// For what has no deadline of its own.
async fn patiently<T>(work: impl Future<Output = redis::RedisResult<T>>) -> Result<T, BoxError> {
    match timeout(PATIENCE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err("redis does not answer".into()),
    }
}

/// Reads keys, and says what they are.
struct Reader {
    commands: MultiplexedConnection,
    /// One at a time: who reads later says so later, and no value is followed by one that is older.
    turn: tokio::sync::Mutex<()>,
    /// How many messages have come.
    heard: AtomicU64,
    upstream: Upstream<Option<String>>,
}

impl Reader {
    async fn read(&self, keys: Vec<String>) -> redis::RedisResult<()> {
        let _turn = self.turn.lock().await;
        // Anybody may have put anything there: what is no text would otherwise be an error, for all of them.
        let values: Vec<Option<Vec<u8>>> = self.commands.clone().mget(&keys).await?;
        for (key, value) in keys.into_iter().zip(values) {
            let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
            self.upstream.changed(key, value).await;
        }
        Ok(())
    }
}

/// Attends to a connection until it is lost, or not the present one any more.
async fn attend(reader: Arc<Reader>, channels: PubSubSink, messages: PubSubStream) {
    let why = tokio::select! {
        () = reader.upstream.closed() => return,
        Err(why) = listen(&reader, messages) => why,
        Err(why) = watch(&reader, channels) => why,
    };
    reader.upstream.lost(why).await;
}

/// A message says that a key has changed, and not to what: it comes by another connection than what is read, so which of the two
/// is newer could not be told. However fast messages come, each key that they name is read once for all that have come.
async fn listen(reader: &Reader, messages: PubSubStream) -> Result<Infallible, BoxError> {
    let mut messages = messages.ready_chunks(BATCH);
    while let Some(batch) = messages.next().await {
        let keys: BTreeSet<String> = batch.iter().map(|message| message.get_channel_name().to_owned()).collect();
        reader.read(keys.into_iter().collect()).await?;
        reader.heard.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }
    Err("redis has closed the connection".into())
}

async fn watch(reader: &Reader, mut channels: PubSubSink) -> Result<Infallible, BoxError> {
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        reader.commands.clone().ping::<()>().await?;
        let before = reader.heard.load(Ordering::Relaxed);
        match patiently(channels.ping::<redis::Value>()).await {
            // The answer is behind so many messages that it has not come yet.
            Err(_) if reader.heard.load(Ordering::Relaxed) > before => {}
            answered => drop(answered?),
        }
    }
}

/// The agent: has the connection, and tells the world when the cluster is ready. It is so without Redis, too.
async fn agent(cx: Context, server: redis::Client) -> hatchery::Result<()> {
    cx.lead(move |upstream| Redis::connect(server.clone(), upstream))?;
    cx.ready();
    // A successor of this process is told, too: the world need not be.
    if cx.cluster_ready().await && cx.incarnation() == Incarnation::FIRST {
        let address = match cx.listener()?.local_addr()? {
            LocalAddr::Tcp(address) => format!("http://{address}"),
            other => other.to_string(),
        };
        let roster = cx.members().await.current();
        let pids = |role| {
            let pids = roster.of(role).filter_map(|member| member.pid).map(|pid| pid.to_string());
            pids.collect::<Vec<_>>().join(",")
        };
        let (agent, workers) = (pids(Role::AGENT), pids(Role::WORKER));
        let line = format!("ready {address} master={} agent={agent} workers={workers}\n", roster.master_pid);
        // Whoever reads it may be slow: the agent has others to serve.
        let mut stdout = tokio::io::stdout();
        stdout.write_all(line.as_bytes()).await?;
        stdout.flush().await?;
    }
    Ok(())
}

/// What a worker has heard of a key.
enum Heard {
    Value(Option<String>),
    Missed(u64),
    Gap,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Value(Some(value)) => write!(f, "{value:?}"),
            Heard::Value(None) => f.write_str("nothing"),
            Heard::Missed(count) => write!(f, "({count} missed)"),
            Heard::Gap => f.write_str("gap"),
        }
    }
}

/// What it has heard of all of them, for each the last so many.
type Notes = Arc<Mutex<BTreeMap<String, VecDeque<Heard>>>>;

/// So much of each key is shown.
const SHOWN: usize = 20;

async fn note(mut updates: Updates<Redis>, notes: Notes) {
    while let Some(change) = updates.next().await {
        let heard = match change {
            Change::Value { value, missed: 0, .. } => vec![Heard::Value(value)],
            Change::Value { value, missed, .. } => vec![Heard::Missed(missed), Heard::Value(value)],
            Change::Gap => vec![Heard::Gap],
            // What a later version of hatchery may tell.
            _ => continue,
        };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = notes.entry(updates.key().to_owned()).or_default();
        of_key.extend(heard);
        of_key.drain(..of_key.len().saturating_sub(SHOWN));
    }
}

/// What the handlers of a worker share.
#[derive(Clone)]
struct App {
    redis: Follower<Redis>,
    messenger: Messenger,
    members: Members,
}

/// A worker: follows the keys, and serves on the port that all workers share. It does so without Redis, too.
async fn worker(cx: Context, keys: Vec<String>) -> hatchery::Result<()> {
    let (redis, messenger, notes) = (cx.follow::<Redis>(), cx.messenger(), Notes::default());
    for key in &keys {
        cx.spawn(note(redis.subscribe(key).await?, notes.clone()));
    }
    let own = redis.clone();
    messenger.answer("heard", move |_: Request<()>| {
        let line = heard_here(&own, &notes);
        async move { Ok::<_, String>(line) }
    })?;
    let router = Router::new()
        .route("/heard", get(heard))
        .route("/publish", get(publish))
        .route("/cache/get", get(cache_get))
        .route("/cache/set", get(cache_set))
        .with_state(App { redis, messenger, members: cx.members().await });
    let listener = cx.listener()?;
    cx.ready();
    hatchery::axum::serve(listener, router, &cx).await
}

fn heard_here(redis: &Follower<Redis>, notes: &Notes) -> String {
    let connected = if redis.is_connected() { "connected" } else { "not connected" };
    let mut line = format!("pid {} {connected}", std::process::id());
    for (key, heard) in notes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        line += &format!(", {key}:");
        heard.iter().for_each(|heard| line += &format!(" {heard}"));
    }
    line
}

/// What a handler answers when something was not done.
type Failed = (StatusCode, String);

/// Those who ask will not wait longer than this.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks all workers: whoever answers here is only one of them.
async fn heard(State(app): State<App>) -> String {
    let mut lines = String::new();
    for worker in app.members.current().of(Role::WORKER) {
        let slot = worker.id.slot();
        match app.messenger.call_within::<String>(DEADLINE, slot, "heard", &()).await {
            Ok(line) => lines += &format!("{slot} {line}\n"),
            Err(error) => lines += &format!("{slot} {error}\n"),
        }
    }
    lines
}

#[derive(Deserialize)]
struct Publish {
    key: String,
    value: Option<String>,
}

/// Without a value, the key is removed.
async fn publish(
    State(app): State<App>,
    Query(Publish { key, value }): Query<Publish>,
) -> Result<&'static str, Failed> {
    app.redis.publish_within(DEADLINE, &key, value).await.map_err(failed)?;
    Ok("published\n")
}

#[derive(Deserialize)]
struct CacheGet {
    key: String,
}

async fn cache_get(State(app): State<App>, Query(CacheGet { key }): Query<CacheGet>) -> Result<Response, Failed> {
    Ok(match app.redis.invoke_within(DEADLINE, Ask::Get { key }).await.map_err(failed)? {
        Some(value) => format!("{value}\n").into_response(),
        None => (StatusCode::NOT_FOUND, "nothing\n").into_response(),
    })
}

#[derive(Deserialize)]
struct CacheSet {
    key: String,
    value: String,
    seconds: u64,
}

async fn cache_set(State(app): State<App>, Query(set): Query<CacheSet>) -> Result<&'static str, Failed> {
    let CacheSet { key, value, seconds } = set;
    app.redis.invoke_within(DEADLINE, Ask::Set { key, value, seconds }).await.map_err(failed)?;
    Ok("set\n")
}

/// What was not done, or perhaps not, as the client sees it.
fn failed(error: CallError) -> Failed {
    let status = match &error {
        CallError::Send(SendError::BadAction(_)) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{error}\n"))
}
