//! Members that are stuck, slow or stopped, under heartbeats; and a master that was stopped itself.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Cluster, is_alive, probe, send, until, until_gone, web};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("P07: a worker whose runtime is stuck is noticed, ended and replaced, while its siblings serve", stuck),
        trial("P07: one that is stuck fails once, and not once more when it is killed", counts_once),
        trial("with several threads it is the one of the role function that has to turn", several_threads),
        trial("a member that is slow and alive is left alone", slow),
        trial("a member that was unresponsive and answers again is as it was", comes_back),
        trial("a worker that is stopped by a signal is replaced when it is not continued in time", stopped_worker),
        trial("a worker that is stopped and continued in time is as it was", continued_worker),
        trial("a master that was stopped for longer than the limit kills nobody", stopped_master),
        trial("a cluster that was stopped as a whole for longer than the limit loses nobody", stopped_cluster),
        trial("who blocks before it is ready has its ready timeout, and no heartbeat", blocked_boot),
    ]
}

fn stuck() {
    let mut cluster = web_beating(3);
    let port = cluster.port();
    let mut victim = http::Connection::open(port).expect("it listens");
    let pid = victim.get("/").expect("it answers").worker();
    let members = cluster.until_all_ready();
    let slot = members.into_iter().find(|member| member.pid == Some(pid)).expect("it is listed").slot;
    victim.ask("/spin?ms=600000").expect("it is open");
    // A sibling tells it: who is stuck answers nothing.
    let told = cluster.until_status("it is unresponsive", |members| {
        members.iter().any(|member| member.slot == slot && member.state == "unresponsive")
    });
    let unresponsive: Vec<_> = told.iter().filter(|member| member.state == "unresponsive").map(|m| m.pid).collect();
    assert_eq!(unresponsive, [Some(pid)]);
    assert!(is_alive(pid), "it has its time");
    let successor = cluster.until_ready(&slot, 2);
    until_gone(pid);
    assert_eq!((successor.incarnation, successor.restarts), (2, 1));
    let exit = successor.last_exit.expect("one has ended");
    assert!(exit.starts_with("killed by signal 9: killed after 5s in which it did not leave"), "{exit}");
    assert!(cluster.status().iter().all(|member| member.slot == slot || member.incarnation == 1), "nobody else");
    assert_eq!(cluster.stop().code(), Some(0));
}

/// A tenth of a second is a round, and 30 of them the limit.
fn web_beating(workers: usize) -> Cluster {
    web(workers).arg("--heartbeat", 100).ready()
}

fn counts_once() {
    let worker = "ready cluster sleep:50 #1?spin stopping";
    let mut cluster = probe("ready", worker)
        .arg("--heartbeat", "50/1000")
        .arg("--stop-timeout", 200)
        .arg("--stable-after", 600_000)
        // One failure is forgiven.
        .arg("--limit", "1/600")
        .flag("--trace")
        .ready();
    cluster.said("worker/0#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
    let unresponsive = cluster.said("member unresponsive");
    assert!(unresponsive.contains("slot=worker/0 incarnation=1"), "{unresponsive}");
    let decided = cluster.said("cause=was unresponsive for 1s");
    assert!(decided.contains("decision=restart at once"), "{decided}");
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(
        exit.contains("killed after 200ms in which it did not leave") && exit.contains("restart at once"),
        "{exit}"
    );
    assert_eq!(cluster.count("cause=was unresponsive"), 1);
}

fn several_threads() {
    let worker = "ready cluster sleep:50 #1?spin stopping";
    let mut cluster = probe("ready", worker)
        .arg("--threads", 3)
        .arg("--heartbeat", "50/1000")
        .arg("--stop-timeout", 200)
        .flag("--trace")
        .ready();
    cluster.said("worker/0#2 cluster is ready");
    cluster.said("cause=was unresponsive for 1s");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn slow() {
    // For most of the time, and in all for longer than the limit.
    let worker = format!("ready cluster sleep:50 {} say:done stopping", "block:90 sleep:10 ".repeat(40));
    let mut cluster = probe("ready", &worker).arg("--heartbeat", "100/3000").flag("--trace").ready();
    cluster.said("done");
    assert_eq!((cluster.count("cause=was unresponsive"), cluster.count("member exited")), (0, 0));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn comes_back() {
    let worker = "ready cluster sleep:50 block:2000 say:back stopping";
    let mut cluster = probe("ready", worker).arg("--heartbeat", "50/60000").flag("--trace").ready();
    let pid = cluster.pid_of("worker/0#1");
    cluster.said("member unresponsive slot=worker/0 incarnation=1");
    cluster.said("member responsive again slot=worker/0 incarnation=1");
    cluster.said("back");
    assert!(is_alive(pid));
    assert_eq!(cluster.count("worker/0#2"), 0);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn stopped_worker() {
    let mut cluster = probe("ready", "ready stopping")
        .arg("--workers", 2)
        .arg("--heartbeat", "50/1000")
        .arg("--stop-timeout", 200)
        .flag("--trace")
        .ready();
    let pid = cluster.pid_of("worker/0#1");
    send(pid, Signal::SIGSTOP);
    cluster.said("member unresponsive slot=worker/0 incarnation=1");
    cluster.said("worker/0#2 cluster is ready");
    until_gone(pid);
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("killed by signal 9: killed after 200ms in which it did not leave"), "{exit}");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn continued_worker() {
    let mut cluster = probe("ready", "ready stopping").arg("--heartbeat", "50/60000").flag("--trace").ready();
    let pid = cluster.pid_of("worker/0#1");
    send(pid, Signal::SIGSTOP);
    cluster.said("member unresponsive slot=worker/0 incarnation=1");
    send(pid, Signal::SIGCONT);
    cluster.said("member responsive again slot=worker/0 incarnation=1");
    assert!(is_alive(pid));
    assert_eq!(cluster.stop().code(), Some(0));
}

/// Longer than the limit of those that follow, by far.
const PAUSE: Duration = Duration::from_secs(4);

/// Until so much time has passed: for once, that is the fact.
fn pause() {
    let begun = Instant::now();
    until("so much time has passed", || (begun.elapsed() >= PAUSE).then_some(()));
}

/// Two workers that live as long as they are left alone.
fn to_be_paused() -> Cluster {
    let cluster = probe("ready", "ready stopping").arg("--workers", 2).arg("--heartbeat", "100/1000");
    let cluster = cluster.arg("--stop-timeout", 1000).flag("--trace").ready();
    cluster.said("worker/1#1 cluster is ready");
    cluster
}

/// Nobody was killed while it was, nor is for having been: a worker that is stuck from now on is found out in the
/// usual time, in which the others are asked just as often.
fn lost_nobody(mut cluster: Cluster) {
    let stopped = cluster.pid_of("worker/0#1");
    send(stopped, Signal::SIGSTOP);
    cluster.said("worker/0#2 cluster is ready");
    assert!(is_alive(cluster.pid_of("worker/1#1")));
    assert_eq!(cluster.count("member exited"), 1, "{:#?}", cluster.lines());
    assert_eq!(cluster.count("cause=was unresponsive"), 1, "{:#?}", cluster.lines());
    assert_eq!(cluster.stop().code(), Some(0));
}

fn stopped_master() {
    let cluster = to_be_paused();
    cluster.signal(Signal::SIGSTOP);
    pause();
    cluster.signal(Signal::SIGCONT);
    lost_nobody(cluster);
}

fn stopped_cluster() {
    let cluster = to_be_paused();
    for _ in 0..2 {
        let members = cluster.members();
        // The master last, and first: all that it could hold against them is there.
        members.iter().for_each(|&pid| send(pid, Signal::SIGSTOP));
        cluster.signal(Signal::SIGSTOP);
        pause();
        cluster.signal(Signal::SIGCONT);
        members.iter().for_each(|&pid| send(pid, Signal::SIGCONT));
    }
    lost_nobody(cluster);
}

fn blocked_boot() {
    let worker = "block:2500 ready stopping";
    let mut cluster = probe("ready", worker).arg("--heartbeat", "50/500").flag("--trace").ready();
    assert_eq!((cluster.count("unresponsive"), cluster.count("member exited")), (0, 0), "{:#?}", cluster.lines());
    assert_eq!(cluster.stop().code(), Some(0));
}
