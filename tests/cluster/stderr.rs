//! What becomes of a cluster when nobody reads its stderr.

use std::fs::File;
use std::io::{PipeReader, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use libtest_mimic::Trial;

use crate::harness::{Start, probe, until_gone};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a master whose stderr has stalled ends all the same, with its code", stalled),
        trial("nor does it matter if the reader of stderr has gone", gone),
        trial("a panic in a worker is heard of although its stderr has stalled", panic),
    ]
}

/// A pipe that takes nothing more. Its reader is there, and does not read.
fn full_pipe() -> (PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let writer = OwnedFd::from(writer);
    rustix::io::ioctl_fionbio(&writer, true).expect("it is ours");
    let mut file = File::from(writer);
    while file.write(&[b'x'; 4096]).is_ok() {}
    let writer = OwnedFd::from(file);
    // The flag belongs to all who hold this end.
    rustix::io::ioctl_fionbio(&writer, false).expect("it is ours");
    (reader, writer)
}

/// Starts that fail, each with its code.
fn failures(port: u16) -> [(Start, i32); 4] {
    [
        (probe("ready", "ready").arg("--tune", "mailer"), 2),
        (probe("ready", "ready").arg("--listen", format!("127.0.0.1:{port}")), 1),
        (probe("ready", "fail:no_licence"), 1),
        (probe("ready", "cry:out_of_luck exit:3"), 1),
    ]
}

fn stalled() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for (start, code) in failures(taken.local_addr().expect("it is bound").port()) {
        let (reader, stderr) = full_pipe();
        start.stderr(stderr).spawn().wait_code(code);
        drop(reader);
    }
}

fn gone() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for (start, code) in failures(taken.local_addr().expect("it is bound").port()) {
        let (reader, stderr) = full_pipe();
        drop(reader);
        start.stderr(stderr).spawn().wait_code(code);
    }
}

fn panic() {
    let (reader, stderr) = full_pipe();
    let worker = "ready cluster #1?detached-panic:boom #1?contained-panic:quiet stopping";
    let mut cluster = probe("ready", worker).flag("--trace").stderr(stderr).ready();
    cluster.said("worker/0#2 cluster is ready");
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("exited with code 70: panicked at") && exit.contains("boom"), "{exit}");
    until_gone(cluster.pid_of("worker/0#1"));
    assert_eq!(cluster.stop().code(), Some(0));
    drop(reader);
}
