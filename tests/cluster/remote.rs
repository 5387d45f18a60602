//! Actors that other processes hold references to.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Cluster, is_alive, scenario, send};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("an actor in another process is what it is in this one", story),
        trial("a kill ends the calls that are open with the cause, and the reference lives on", death),
        trial("an actor that fails ends alone, one that panics is an exception of its member", ends),
        trial("what is told to a worker that has stopped arrives or comes back, and nobody waits for it", flood),
        trial("the example remote_actor shows what it says, and ends by itself", example),
    ]
}

fn case(name: &str) -> Cluster {
    scenario("remote").arg("--case", name).flag("--trace").spawn()
}

fn story() {
    let mut cluster = case("story");
    for member in ["agent/0#1", "worker/0#1", "worker/1#1", "worker/2#1"] {
        cluster.said(&format!("{member} all is well"));
    }
    assert_eq!(cluster.stop().code(), Some(0));
    cluster.expect_nobody();
}

fn death() {
    let mut cluster = case("death");
    cluster.said("agent/0#1 a hundred calls are open");
    send(cluster.pid_of("worker/1#1"), Signal::SIGKILL);
    cluster.said("agent/0#1 all is well");
    assert_eq!(cluster.stop().code(), Some(0));
    cluster.expect_nobody();
}

fn ends() {
    let mut cluster = case("ends");
    cluster.said("agent/0#1 an actor has failed");
    assert!(is_alive(cluster.pid_of("worker/0#1")));
    cluster.said("agent/0#1 all is well");
    assert!(is_alive(cluster.pid_of("worker/0#1")), "its member goes on");
    let exit = cluster.said("member exited slot=worker/1 incarnation=1");
    assert!(exit.contains("asked to panic"), "{exit}");
    assert_eq!(cluster.stop().code(), Some(0));
    cluster.expect_nobody();
}

fn flood() {
    let mut cluster = case("flood");
    cluster.said("agent/0#1 all is well");
    cluster.said("casts become dead letters");
    assert_eq!(cluster.stop().code(), Some(0));
    cluster.expect_nobody();
}

fn example() {
    let mut cluster = scenario("remote-actor").spawn();
    let status = cluster.wait();
    assert_eq!(status.code(), Some(0), "{}", cluster.stderr());
    cluster.expect_nobody();
    // The head of the example, but for the pids.
    let lines = cluster.lines();
    let told: Vec<String> = lines.iter().map(|line| without_pid(line)).collect();
    let source = include_str!("../../examples/remote_actor.rs");
    let head = source.lines().filter_map(|line| line.strip_prefix("//! "));
    let promised: Vec<String> =
        head.filter(|line| line.contains("pid") || line.contains("hears of")).map(without_pid).collect();
    assert_eq!(told, promised);
}

/// A line with no number where a pid is.
pub fn without_pid(line: &str) -> String {
    let mut after = false;
    let words = line.split(' ').map(|word| match std::mem::replace(&mut after, word == "pid") {
        true => "N",
        false => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
