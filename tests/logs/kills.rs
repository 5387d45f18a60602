//! The one who writes is killed, stops, or is replaced, and what the others log is in the files all the same.

use std::fs;

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::family::{counted, family, read};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("an agent that is killed a hundred times loses no line, and tears and repeats none", killed),
        trial("what does not fit while the agent stands still is counted, and nobody waits for it", stands_still),
        trial("a member that is stopped while it logs has all of it written before the agent goes", stopped),
    ]
}

const KILLS: usize = 100;

fn killed() {
    const LINES: &str = "20000";
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("log");
    let mut family = family("count", &dir, &[LINES, "300"]);
    family.hear_of("ready");
    for _ in 0..KILLS {
        // In the middle of whatever it does: coming back from the kill before, or writing.
        family.kill_agent();
    }
    let lines = LINES.parse().expect("a number");
    for worker in ["worker/0#1", "worker/1#1"] {
        let last = format!("{worker} logs::scenarios: counted n={lines} ");
        family.until_logged("worker.log", &last);
    }
    assert!(family.stop().success());
    let counted = counted(&read(&dir, "worker.log"));
    let dropped: u64 = ["worker/0#1", "worker/1#1"].map(|worker| counted.check(worker, lines)).iter().sum();
    assert_eq!(dropped, 0, "there was room for all");
    let ends = read(&dir, "error.log")
        .lines()
        .filter(|line| line.contains("agent/0#") && line.ends_with("killed by signal 9"))
        .count();
    assert_eq!(ends, KILLS, "each of its ends is in the error log");
}

fn stands_still() {
    const LINES: u64 = 60_000;
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("log");
    let mut family = family("count in little room", &dir, &[&LINES.to_string(), "0"]);
    family.hear_of("ready");
    let agent = family.pid("agent/0");
    family.signal(agent, Signal::STOP);
    fs::write(dir.with_extension("go"), "").expect("there is room");
    family.hear_of("worker/0 has counted");
    family.signal(agent, Signal::CONT);
    family.until_logged("worker.log", "lines were dropped: there was no room for them");
    assert!(family.stop().success());
    let dropped = counted(&read(&dir, "worker.log")).check("worker/0#1", LINES);
    assert!(dropped > 0, "more than there was room for was logged");
    println!("{dropped} of {LINES} dropped");
}

fn stopped() {
    const LINES: u64 = 3000;
    let dir = tempfile::tempdir().expect("a directory");
    let mut family = family("count", dir.path(), &[&LINES.to_string(), "0"]);
    family.hear_of("worker/0 has counted");
    assert!(family.stop().success());
    assert_eq!(counted(&read(dir.path(), "worker.log")).check("worker/0#1", LINES), 0);
}
