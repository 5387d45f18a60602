//! The master as process 1, as in a container.

use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Cluster, Start, probe, proc_status, send, until, until_no_zombie};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial("as process 1 the master reaps orphans, hears TERM, and is replaced by nobody", process_one)]
}

const UNSHARE: [&str; 4] = ["unshare", "--pid", "--fork", "--mount-proc"];

/// The same in a process namespace of its own. `None`: this machine does not let us make one.
fn contained(start: Start) -> Option<Start> {
    let allowed = Command::new(UNSHARE[0]).args(&UNSHARE[1..]).arg("true").stderr(Stdio::null()).status();
    allowed.is_ok_and(|status| status.success()).then(|| start.through(&UNSHARE))
}

/// The master, which is process 1 of its namespace.
fn master(cluster: &Cluster) -> u32 {
    until("the master is process 1 of a namespace", || {
        let is_one = |pid: &u32| proc_status(*pid).is_some_and(|status| status["NSpid"].ends_with("\t1"));
        cluster.processes().into_iter().find(is_one)
    })
}

fn process_one() {
    // Left behind by a shell that ends at once.
    let worker = "child:(sh_-c_'echo_stray;_sleep_0.1;_exit_3'_&) ready stopping";
    let Some(start) = contained(probe("ready stopping", worker).flag("--trace")) else {
        println!("skipped: process namespaces are not permitted here");
        return;
    };
    let mut cluster = start.ready();
    let master = master(&cluster);
    cluster.said("stray");
    until_no_zombie(master);
    send(master, Signal::SIGTERM);
    cluster.said("cluster stopped");
    // Its launcher ends as it does.
    cluster.wait_code(0);
}
