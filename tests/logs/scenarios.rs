//! What the families do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hatchery::log::{Logs, Rotation};
use hatchery::{Context, Hatchery, Request};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// The plan of a scenario, run.
pub fn run(scenario: &str, dir: &str, rest: &[String]) -> ExitCode {
    plan(scenario, Path::new(dir), rest).run()
}

/// The plan of a scenario. `rest`: its numbers.
pub fn plan(scenario: &str, dir: &Path, rest: &[String]) -> Hatchery {
    let number = |at: usize| rest.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (lines, pause) = (number(0), Duration::from_micros(number(1)));
    let logs = Logs::new(dir);
    let port = format!("unix:{}", port(dir, scenario).display());
    let plan = Hatchery::new().listen(port).agent(agent).tune("agent", |agent| {
        agent.restart_delay(Duration::from_millis(1)).restart_limit(None);
    });
    let workers = move |cx: Context| worker(cx, lines, pause, 0);
    match scenario {
        "count" => plan.workers(2, workers).logs(logs),
        "count hard" => {
            let worker = move |cx: Context| worker(cx, lines, pause, 10);
            plan.workers(2, worker).logs(logs.rotation(Rotation::daily().or_size(400_000)))
        }
        "count in threads" => plan.workers(2, workers).logs(logs).in_threads(),
        "count in little room" => {
            let go = dir.with_extension("go");
            let waiting = move |cx: Context| waiting(cx, go.clone(), lines);
            plan.workers(1, waiting).logs(logs.buffer(1 << 20))
        }
        "count in json" => plan.workers(1, workers).logs(logs.json().kind("access", "web::access")),
        "count in small files" => plan.workers(2, workers).logs(logs.rotation(Rotation::daily().or_size(10_000))),
        // Where nobody can listen, either.
        "nowhere" => Hatchery::new().agent(agent).logs(logs),
        "fail at once" => plan.workers(1, failing).logs(logs),
        "fail before the agent" => Hatchery::new().agent(failing).logs(logs),
        other => panic!("there is no scenario {other:?}"),
    }
}

/// Where a family is told what to do.
pub fn port(dir: &Path, scenario: &str) -> PathBuf {
    dir.with_extension(scenario.replace(' ', "-"))
}

fn begin(cx: &Context) -> hatchery::Result<()> {
    hatchery::log::init(cx)?;
    println!("pid {} {}", cx.slot(), std::process::id());
    Ok(())
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    begin(&cx)?;
    tracing::info!("the agent is here");
    obey(&cx)?;
    cx.ready();
    if cx.cluster_ready().await {
        println!("ready");
    }
    pass_on(cx).await
}

/// Does what is asked for by messages, and counts `lines`, with a pause after each.
async fn worker(cx: Context, lines: u64, pause: Duration, errors: u64) -> hatchery::Result<()> {
    begin(&cx)?;
    obey(&cx)?;
    cx.ready();
    cx.cluster_ready().await;
    count(lines, pause, errors).await;
    println!("{} has counted", cx.slot());
    cx.stopping().await;
    Ok(())
}

/// The same, when a file is there.
async fn waiting(cx: Context, go: PathBuf, lines: u64) -> hatchery::Result<()> {
    begin(&cx)?;
    obey(&cx)?;
    cx.ready();
    while !go.exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    count(lines, Duration::ZERO, 0).await;
    println!("{} has counted", cx.slot());
    cx.stopping().await;
    Ok(())
}

/// One in so many is an error; with 0, none.
async fn count(lines: u64, pause: Duration, errors: u64) {
    for n in 1..=lines {
        match errors > 0 && n % errors == 0 {
            true => tracing::error!("counted n={n} of {lines}!"),
            false => tracing::info!("counted n={n} of {lines}!"),
        }
        match pause.is_zero() {
            // Others have their turn.
            true if n % 100 == 0 => tokio::task::yield_now().await,
            true => {}
            false => tokio::time::sleep(pause).await,
        }
    }
}

fn obey(cx: &Context) -> hatchery::Result<()> {
    let messenger = cx.messenger();
    let own = cx.clone();
    messenger.answer("do", move |what: Request<String>| {
        let cx = own.clone();
        async move {
            match what.body.as_str() {
                "fail to format" => drop(hatchery::contain(|| tracing::info!("begun and {}", Unspeakable))),
                "log at length" => tracing::info!("{}", "long ".repeat(20_000)),
                "exit" => {
                    let _ = std::panic::catch_unwind(|| panic!("the last words"));
                    std::process::exit(3)
                }
                "throw" => drop(cx.spawn(async { thrown_here() })),
                "report" => cx.report_exception("reported here"),
                "abort" => drop(cx.spawn(async { aborted_here() })),
                "forge" => tracing::warn!("first\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J"),
                "fail" => tracing::error!(code = 7, "failed"),
                "access" => tracing::info!(target: "web::access::slow", path = "/", "answered"),
                "span" => {
                    let span = tracing::info_span!("request", id = 9);
                    span.in_scope(|| tracing::info!("within"));
                }
                other => panic!("nobody can {other:?}"),
            }
            Ok::<_, String>(())
        }
    })?;
    Ok(())
}

/// Passes on what it is told over the socket of the family: a slot, and what that is to do. Answers when it has begun to.
async fn pass_on(cx: Context) -> hatchery::Result<()> {
    let mut listener = cx.listener()?;
    while let Some(stream) = listener.accept().await {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let (slot, what) = line.trim_end().split_once(' ').ok_or("nobody is to do anything")?;
        let (messenger, slot) = (cx.messenger(), cx.messenger().resolve(slot)?);
        // What it does may be its end.
        let _ = messenger.call::<()>(slot, "do", &what.to_owned()).await;
        stream.write_all(b"begun\n").await?;
    }
    Ok(())
}

#[inline(never)]
fn thrown_here() {
    panic!("thrown here")
}

/// A panic where none can unwind: the process cannot go on.
#[inline(never)]
extern "C" fn aborted_here() {
    panic!("aborted here")
}

struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("not to be said")
    }
}

async fn failing(cx: Context) -> hatchery::Result<()> {
    begin(&cx)?;
    tracing::info!("about to fail");
    panic!("failed to begin")
}
