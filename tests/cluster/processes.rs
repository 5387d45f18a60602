//! What members start, and what becomes of it.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{
    Cluster, Debugger, descriptors, is_alive, limit_descriptors, probe, proc_status, send, threads, until, until_gone,
    until_no_zombie, zombies_of,
};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("what is left to the master by the living is reaped, and nothing more", reaped),
        trial(
            "descendants of a dead member are ended wherever they went, and those of the living are not",
            descendants,
        ),
        trial("descendants that the dead hand on in a chain are ended, while it runs and at its end", chains),
        trial("what the last of all hands on at the very end is ended as well", last_chain),
        trial("one in the group of the dead is ended, also if it has got rid of its mark", unmarked),
        trial("descendants are ended though the master had no descriptor left to look for them", unseen),
        trial("a dead member that a debugger holds keeps nobody else waiting", held_by_a_debugger),
        trial("a member that cannot die does not keep the master, which names it", cannot_die),
        trial("a death leaves neither descriptor nor thread in the master", baseline),
    ]
}

/// The processes that a member said to be its children, as it or they said.
fn children(cluster: &Cluster, member: &str) -> Vec<u32> {
    let said = cluster.lines();
    let of_member = said.iter().filter(|line| line.starts_with(&format!("{member} child ")));
    of_member.map(|line| line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid")).collect()
}

fn reaped() {
    // Left behind by a shell that ends at once: the master is the next of kin.
    let mut cluster = probe("ready", "child:(sh_-c_'echo_stray_$$;_sleep_0.2;_exit_3'_&) ready stopping").ready();
    let stray: u32 = cluster.said("stray ").rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid");
    let master = cluster.master().to_string();
    until("it has been handed on, or has gone", || {
        proc_status(stray).is_none_or(|status| status["PPid"] == master).then_some(())
    });
    until("it is gone, also as a zombie", || proc_status(stray).is_none().then_some(()));
    until_no_zombie(cluster.master());
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/0#2"), 0);
}

fn descendants() {
    let strays = "child:sleep_600 child:setsid_sleep_600 child:(setsid_sleep_600_&)";
    let worker = format!("leak {strays} ready stopping");
    let mut cluster = probe("ready", &worker).arg("--workers", 2).ready();
    until("all are there", || (cluster.sleepers() >= 6).then_some(()));
    let dead = cluster.pid_of("worker/0#1");
    let (lost, kept) = (children(&cluster, "worker/0#1"), children(&cluster, "worker/1#1"));
    send(dead, Signal::SIGKILL);
    until_gone(dead);
    cluster.said("worker/0#2 cluster is ready");
    lost.into_iter().for_each(until_gone);
    // Three of the living, three of the successor, and none of the dead.
    until("six are left", || (cluster.sleepers() == 6).then_some(()));
    assert!(kept.iter().take(2).all(|&pid| is_alive(pid)), "what the living started is theirs");
    until_no_zombie(cluster.master());
    assert_eq!(cluster.stop().code(), Some(0));
    until("none is left", || (cluster.sleepers() == 0).then_some(()));
}

fn chains() {
    // A shell in the worker's group, and what has left it: when the shell goes, nobody has seen its child. Which of the
    // two the kernel hands over first is a matter of luck: many workers try it.
    let worker = "#1?child:setsid_sleep_600_&_wait ready stopping";
    let mut cluster = probe("ready", worker).arg("--workers", 12).ready();
    until("all are there", || (cluster.sleepers() == 12).then_some(()));
    for slot in 0..6 {
        send(cluster.pid_of(&format!("worker/{slot}#1")), Signal::SIGKILL);
    }
    until("those of the living are left", || (cluster.sleepers() == 6).then_some(()));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.sleepers(), 0);
}

fn last_chain() {
    // Each link of the chain is handed to the master when the one before it is gone.
    let agent = "child:setsid_sh_-c_'setsid_sh_-c_\"setsid_sleep_600_&_wait\"_&_wait' ready stopping";
    let mut cluster = probe(agent, "ready stopping").ready();
    until("it is there", || (cluster.sleepers() == 1).then_some(()));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.sleepers(), 0);
}

fn unmarked() {
    let mut cluster = probe("ready", "#1?child:prlimit_--locks=99_sleep_600 ready stopping").ready();
    until("it is there", || (cluster.sleepers() == 1).then_some(()));
    send(cluster.pid_of("worker/0#1"), Signal::SIGKILL);
    until("it is gone", || (cluster.sleepers() == 0).then_some(()));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn unseen() {
    let worker = "#1?child:setsid_sleep_600 ready stopping";
    let mut cluster = probe("ready", worker).flag("--trace").ready();
    until("it is there", || (cluster.sleepers() == 1).then_some(()));
    limit_descriptors(cluster.master(), 1);
    send(cluster.pid_of("worker/0#1"), Signal::SIGKILL);
    cluster.said("slot=worker/0 incarnation=2");
    limit_descriptors(cluster.master(), 1024);
    until("it is gone", || (cluster.sleepers() == 0).then_some(()));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn held_by_a_debugger() {
    let mut cluster =
        probe("ready", "ready stopping").arg("--workers", 2).arg("--limit", "off").flag("--trace").ready();
    let held = cluster.pid_of("worker/0#1");
    let debugger = Debugger::hold(held);
    send(held, Signal::SIGKILL);
    until("it is dead, and cannot be reaped", || (zombies_of(cluster.master()) == [held]).then_some(()));
    send(cluster.pid_of("worker/1#1"), Signal::SIGKILL);
    cluster.said("worker/1#2 cluster is ready");
    drop(debugger);
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("killed by signal 9"), "{exit}");
    cluster.said("worker/0#2 cluster is ready");
    until("it is reaped", || zombies_of(cluster.master()).is_empty().then_some(()));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn cannot_die() {
    let mut cluster = probe("ready", "child:setsid_sleep_600 ready stopping").arg("--stop-timeout", 300).ready();
    until("its child is there", || (cluster.sleepers() == 1).then_some(()));
    let debugger = Debugger::hold_at_exit(cluster.pid_of("worker/0#1"));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.complained("hatchery: "), "hatchery: stopped; killed and still there: worker/0#1");
    until("its descendants are gone", || (cluster.sleepers() == 0).then_some(()));
    drop(debugger);
    cluster.until_nobody();
}

fn baseline() {
    let mut cluster = probe("ready", "ready stopping").arg("--workers", 2).arg("--limit", "off").ready();
    let measure = |cluster: &Cluster| (descriptors(cluster.master()), threads(cluster.master()));
    let before = measure(&cluster);
    for incarnation in 1..=10 {
        send(cluster.pid_of(&format!("worker/0#{incarnation}")), Signal::SIGKILL);
        cluster.said(&format!("worker/0#{} cluster is ready", incarnation + 1));
    }
    until("the master is as it was", || (measure(&cluster) == before).then_some(()));
    assert_eq!(cluster.stop().code(), Some(0));
}
