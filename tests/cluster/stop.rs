//! How a cluster stops.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Cluster, is_alive, probe, proc_status, send, until, until_gone, web};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("scenario 16: workers stop, then the agent, each within its time, for TERM, INT and QUIT", order),
        trial("P10: one that does not heed the stop is killed when its time is over", ignored),
        trial("a second signal is quick", second_signal),
        trial("a signal that comes twice at once, as from coreutils' timeout, is one", same_signal),
        trial("a launcher that has blocked the signals of a stop does not keep the master from hearing them", blocked),
        trial("Ctrl-C reaches the master alone", ctrl_c),
        trial("what was accepted or is queued when the stop comes is answered", answered),
        trial("who comes while the last requests are answered is refused, and not kept waiting", refused),
        trial("a stop does not wait for connections on which nothing happens", idle_connections),
        trial("a stop finds members in every state", every_state),
        trial("a worker that gets a TERM, an INT or a QUIT of its own finishes and is replaced", worker_terminated),
        trial("an agent that gets a SIGTERM of its own finishes and is restarted", agent_terminated),
    ]
}

/// Where the first line like this stands.
#[track_caller]
fn position(cluster: &Cluster, text: &str) -> usize {
    cluster.lines().iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("nobody said {text:?}"))
}

fn order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let script = "cleanup ready stopping sleep:60000 say:never";
        let mut cluster = probe(script, script).arg("--workers", 2).arg("--stop-timeout", 400).flag("--trace").ready();
        cluster.signal(signal);
        cluster.wait_code(0);
        let agent_asked = position(&cluster, "agent/0#1 is stopping");
        for worker in ["worker/0", "worker/1"] {
            let exited = position(&cluster, &format!("member exited slot={worker}"));
            assert!(position(&cluster, &format!("{worker}#1 is stopping")) < exited && exited < agent_asked);
            let exit = cluster.said(&format!("member exited slot={worker}"));
            assert!(exit.contains("killed by signal 9: killed after 400ms in which it did not leave"), "{exit}");
        }
        assert!(agent_asked < position(&cluster, "member exited slot=agent/0"));
        assert_eq!(cluster.count("never"), 0);
        assert!(cluster.lines().last().expect("it said something").contains("cluster stopped"));
    }
}

fn ignored() {
    let mut cluster =
        probe("ready forever", "ready cluster block:600000").arg("--stop-timeout", 300).flag("--trace").ready();
    assert_eq!(cluster.stop().code(), Some(0));
    for member in ["worker/0", "agent/0"] {
        let exit = cluster.said(&format!("member exited slot={member}"));
        assert!(exit.contains("killed after 300ms in which it did not leave decision=stopping"), "{exit}");
    }
    cluster.expect_nobody();
}

fn second_signal() {
    let worker = "ready stopping sleep:300 say:goes_on forever";
    let mut cluster = probe("ready stopping", worker).arg("--stop-timeout", 600_000).flag("--trace").ready();
    cluster.signal(Signal::SIGTERM);
    cluster.said("worker/0#1 goes_on");
    cluster.signal(Signal::SIGINT);
    cluster.wait_code(0);
    let exit = cluster.said("member exited slot=worker/0");
    assert!(exit.contains("killed by a quick stop"), "{exit}");
}

fn same_signal() {
    let worker = "ready cluster stopping sleep:100 say:finished";
    // What it gets it passes on, as it does when its time is over: to its child, and to the group that both are in.
    let through = ["timeout", "--preserve-status", "600"];
    let mut cluster = probe("ready stopping", worker).flag("--trace").through(&through).ready();
    cluster.signal(Signal::SIGTERM);
    cluster.wait_code(0);
    cluster.said("worker/0#1 finished");
    assert_eq!(cluster.count("killed by a quick stop"), 0, "{:#?}", cluster.lines());
}

fn blocked() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let start = probe("ready", "ready child:(sh_-c_'echo_stray_$$'_&) stopping");
        let mut cluster = start.through(&["env", "--block-signal=TERM,INT,QUIT,CHLD"]).ready();
        let stray: u32 = cluster.said("stray ").rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid");
        until("what was left to the master is reaped", || proc_status(stray).is_none().then_some(()));
        cluster.signal(signal);
        cluster.wait_code(0);
    }
}

fn ctrl_c() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
    let name = ptsname(&terminal, Vec::new()).expect("it has a name").into_string().expect("plain text");
    let other_end = std::fs::File::options().read(true).write(true).open(&name).expect("it is unlocked");
    let mut cluster = probe("ready stopping", "ready stopping say:in_order")
        .flag("--trace")
        .through(&["setsid", "--ctty"])
        .stdin(Stdio::from(other_end))
        .ready();
    let mut terminal = std::fs::File::from(terminal);
    terminal.write_all(b"\x03").expect("the driver takes it");
    cluster.wait_code(0);
    assert!(cluster.said("stop asked for").contains("SIGINT"));
    cluster.said("worker/0#1 in_order");
    for member in ["worker/0", "agent/0"] {
        let exit = cluster.said(&format!("member exited slot={member}"));
        assert!(exit.contains("exited with code 0"), "it was asked by the master, not by the terminal: {exit}");
    }
}

fn answered() {
    let mut cluster = web(1).flag("--trace").ready();
    let port = cluster.port();
    let mut slow = http::Connection::open(port).expect("it listens");
    slow.ask("/slow?ms=700").expect("it listens");
    // Sees to it that the request above has been read.
    cluster.get("/");
    let mut spinning = http::Connection::open(port).expect("it listens");
    spinning.ask("/spin?ms=500").expect("it listens");
    let mut queued: Vec<_> = (0..20).map(|_| http::Connection::open(port).expect("it listens")).collect();
    queued.iter_mut().for_each(|connection| connection.ask("/").expect("there is room"));
    cluster.signal(Signal::SIGTERM);
    for connection in [&mut slow, &mut spinning].into_iter().chain(&mut queued) {
        let answer = connection.answer().expect("nobody is forgotten");
        assert_eq!(answer.status, 200);
    }
    cluster.wait_code(0);
    let exit = cluster.said("member exited slot=worker/0");
    assert!(exit.contains("exited with code 0"), "{exit}");
    assert!(http::get(port, "/").is_err(), "and now nobody listens");
}

fn refused() {
    let mut cluster = web(2).ready();
    let port = cluster.port();
    let mut slow = http::Connection::open(port).expect("it listens");
    slow.ask("/slow?ms=1500").expect("it listens");
    // Sees to it that the request above has been read.
    (0..4).for_each(|_| assert_eq!(cluster.get("/").status, 200));
    cluster.signal(Signal::SIGTERM);
    until("whoever comes is refused", || {
        let error = TcpStream::connect(("127.0.0.1", port)).err()?;
        (error.kind() == io::ErrorKind::ConnectionRefused).then_some(())
    });
    assert!(slow.is_silent(), "while one is still to be answered");
    assert_eq!(slow.answer().expect("nobody is forgotten").status, 200);
    cluster.wait_code(0);
}

fn idle_connections() {
    let mut cluster = web(2).flag("--trace").ready();
    let port = cluster.port();
    let mut idle: Vec<_> = (0..8).map(|_| http::Connection::open(port).expect("it listens")).collect();
    idle.iter_mut().take(4).for_each(|connection| assert_eq!(connection.get("/").expect("it answers").status, 200));
    assert_eq!(cluster.stop().code(), Some(0));
    for worker in ["worker/0", "worker/1"] {
        let exit = cluster.said(&format!("member exited slot={worker}"));
        assert!(exit.contains("exited with code 0"), "nobody had to be killed: {exit}");
    }
    idle.iter_mut().for_each(|connection| until("it is closed", || connection.is_closed().then_some(())));
}

fn every_state() {
    // The slots: 0 serves, 1 is being started again, 2 waits for its restart, 3 is parked, 4 drains beside its successor,
    // 5 is stopped by a signal.
    let worker =
        "#1?ready #1?cluster 1?#1?exit:1 1?forever 2?exit:1 3?exit:78 ready 4?#1?report:ill 4?#1?sleep:600000 stopping";
    let mut cluster = probe("ready stopping", worker)
        .arg("--workers", 6)
        .arg("--stop-timeout", 500)
        .arg("--limit", "100/60")
        .flag("--trace")
        .ready();
    send(cluster.pid_of("worker/5#1"), Signal::SIGSTOP);
    cluster.said("worker/1#2 pid");
    cluster.said("member exited slot=worker/2 incarnation=3");
    cluster.said("restart limit reached slot=worker/3");
    cluster.said("worker/4#2 cluster is ready");
    assert!(is_alive(cluster.pid_of("worker/4#1")), "it drains");
    cluster.signal(Signal::SIGTERM);
    cluster.wait_code(0);
    for (member, how) in [
        ("worker/0 incarnation=1", "exited with code 0"),
        ("worker/1 incarnation=2", "exited with code 0"),
        ("worker/4 incarnation=1", "killed by signal 9"),
        ("worker/4 incarnation=2", "exited with code 0"),
        ("worker/5 incarnation=1", "killed by signal 9: killed after 500ms"),
    ] {
        let exit = cluster.said(&format!("member exited slot={member}"));
        assert!(exit.contains(how), "{exit}");
    }
}

fn worker_terminated() {
    let mut cluster = web(1).arg("--restart-limit", "off").flag("--trace").ready();
    let port = cluster.port();
    for (nth, signal) in (1..).zip([Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT]) {
        let pid = cluster.until_ready("worker/0", nth).pid.expect("it runs");
        let mut slow = http::Connection::open(port).expect("it listens");
        slow.ask("/slow?ms=400").expect("it listens");
        cluster.get("/");
        send(pid, signal);
        let answer = slow.answer().expect("what was accepted is answered");
        assert_eq!((answer.status, answer.worker(), answer.closes()), (200, pid, true), "{signal}");
        cluster.until_ready("worker/0", nth + 1);
        until_gone(pid);
        let exit = cluster.said(&format!("member exited slot=worker/0 incarnation={nth} "));
        assert!(exit.contains("exited with code 0 decision=restart"), "{signal}: {exit}");
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn agent_terminated() {
    let mut cluster =
        probe("ready stopping say:finished", "ready stopping").arg("--agent-delay", 50).flag("--trace").ready();
    send(cluster.pid_of("agent/0#1"), Signal::SIGTERM);
    cluster.said("agent/0#1 finished");
    cluster.said("agent/0#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/0#2"), 0);
}
