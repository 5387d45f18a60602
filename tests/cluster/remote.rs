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
