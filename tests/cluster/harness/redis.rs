//! A Redis server of a test's own: on a port of loopback, with nothing kept on disk, and no service of the machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::Signal;
use redis::{Client, Connection, FromRedisValue};

use super::{PATIENCE, send, until};

/// A server that can be killed and started again at the same address. Dropped, it is ended.
pub struct Redis {
    directory: tempfile::TempDir,
    port: u16,
    /// The process, and our connection. `None`: it was killed.
    running: Option<(Child, Connection)>,
}

/// Below those that the kernel gives to whoever connects: one that connects again and again to a port where nobody listens is at
/// some time given that port, and is connected to itself.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

static TAKEN: AtomicU16 = AtomicU16::new(0);

impl Redis {
    /// Whether there is a server on this machine.
    pub fn is_installed() -> bool {
        let asked = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    pub fn start() -> Redis {
        let directory = tempfile::tempdir().expect("room");
        let (first, count) = (std::process::id() as u16 % 10_000, PORTS.len() as u16);
        let ports = std::iter::repeat_with(|| {
            let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
            PORTS.start + (first + taken) % count
        });
        // Somebody else may have one of them.
        let found = ports.take(100).find_map(|port| Some((port, run(directory.path(), port)?)));
        let (port, running) = found.expect("one of a hundred ports is free");
        Redis { directory, port, running: Some(running) }
    }

    /// At the same address, and knowing nothing.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it is running");
        self.running = Some(until("it can listen where it did", || run(self.directory.path(), self.port)));
    }

    /// With SIGKILL. Resolves when it is gone.
    pub fn kill(&mut self) {
        let (mut server, _) = self.running.take().expect("it is running");
        server.kill().expect("it is ours");
        server.wait().expect("it is ours");
    }

    pub fn signal(&self, signal: Signal) {
        let (server, _) = self.running.as_ref().expect("it is running");
        send(server.id(), signal);
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Asks it by a connection of the test's own.
    #[track_caller]
    pub fn ask<T: FromRedisValue>(&mut self, words: &str) -> T {
        let (_, connection) = self.running.as_mut().expect("it is running");
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        command.arg(words.collect::<Vec<_>>());
        command.query(connection).expect("it is well")
    }

    /// The connections of others: of those that are subscribed, to how many channels; and how many are not.
    #[track_caller]
    pub fn connections(&mut self) -> (Vec<usize>, usize) {
        let own: u64 = self.ask("CLIENT ID");
        let list: String = self.ask("CLIENT LIST");
        let field = |line: &str, name: &str| -> Option<u64> {
            line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        let others = list.lines().filter(|line| field(line, "id") != Some(own));
        let channels: Vec<usize> =
            others.map(|line| field(line, "sub").expect("every client has that") as usize).collect();
        let (subscribed, not): (Vec<usize>, Vec<usize>) = channels.into_iter().partition(|&channels| channels > 0);
        (subscribed, not.len())
    }
}

/// `None`: it has ended, because the port is not free.
fn run(directory: &Path, port: u16) -> Option<(Child, Connection)> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no"]);
    command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = command.spawn().expect("it is installed");
    let client = Client::open(format!("redis://127.0.0.1:{port}/")).expect("an address");
    let connected = until("a Redis server answers", || {
        if server.try_wait().expect("it is ours").is_some() {
            return Some(None);
        }
        let mut connection = client.get_connection_with_timeout(PATIENCE).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        let information: String = redis::cmd("INFO").arg("server").query(&mut connection).ok()?;
        // Otherwise it is that of somebody else, and ours is about to find out.
        information.contains(&format!("process_id:{}\r\n", server.id())).then_some(Some(connection))
    });
    Some((server, connected?))
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some((mut server, _)) = self.running.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
