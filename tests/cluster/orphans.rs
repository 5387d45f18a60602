//! What becomes of the members when their master is killed.

use std::net::TcpListener;
use std::time::Instant;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

use crate::harness::{Cluster, Start, orphan_end, probe, send, until, web};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("scenario 17: members of a killed master finish, say why, and are gone", finish),
        trial("P12: members that cannot run are gone as well", cannot_run),
        trial("P12: nor do descendants stay, wherever they went and whatever they hold", descendants),
        trial("P12: a member that has not become one yet is gone at once", while_booting),
        trial("an orphan answers what it has accepted", drains),
        trial("an orphan answers those who were waiting to be accepted", queued),
        trial("a master that is started while orphans hold its port waits for them, and says so", succeeded),
        trial("one that waits can be told to stop", told_to_stop),
    ]
}

/// Kills the master, and waits until nobody is left: not longer than the grace and a second.
fn orphan(cluster: &mut Cluster, grace: u64) {
    cluster.signal(Signal::SIGKILL);
    let killed = Instant::now();
    cluster.wait();
    cluster.until_nobody();
    let took = killed.elapsed().as_millis();
    assert!(took < u128::from(grace) + 1000, "the last was gone after {took} ms");
}

fn graced(start: Start, grace: u64) -> Start {
    start.arg("--orphan-grace", grace)
}

fn finish() {
    let script = "cleanup ready stopping sleep:100 say:finished";
    let mut cluster = graced(probe(script, script).arg("--workers", 4), 5000).ready();
    let members = cluster.members();
    assert_eq!(members.len(), 5);
    orphan(&mut cluster, 5000);
    for member in ["agent/0#1", "worker/0#1", "worker/1#1", "worker/2#1", "worker/3#1"] {
        for said in ["is stopping", "finished", "cleaned up"] {
            cluster.said(&format!("{member} {said}"));
        }
    }
    for member in members {
        assert!(matches!(orphan_end(member), WaitStatus::Exited(_, 110)), "{member}");
    }
}

fn cannot_run() {
    // Of each kind one: that does not heed, that spins, that sleeps where nothing wakes it, and one stopped by a signal.
    let worker = "ready cluster 0?stopping 0?forever 1?spin 2?block:600000 3?stopping";
    let mut cluster =
        graced(probe("ready cluster spin", worker).arg("--workers", 4).arg("--listen", "127.0.0.1:0"), 300).ready();
    let members = cluster.members();
    send(cluster.pid_of("worker/3#1"), Signal::SIGSTOP);
    orphan(&mut cluster, 300);
    for member in members {
        let end = orphan_end(member);
        assert!(matches!(end, WaitStatus::Exited(_, 110)), "the thread that watches can always run: {end:?}");
    }
}

fn descendants() {
    let worker = "leak child:sleep_600 child:setsid_sleep_600 child:(setsid_sleep_600_&) ready stopping";
    let mut cluster = graced(web_like(worker), 300).ready();
    let port: u16 = cluster.said("listens on ").rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    until("all three are there", || (cluster.sleepers() >= 3).then_some(()));
    orphan(&mut cluster, 300);
    assert_eq!(cluster.sleepers(), 0);
    TcpListener::bind(("127.0.0.1", port)).expect("the port is free at once");
}

fn web_like(worker: &str) -> Start {
    probe("ready", &format!("address {worker}")).arg("--listen", "127.0.0.1:0")
}

fn while_booting() {
    for script in ["sleep:600000", "block:600000", "spin"] {
        let mut cluster = graced(probe("ready", script).arg("--workers", 3), 300).spawn();
        cluster.said("worker/2#1 pid");
        orphan(&mut cluster, 300);
    }
}

fn queued() {
    let mut cluster = graced(web(1), 5000).ready();
    let port = cluster.port();
    let mut spinning = http::Connection::open(port).expect("it listens");
    spinning.ask("/spin?ms=500").expect("it listens");
    let mut waiting: Vec<_> = (0..5).map(|_| http::Connection::open(port).expect("it listens")).collect();
    waiting.iter_mut().for_each(|connection| connection.ask("/").expect("there is room"));
    cluster.signal(Signal::SIGKILL);
    for connection in std::iter::once(&mut spinning).chain(&mut waiting) {
        assert_eq!(connection.answer().expect("nobody is forgotten").status, 200);
    }
    orphan(&mut cluster, 5000);
}

fn drains() {
    let mut cluster = graced(web(2), 5000).ready();
    let port = cluster.port();
    let members = cluster.members();
    let mut slow = http::Connection::open(port).expect("it listens");
    slow.ask("/slow?ms=500").expect("it listens");
    let mut idle = http::Connection::open(port).expect("it listens");
    idle.get("/").expect("it answers");
    cluster.signal(Signal::SIGKILL);
    let answer = slow.answer().expect("what was accepted is answered");
    assert_eq!(answer.status, 200);
    orphan(&mut cluster, 5000);
    for member in members {
        assert!(matches!(orphan_end(member), WaitStatus::Exited(_, 110)), "{member}");
    }
    TcpListener::bind(("127.0.0.1", port)).expect("the port is free at once");
}

/// A master that was killed, and its worker holds the port for so long: it never comes back to its runtime.
fn killed(grace: u64) -> (Cluster, String) {
    let worker = "address ready cluster say:spinning spin";
    let mut killed = graced(probe("ready", worker).arg("--listen", "127.0.0.1:0"), grace).ready();
    let address = killed.said("listens on ").rsplit(' ').next().expect("an address").to_owned();
    killed.said("worker/0#1 spinning");
    killed.signal(Signal::SIGKILL);
    killed.wait();
    (killed, address)
}

const WAITS: &str = "worker/0 of a master that was killed: waiting until they have gone";

fn succeeded() {
    let (killed, address) = killed(1000);
    let successor = graced(probe("ready", "ready stopping"), 5000).arg("--listen", &address).ready();
    successor.complained(WAITS);
    killed.until_nobody();
}

fn told_to_stop() {
    let (_killed, address) = killed(20_000);
    let mut successor = graced(probe("ready", "ready stopping"), 30_000).arg("--listen", &address).spawn();
    successor.complained(WAITS);
    // That files were renamed means nothing yet, and is no end.
    successor.signal(Signal::SIGUSR1);
    successor.signal(Signal::SIGTERM);
    successor.wait_code(0);
}
