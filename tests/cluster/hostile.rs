//! Members that send over their link what no member may send.

use std::fs;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{is_alive, scenario, send};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    ["before-hello", "starting", "ready", "draining"]
        .into_iter()
        .map(|when| {
            let name = format!("hostile bytes of a member that is {when} end it with a cause, and nobody else notices");
            trial(&name, move || hostile(when))
        })
        .collect()
}

fn hostile(when: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let marker = directory.path().join("marker");
    let mut cluster = scenario("hostile").arg("--when", when).arg("--marker", marker.display()).flag("--trace").ready();
    let named = [
        "oversized-payload",
        "oversized-action",
        "unknown-kind",
        "unknown-flags",
        "unknown-address",
        "a-masters-word",
        "wrong-state",
        "no-such-call",
        "unasked-pong",
        "flood-of-pongs",
        "long-pong",
        "a-masters-ping",
        "nameless-topic",
        "unknown-wish",
        "a-masters-value",
        "not-a-text",
        "truncated",
    ];
    let seeds =
        (0..6).map(|_| rand::random::<u64>()).flat_map(|seed| [format!("random {seed}"), format!("mutated {seed}")]);
    let mut incarnation = 1;
    for what in named.map(String::from).into_iter().chain(seeds) {
        // Whole before it is seen.
        let written = directory.path().join("written");
        fs::write(&written, &what).expect("room");
        fs::rename(&written, &marker).expect("it is ours");
        let victim = cluster.pid_of(&format!("worker/0#{incarnation}"));
        send(victim, Signal::SIGKILL);
        let said = cluster.said(&format!("sends {what}"));
        let pid = said.split(['=', ' ']).nth(2).expect("a pid").to_owned();
        let exit = cluster.line(|line| line.contains("member exited") && line.contains(&format!("pid={pid} ")));
        // What ends within a frame is no crime: whoever is killed while it writes ends so. It may leave by itself.
        let may_be_cut = ["truncated", "random", "mutated"].iter().any(|cut| what.starts_with(cut));
        let is_cut = exit.contains("its link failed: it ended within a frame") || exit.contains("exited with code 110");
        let is_broken = exit.contains("it broke the protocol of its link: ");
        assert!(is_broken || may_be_cut && is_cut, "{when}, {what}: {exit}");
        incarnation += 2;
        cluster.said(&format!("worker/0#{incarnation} cluster is ready"));
    }
    assert!(is_alive(cluster.pid_of("worker/1#1")));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!((cluster.count("slot=worker/1 incarnation=2"), cluster.count("slot=agent/0 incarnation=2")), (0, 0));
    cluster.expect_nobody();
}
