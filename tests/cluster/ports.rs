//! What a cluster listens on.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{copy, probe, send, until, web, web_on};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("scenario 6: a port that is taken fails the start, and whoever has it is not disturbed", taken),
        trial("scenario 24: a port answers on the addresses that were declared, and all workers share it", addresses),
        trial("scenario 24: a path is listened on, and its file goes with the cluster", path),
        trial("a path that is somebody's is left alone, an abandoned one is taken over", somebodys_path),
        trial("a place where this user may not listen fails the start", forbidden),
        trial("several listeners are told apart by name", named),
        trial("a connection that nobody had accepted is answered by the successor", queued),
    ]
}

fn taken() {
    let mut first = web(1).ready();
    let port = first.port();
    let before = first.members();
    let mut second = web_on(&format!("127.0.0.1:{port}"), 1).spawn();
    second.wait_code(1);
    let sentence = second.complained("hatchery: ");
    assert_eq!(
        sentence,
        format!("hatchery: failed to listen on 127.0.0.1:{port}: Address already in use (os error 98)")
    );
    assert_eq!(second.lines(), Vec::<String>::new(), "nobody was started");
    assert_eq!((first.get("/").status, first.members()), (200, before));
    assert_eq!(first.stop().code(), Some(0));
    TcpListener::bind(("127.0.0.1", port)).expect("it is free again");
}

fn addresses() {
    let cases: [(&str, &[&str]); 4] = [
        ("127.0.0.1:0", &["127.0.0.1"]),
        ("localhost:0", &["localhost"]),
        ("[::1]:0", &["::1"]),
        // Either family, unless the machine was told otherwise.
        ("[::]:0", &["::1", "127.0.0.1"]),
    ];
    for (listen, hosts) in cases {
        let mut cluster = web_on(listen, 3).ready();
        let port = cluster.port();
        for host in hosts {
            let mut seen = std::collections::BTreeSet::new();
            until("every worker has answered", || {
                let mut stream = TcpStream::connect((*host, port)).expect("it listens");
                stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
                let mut text = String::new();
                stream.read_to_string(&mut text).expect("it answers");
                seen.insert(text.split("pid ").nth(1)?.trim().to_owned());
                (seen.len() == 3).then_some(())
            });
        }
        assert_eq!(cluster.stop().code(), Some(0));
    }
}

/// Asks over a Unix socket.
fn ask(path: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    text
}

fn path() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let mut cluster = web_on(&format!("unix:{}", path.display()), 2).ready();
    let line = cluster.ready_line();
    assert!(line.contains(&format!("ready unix:{} ", path.display())), "{line}");
    assert!(ask(&path).contains("hello from worker/"));
    let mut second = web_on(&format!("unix:{}", path.display()), 1).spawn();
    second.wait_code(1);
    assert!(ask(&path).contains("hello from worker/"), "the first is not disturbed");
    assert_eq!(cluster.stop().code(), Some(0));
    assert!(!path.exists());
}

fn somebodys_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let listen = format!("unix:{}", path.display());
    fs::write(&path, "a file").expect("room");
    let mut refused = web_on(&listen, 1).spawn();
    refused.wait_code(1);
    assert!(refused.stderr().contains("Address already in use"), "{}", refused.stderr());
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "a file");
    fs::remove_file(&path).expect("it is ours");
    // As a killed server leaves it behind.
    drop(UnixListener::bind(&path).expect("it is free"));
    let mut cluster = web_on(&listen, 1).ready();
    assert!(ask(&path).contains("hello from worker/0"));
    cluster.signal(Signal::SIGKILL);
    cluster.wait();
    cluster.until_nobody();
    let mut next = web_on(&listen, 1).ready();
    assert!(ask(&path).contains("hello from worker/0"));
    assert_eq!(next.stop().code(), Some(0));
}

fn forbidden() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = copy(&directory);
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).expect("room");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("it is ours");
    let user = nix::unistd::geteuid().is_root().then_some(65_534);
    let listen = format!("unix:{}", closed.join("socket").display());
    let mut cluster = web_on(&listen, 1).program(&program).user(user).spawn();
    cluster.wait_code(1);
    let sentence = cluster.complained("hatchery: ");
    assert_eq!(sentence, format!("hatchery: failed to listen on {listen}: Permission denied (os error 13)"));
    assert_eq!(cluster.lines(), Vec::<String>::new(), "nobody was started");
    let mut cluster = web_on("256.0.0.1:80", 1).spawn();
    cluster.wait_code(1);
    cluster.complained("hatchery: failed to listen on 256.0.0.1:80: failed to lookup address");
    for listen in ["nonsense", "127.0.0.1", ":80", "127.0.0.1:port", "unix:", ""] {
        let mut cluster = web_on(listen, 1).spawn();
        cluster.wait_code(2);
        cluster.complained(&format!("hatchery: cannot listen on {listen:?}: an address is HOST:PORT"));
    }
}

fn named() {
    let directory = tempfile::tempdir().expect("a directory");
    let admin = format!("admin=unix:{}", directory.path().join("admin").display());
    let mut cluster = probe("ready", "address address:admin address:public address:nobody ready stopping")
        .arg("--listen", "public=127.0.0.1:0")
        .arg("--listen", admin)
        .ready();
    let first = cluster.said("worker/0#1 listens on 127.0.0.1:");
    assert_eq!(cluster.count(&first), 2, "the first is the one that was declared first");
    cluster.said("worker/0#1 listens on unix:");
    cluster.said("worker/0#1 has no nobody: ");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn queued() {
    let mut cluster = web(1).arg("--restart-limit", "off").ready();
    let port = cluster.port();
    let first = cluster.until_ready("worker/0", 1).pid.expect("it runs");
    send(first, Signal::SIGSTOP);
    let mut waiting: Vec<_> =
        (0..20).map(|_| http::Connection::open(port).expect("the master holds the socket")).collect();
    waiting.iter_mut().for_each(|connection| connection.ask("/").expect("there is room"));
    send(first, Signal::SIGKILL);
    for connection in &mut waiting {
        let answer = connection.answer().expect("nobody is lost");
        assert_ne!(answer.worker(), first);
    }
    assert_eq!(cluster.stop().code(), Some(0));
}
