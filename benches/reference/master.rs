//! Starts everyone, waits for their ready bytes, and starts again who dies.

use std::collections::HashMap;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::sys::wait::wait;

enum Role {
    First,
    Worker,
}

pub(crate) fn run(address: &str, workers: usize, how: &str) {
    let listener = TcpListener::bind(address).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let mut roles = HashMap::new();
    roles.insert(first(), Role::First);
    let mut readies = Vec::new();
    for _ in 0..workers {
        let (pid, ready) = worker(&listener, how);
        readies.push(ready);
        roles.insert(pid, Role::Worker);
    }
    for mut ready in readies {
        ready.read_exact(&mut [0]).expect("it gets ready");
    }
    println!("ready {}", listener.local_addr().expect("it is bound"));
    loop {
        let pid = wait().expect("somebody lives").pid().expect("it has ended").as_raw() as u32;
        let _ = match roles.remove(&pid) {
            Some(Role::Worker) => roles.insert(worker(&listener, how).0, Role::Worker),
            Some(Role::First) => roles.insert(first(), Role::First),
            None => None,
        };
    }
}

/// Starts the first process and waits until it is ready.
fn first() -> u32 {
    let (mut ours, theirs) = UnixStream::pair().expect("descriptors");
    let pid = spawn(&["first"], Stdio::null(), theirs);
    ours.read_exact(&mut [0]).expect("it gets ready");
    pid
}

/// Starts a worker, whose stdin is the listener and whose stdout takes the ready byte.
fn worker(listener: &TcpListener, how: &str) -> (u32, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("descriptors");
    let listener = listener.try_clone().expect("descriptors");
    (spawn(&["worker", how], OwnedFd::from(listener).into(), theirs), ours)
}

fn spawn(arguments: &[&str], stdin: Stdio, stdout: UnixStream) -> u32 {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).stdin(stdin).stdout(OwnedFd::from(stdout));
    command.spawn().expect("memory").id()
}
