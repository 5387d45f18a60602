//! What an embedding program keeps for itself, and what it has to know.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use hatchery::{Cluster, ClusterEvent, Context, Hatchery, Slot};
use libtest_mimic::Trial;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::handle::{ready, until};
use crate::plans::{LONG, plans};
use crate::processes::Held;
use crate::{story, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        story("no signal is handled, no orphan adopted, no panic hook changed", untouched),
        story("the children of the host are its own to wait for", own_children),
        story("a descendant that has left its group and parents is ended with its worker", stray),
        story("with adoption, too, and it is no zombie afterwards", adopted_stray),
        trial("a member that finds itself within a runtime says what to move", within_a_runtime),
        trial("a host that ignores SIGCHLD is told so, and nothing is started", deaf),
        trial("a runtime that cannot drive a cluster is told so at the start", half_a_runtime),
    ]
}

fn status_line(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is ours");
    status.lines().find(|line| line.starts_with(name)).expect("a field").to_owned()
}

/// With one of the two missing, a task of the cluster would panic where nobody hears it, and nobody would be told anything.
fn half_a_runtime() {
    let with = |io: bool, time: bool| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        if io {
            builder.enable_io();
        }
        if time {
            builder.enable_time();
        }
        builder.build().expect("a runtime")
    };
    for runtime in [with(false, true), with(true, false), with(false, false)] {
        let start = std::panic::AssertUnwindSafe(|| runtime.block_on(plans().shop.start()).map(drop));
        assert!(std::panic::catch_unwind(start).is_err(), "as its docs say");
    }
}

static PANICS: AtomicU32 = AtomicU32::new(0);

async fn untouched() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        previous(info);
    }));
    let before = (status_line("SigCgt"), status_line("SigIgn"), status_line("SigBlk"));
    let handle = ready(&plans().shop).await;
    assert_eq!((status_line("SigCgt"), status_line("SigIgn"), status_line("SigBlk")), before);
    let panicked = tokio::spawn(async { panic!("the host's own") }).await;
    assert!(panicked.is_err());
    assert!(PANICS.load(Ordering::Relaxed) >= 1, "it is still the host's");
    assert_eq!(handle.status().ready(hatchery::Role::WORKER), 2);
    assert_eq!(handle.shutdown().await, Ok(()));
}

/// A death has the nursery look for strangers: not for these.
async fn own_children() {
    let handle = ready(&plans().jobs).await;
    let mut events = handle.events();
    let mut child = Command::new("sh").args(["-c", "exit 7"]).process_group(0).spawn().expect("a shell");
    let pid = Pid::from_child(&child);
    // Ended, and left as it is.
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    tokio::task::spawn_blocking(move || waitid(WaitId::Pid(pid), ended)).await.expect("no panic").expect("it is ours");
    for incarnation in 2..5 {
        Held::members(&handle).kill();
        until(&mut events, |event| match event {
            ClusterEvent::Ready { member } => (member.incarnation().get() == incarnation).then_some(()),
            _ => None,
        })
        .await;
    }
    assert_eq!(handle.shutdown().await, Ok(()));
    assert_eq!(child.wait().expect("nobody else has").code(), Some(7));
}

async fn with_a_stray(cluster: &Cluster) -> u32 {
    let handle = ready(cluster).await;
    let mut events = handle.events();
    let asked = handle.messenger().call_within::<u32>(LONG, Slot::worker(0), "stray", &()).await;
    let pid = asked.expect("it starts one");
    let stray = Held::take([pid]);
    let worker = handle.status().members.iter().find(|member| member.id.slot() == Slot::worker(0)).and_then(|m| m.pid);
    Held::take(worker).kill();
    until(&mut events, |event| match event {
        ClusterEvent::Exited { member, .. } => (member.slot() == Slot::worker(0)).then_some(()),
        _ => None,
    })
    .await;
    stray.until_gone();
    assert_eq!(handle.shutdown().await, Ok(()));
    pid
}

async fn stray() {
    with_a_stray(&plans().jobs).await;
}

async fn adopted_stray() {
    let pid = with_a_stray(&plans().adopting).await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it was reaped before the end was told");
    // For the other tests.
    nix::sys::prctl::set_child_subreaper(false).expect("it is allowed to all");
}

async fn never_ready(_: Context) -> hatchery::Result<()> {
    Ok(())
}

/// As under `#[tokio::main]`: the master gets through, its members do not.
pub fn inside_a_runtime() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let end = runtime.block_on(async {
        let handle =
            Hatchery::new().workers(1, never_ready).enter().expect("a good plan").start().await.expect("it starts");
        handle.ready().await
    });
    eprintln!("ready: {}", end.expect_err("the members cannot"));
    ExitCode::SUCCESS
}

/// This program with an argument, started through others. Its exit code and its stderr.
fn run(through: &[&str], argument: &str) -> (Option<i32>, String) {
    let own = std::env::current_exe().expect("it runs").to_string_lossy().into_owned();
    let mut words = through.iter().map(|&word| word.to_owned()).chain([own, argument.to_owned()]);
    let mut command = Command::new(words.next().expect("one at least"));
    let output = command.args(words).stdin(Stdio::null()).output().expect("it can be started");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn within_a_runtime() {
    let (code, stderr) = run(&[], "--inside-a-runtime");
    assert_eq!(code, Some(0), "{stderr}");
    let sentence = stderr.lines().find(|line| line.starts_with("ready: ")).expect("it says how it went");
    assert!(sentence.contains("failed to start: worker/0#1 exited with code 78, before it was ready"), "{sentence}");
    assert!(sentence.contains("enter() was called from within a tokio runtime"), "{sentence}");
    assert!(sentence.contains("first thing in a main that is not `#[tokio::main]`"), "{sentence}");
}

pub fn deaf_to_children() -> ExitCode {
    let cluster = Hatchery::new().workers(1, never_ready).enter().expect("a good plan");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let error = runtime.block_on(cluster.start()).expect_err("nobody would learn how members end");
    eprintln!("start: {error}");
    ExitCode::SUCCESS
}

fn deaf() {
    let (code, stderr) = run(&["env", "--ignore-signal=CHLD"], "--deaf-to-children");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.starts_with("start: SIGCHLD is ignored in this process"), "{stderr}");
}
