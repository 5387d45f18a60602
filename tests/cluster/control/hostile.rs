//! Clients that say what nobody should, or nothing, or do not listen. The master does not notice, and neither do others.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use hatchery::{ControlClient, ControlError, ControlReply, ControlRequest};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{connect, controlled, place, status};
use crate::harness::{Cluster, PATIENCE, descriptors, limit_descriptors, until};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("control: a client that talks nonsense is told so, and others are served", nonsense),
        trial(
            "control: clients that say nothing, or half of it, or do not read, have their time and are forgotten",
            idle,
        ),
        trial("control: a thousand clients at once: some are served, the others are told that it is busy", crowd),
        trial("control: a client that leaves in the middle of a wish gives up its place, and the wish goes on", left),
        trial(
            "control: a master that stands still is told by its silence, and when too many wait, that it is busy",
            still,
        ),
        trial("control: without descriptors nobody is let in, and with some everybody who waits is", no_descriptors),
    ]
}

/// Connects without the manners of a client.
fn raw(dir: &Path) -> UnixStream {
    let stream = UnixStream::connect(dir.join("control.sock")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time");
    stream
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("it is told something");
    line
}

fn reply(stream: &mut impl BufRead) -> ControlReply {
    let line = line(stream);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Nothing of its clients is left in the master.
fn until_back_to(cluster: &Cluster, before: &[String], dir: &Path) {
    until("its descriptors are what they were", || (descriptors(cluster.master()) == before).then_some(()));
    assert_eq!(status(dir).partial, Vec::<String>::new());
}

/// What the master has when it has been asked once, and nobody is connected.
fn at_rest(cluster: &Cluster, dir: &Path) -> Vec<String> {
    status(dir);
    let path = dir.join("control.sock").display().to_string();
    // The kernel lists the master's end of each connection by the path of the socket, and the socket itself.
    until("the first client is gone", || {
        let listed = std::fs::read_to_string("/proc/net/unix").expect("it is mounted");
        (listed.lines().filter(|line| line.ends_with(&path)).count() == 1).then_some(())
    });
    descriptors(cluster.master())
}

fn nonsense() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).ready();
    let before = at_rest(&cluster, &dir);
    let long = "x".repeat(5_000);
    let seeds = (0..8).map(|_| {
        let seed: u64 = rand::random();
        eprintln!("seed {seed}");
        let mut bytes: Vec<u8> = (0..1_000u64).map(|at| (seed.wrapping_mul(at | 1) >> 32) as u8).collect();
        bytes.push(b'\n');
        bytes
    });
    let texts = [
        "\n",
        "GET / HTTP/1.1\r\n\r\n",
        "{\"verb\":\"reboot\"}\n",
        "{\"verb\":\"scale\",\"role\":\"worker\",\"count\":65536}\n",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        "\"status\"\n",
        long.as_str(),
    ];
    for bytes in texts.map(|text| text.as_bytes().to_vec()).into_iter().chain(seeds) {
        let mut stream = raw(&dir);
        stream.write_all(&bytes).expect("there is room");
        let mut heard = BufReader::new(stream);
        assert!(line(&mut heard).starts_with("{\"welcome\":"));
        let said = reply(&mut heard);
        assert!(matches!(said, ControlReply::Misunderstood { .. }), "{said:?}: {:?}", String::from_utf8_lossy(&bytes));
        // Closed with something unread, it may also be reset.
        let mut rest = Vec::new();
        let _ = heard.read_to_end(&mut rest);
        assert_eq!(rest, b"");
        assert_eq!(status(&dir).stage, "ready");
    }
    until_back_to(&cluster, &before, &dir);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn idle() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--patience", 700).ready();
    let before = at_rest(&cluster, &dir);
    let (silent, mut half, mut deaf) = (raw(&dir), raw(&dir), raw(&dir));
    half.write_all(b"{\"verb\":\"sta").expect("there is room");
    // Asks, and asks, and never reads: what it is told fills its socket, and then its own words do.
    deaf.set_nonblocking(true).expect("it is ours");
    let asks = b"{\"verb\":\"status\"}\n".repeat(512);
    until("it cannot say any more", || deaf.write(&asks).err());
    // None of them holds up anybody else.
    let mut beside = connect(&dir);
    let answer = beside.ask(&ControlRequest::Status, PATIENCE).expect("an answer");
    assert!(answer.is_good());
    for mut stream in [silent, half] {
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it is told to go");
        assert!(said.starts_with("{\"welcome\":") && said.lines().count() == 1, "{said}");
    }
    drop(beside);
    until("the deaf one is forgotten", || (descriptors(cluster.master()) == before).then_some(()));
    until_back_to(&cluster, &before, &dir);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn crowd() {
    let (_scratch, dir) = place();
    // They have a minute to say something: who is busy with them is so until they leave.
    let mut cluster = controlled(&dir).arg("--patience", 60_000).arg("--connections", 20).ready();
    let before = at_rest(&cluster, &dir);
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let dir = dir.clone();
            std::thread::spawn(move || (0..100).map(|_| raw(&dir)).collect::<Vec<_>>())
        })
        .collect();
    let mut crowd: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("all are let in")).collect();
    let greetings: Vec<String> = crowd.iter_mut().map(|stream| line(&mut BufReader::new(stream))).collect();
    let welcome = greetings.iter().filter(|line| line.starts_with("{\"welcome\":")).count();
    let busy = greetings.iter().filter(|line| *line == "\"busy\"\n").count();
    assert_eq!((welcome, busy), (20, 980));
    assert!(matches!(ControlClient::connect(&dir), Err(ControlError::Busy)));
    drop(crowd);
    until("there is room again", || ControlClient::connect(&dir).ok());
    until_back_to(&cluster, &before, &dir);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn left() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--connections", 1).arg("--worker", "#2?sleep:1500 ready stopping").ready();
    let mut stream = raw(&dir);
    stream.write_all(b"{\"verb\":\"restart\",\"slot\":\"worker/0\"}\n").expect("there is room");
    cluster.said("worker/0#2 pid");
    assert!(matches!(ControlClient::connect(&dir), Err(ControlError::Busy)));
    drop(stream);
    until("its place is free", || ControlClient::connect(&dir).ok());
    cluster.said("control verb=restart worker/0 uid=");
    cluster.said("worker/0#2 says ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn still() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).ready();
    let mut before = connect(&dir);
    cluster.signal(Signal::SIGSTOP);
    let asked = before.ask(&ControlRequest::Status, Duration::from_millis(1));
    assert!(matches!(asked, Err(ControlError::TimedOut(_))), "{asked:?}");
    let again = before.ask(&ControlRequest::Status, PATIENCE);
    assert!(matches!(again, Err(ControlError::Closed)), "what came now would be the answer to what was asked before");
    assert!(matches!(ControlClient::connect(&dir), Err(ControlError::TimedOut(_))));
    // As many as the kernel lets wait.
    let path = dir.join("control.sock");
    let waiting: Vec<Socket> = std::iter::from_fn(|| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("it is ours");
        socket.connect(&SockAddr::unix(&path).expect("a short path")).is_ok().then_some(socket)
    })
    .collect();
    assert!(waiting.len() > 100, "{}", waiting.len());
    assert!(matches!(ControlClient::connect(&dir), Err(ControlError::Busy)));
    drop(waiting);
    cluster.signal(Signal::SIGCONT);
    until("it serves again", || ControlClient::connect(&dir).ok());
    assert_eq!(cluster.stop().code(), Some(0));
}

fn no_descriptors() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).ready();
    let before = at_rest(&cluster, &dir);
    limit_descriptors(cluster.master(), 1);
    let mut waits: Vec<_> = (0..3).map(|_| BufReader::new(raw(&dir))).collect();
    cluster.said("accept on the control socket failed: waiting");
    limit_descriptors(cluster.master(), 1024);
    for stream in &mut waits {
        assert!(line(stream).starts_with("{\"welcome\":"));
        stream.get_mut().write_all(b"{\"verb\":\"status\"}\n").expect("there is room");
        assert!(reply(stream).is_good());
    }
    assert_eq!(cluster.count("accept on the control socket failed"), 1, "it is said once");
    drop(waits);
    until_back_to(&cluster, &before, &dir);
    assert_eq!(cluster.stop().code(), Some(0));
}
