//! What a service manager hears of the master.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{PATIENCE, Start, is_alive, probe, send, until};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a service manager hears ready when all are, the status, and the stop before anybody leaves", told),
        trial("a start that fails is never called ready, and says why", failed),
        trial("the status follows the members, and not each of their deaths", status),
        trial("a master says that it is alive as often as its watchdog wants to hear it", watchdog),
        trial("the watchdog of another process is not ours, and a manager that has gone is no fault", others),
        trial("no member sees the socket of the service manager", stripped),
    ]
}

/// A service manager that only listens.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a free path");
        socket.set_read_timeout(Some(PATIENCE)).expect("it is ours");
        Manager { socket, path, heard: Vec::new(), _directory: directory }
    }

    fn starts(&self, start: Start) -> Start {
        start.env("NOTIFY_SOCKET", &self.path.display().to_string())
    }

    /// Listens until it hears this, and tells what it heard.
    #[track_caller]
    fn hears(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let mut buffer = [0; 4096];
        loop {
            let got = self.socket.recv(&mut buffer);
            let got = got.unwrap_or_else(|error| panic!("it is not said: {error}: {:#?}", self.heard));
            self.heard.push(String::from_utf8_lossy(&buffer[..got]).into_owned());
            let word = self.heard.last().expect("it was just heard");
            if is_it(word) {
                return word.clone();
            }
        }
    }

    /// Takes what has been said so far.
    fn drain(&mut self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("it is ours");
        let mut buffer = [0; 4096];
        while let Ok(got) = self.socket.recv(&mut buffer) {
            self.heard.push(String::from_utf8_lossy(&buffer[..got]).into_owned());
        }
        self.socket.set_nonblocking(false).expect("it is ours");
        std::mem::take(&mut self.heard)
    }
}

fn told() {
    let mut manager = Manager::new();
    let mut cluster = manager.starts(probe("ready stopping", "sleep:30 ready stopping").arg("--workers", 2)).spawn();
    let ready = manager.hears(|word| word.starts_with("READY=1"));
    assert_eq!(ready, format!("READY=1\nMAINPID={}\n", cluster.master()));
    assert!(manager.heard[0].starts_with("STATUS=0 of 1 agent, 0 of 2 workers ready"), "{:?}", manager.heard);
    manager.hears(|word| word == "STATUS=1 agent, 2 workers ready\n");
    // It is held, so that it cannot have left before.
    let worker = cluster.pid_of("worker/0#1");
    send(worker, Signal::SIGSTOP);
    cluster.signal(Signal::SIGTERM);
    manager.hears(|word| word == "STOPPING=1\n");
    assert!(is_alive(worker));
    send(worker, Signal::SIGCONT);
    cluster.wait_code(0);
    manager.hears(|word| word == "STATUS=stopped\n");
    let heard = manager.drain();
    assert!(!heard.iter().any(|word| word.starts_with("WATCHDOG")), "nobody asked for it: {heard:?}");
}

fn failed() {
    let mut manager = Manager::new();
    let mut cluster = manager.starts(probe("ready", "exit:3")).spawn();
    cluster.wait_code(1);
    let heard = manager.drain();
    assert!(!heard.iter().any(|word| word.starts_with("READY")), "{heard:?}");
    let why = "STATUS=failed to start: worker/0#1 exited with code 3, before it was ready\n";
    assert!(heard.iter().any(|word| word == why), "{heard:?}");
    assert!(heard.iter().any(|word| word == "STOPPING=1\n"), "{heard:?}");
}

fn status() {
    let mut manager = Manager::new();
    let start = probe("ready stopping", "ready stopping").arg("--workers", 2).arg("--limit", "off");
    let mut cluster = manager.starts(start).ready();
    manager.hears(|word| word == "STATUS=1 agent, 2 workers ready\n");
    for incarnation in 1..=20 {
        send(cluster.pid_of(&format!("worker/0#{incarnation}")), Signal::SIGKILL);
        cluster.said(&format!("worker/0#{} cluster is ready", incarnation + 1));
    }
    // The last that is said is how it is.
    until("the last word is that all are there", || {
        let heard = manager.drain();
        assert!(heard.len() < 20, "one for each death: {heard:?}");
        let is_last = heard.last().is_none_or(|word| word == "STATUS=1 agent, 2 workers ready\n");
        is_last.then_some(())
    });
    assert_eq!(cluster.stop().code(), Some(0));
}

fn watchdog() {
    let mut manager = Manager::new();
    let start = probe("ready stopping", "ready stopping").env("WATCHDOG_USEC", "200000");
    let mut cluster = manager.starts(start).ready();
    for _ in 0..5 {
        manager.hears(|word| word == "WATCHDOG=1\n");
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn others() {
    let mut manager = Manager::new();
    let start = probe("ready stopping", "ready stopping").env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let mut cluster = manager.starts(start).ready();
    manager.hears(|word| word.starts_with("READY=1"));
    assert_eq!(cluster.stop().code(), Some(0));
    let heard = manager.drain();
    assert!(!heard.iter().any(|word| word.starts_with("WATCHDOG")), "{heard:?}");
    for socket in ["/no/such/socket", "@hatchery-no-such-name", "", "relative"] {
        let mut cluster = probe("ready stopping", "ready stopping").env("NOTIFY_SOCKET", socket).ready();
        assert_eq!((cluster.stop().code(), cluster.stderr()), (Some(0), String::new()), "{socket:?}");
    }
    let long = "/".to_owned() + &"x".repeat(200);
    let mut cluster = probe("ready stopping", "ready stopping").env("NOTIFY_SOCKET", &long).flag("--trace").ready();
    cluster.said("the service manager cannot be told");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn stripped() {
    let manager = Manager::new();
    let start = probe("ready stopping", "environment ready stopping").env("WATCHDOG_USEC", "1000000");
    let mut cluster = manager.starts(start).ready();
    for member in cluster.members() {
        let environment = std::fs::read(format!("/proc/{member}/environ")).expect("it runs");
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG"), "{environment}");
    }
    assert_eq!(cluster.stop().code(), Some(0));
}
