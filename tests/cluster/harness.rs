//! Starts clusters, reads what they say, looks at their processes, and leaves none of them behind.

mod debugger;
mod lines;
mod processes;
mod redis;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

pub use self::debugger::Debugger;
use self::lines::Lines;
use self::processes::descendants_called;
pub use self::processes::{
    descriptors, is_alive, limit_descriptors, orphan_end, proc_status, send, threads, until_gone, until_no_zombie,
    with_argument, zombies_of,
};
pub use self::redis::Redis;
use crate::http;

/// Long enough for the slowest machine: a wait that takes this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` finds what it looks for.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// The same with a deadline of its own.
#[track_caller]
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A running cluster. Dropped, its processes are ended.
pub struct Cluster {
    child: Child,
    /// Stands in the arguments of all its processes and of no other.
    token: String,
    stdout: Lines,
    stderr: Lines,
    status: Option<ExitStatus>,
}

/// How to start a cluster.
pub struct Start {
    /// Programs, each with arguments, that end by running what follows.
    through: Vec<String>,
    program: PathBuf,
    scenario: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    user: Option<u32>,
    stdin: Stdio,
    stderr: Stdio,
}

/// The variable by which descendants that are not members can be told.
const TOKEN: &str = "HATCHERY_TEST";

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A cluster of this scenario.
pub fn scenario(name: &str) -> Start {
    Start {
        through: Vec::new(),
        program: std::env::current_exe().expect("it runs"),
        scenario: name.into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        user: None,
        stdin: Stdio::null(),
        stderr: Stdio::piped(),
    }
}

/// A cluster whose members do what these scripts say, see [`crate::scenarios`].
pub fn probe(agent: &str, worker: &str) -> Start {
    scenario("probe").arg("--agent", agent).arg("--worker", worker)
}

/// The web example on a free port.
pub fn web(workers: usize) -> Start {
    web_on("127.0.0.1:0", workers)
}

/// The web example on this address.
pub fn web_on(address: &str, workers: usize) -> Start {
    scenario("web").arg("--listen", address).arg("--workers", workers)
}

/// A copy of this program, which may be moved and removed, and run by everybody.
pub fn copy(directory: &tempfile::TempDir) -> PathBuf {
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let path = directory.path().join("program");
    fs::copy(std::env::current_exe().expect("it runs"), &path).expect("room");
    path
}

impl Start {
    pub fn arg(mut self, name: &str, value: impl ToString) -> Start {
        self.arguments.push(name.into());
        self.arguments.push(value.to_string());
        self
    }

    pub fn flag(mut self, name: &str) -> Start {
        self.arguments.push(name.into());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Start {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Started by these words, which end by running their arguments.
    pub fn through(mut self, words: &[&str]) -> Start {
        self.through.extend(words.iter().map(|&word| word.into()));
        self
    }

    /// A copy of this program, which may be moved and removed.
    pub fn program(mut self, path: &Path) -> Start {
        self.program = path.into();
        self
    }

    /// As another user.
    pub fn user(mut self, user: Option<u32>) -> Start {
        self.user = user;
        self
    }

    pub fn stdin(mut self, stdin: Stdio) -> Start {
        self.stdin = stdin;
        self
    }

    /// Somebody else reads its stderr, or nobody.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Start {
        self.stderr = stderr.into();
        self
    }

    pub fn spawn(self) -> Cluster {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let token = format!("--token={}-{number}", std::process::id());
        let mut words = self.through.iter().map(OsStr::new).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().expect("the program is one"));
        command.args(words).arg("--scenario").arg(&self.scenario).arg(&token).args(&self.arguments);
        command
            .env(TOKEN, &token)
            .env("RUST_BACKTRACE", "0")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user).current_dir("/");
        }
        command.stdin(self.stdin).stdout(Stdio::piped()).stderr(self.stderr);
        let mut child = command.spawn().expect("it can be started");
        let stdout = Lines::read(child.stdout.take().expect("it is piped"));
        let stderr = match child.stderr.take() {
            Some(stderr) => Lines::read(stderr),
            None => Lines::read(std::io::empty()),
        };
        Cluster { child, token, stdout, stderr, status: None }
    }

    /// Starts it and waits until all members are ready.
    #[track_caller]
    pub fn ready(self) -> Cluster {
        let cluster = self.spawn();
        cluster.stdout.find(|line| line.starts_with("ready "));
        cluster
    }
}

impl Cluster {
    pub fn master(&self) -> u32 {
        self.child.id()
    }

    /// The line with which the web example tells that it is ready.
    pub fn ready_line(&self) -> String {
        self.stdout.find(|line| line.starts_with("ready "))
    }

    pub fn port(&self) -> u16 {
        let line = self.ready_line();
        let url = line.split_whitespace().nth(1).expect("an address");
        url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The first line of stdout like this. Lines are not used up.
    #[track_caller]
    pub fn line(&self, is_it: impl Fn(&str) -> bool) -> String {
        self.stdout.find(is_it)
    }

    /// The first line of stdout that contains this.
    #[track_caller]
    pub fn said(&self, text: &str) -> String {
        self.stdout.find_text(text)
    }

    /// All lines of stdout so far.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.so_far()
    }

    /// How many lines of stdout so far contain this.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// The first line of stderr that contains this.
    #[track_caller]
    pub fn complained(&self, text: &str) -> String {
        self.stderr.find_text(text)
    }

    /// All of stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.so_far().join("\n")
    }

    /// The pid that the member said when it began.
    #[track_caller]
    pub fn pid_of(&self, member: &str) -> u32 {
        let line = self.stdout.find_text(&format!("{member} pid "));
        line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid")
    }

    pub fn signal(&self, signal: Signal) {
        send(self.master(), signal);
    }

    /// Asks it politely and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Asks for as long as it takes: a second time that comes too early is the first. Needs the trace.
    #[track_caller]
    pub fn stop_quickly(&self) {
        until("the quick stop is heard", || {
            self.signal(Signal::SIGTERM);
            (self.count("killed by a quick stop") > 0 || self.count("cluster stopped") > 0).then_some(())
        });
    }

    /// Waits for the end of the master.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = until("the master ends", || child.try_wait().expect("it is ours"));
        self.status = Some(status);
        status
    }

    /// Waits for the end of the master, which must be this code, and until nobody is left.
    #[track_caller]
    pub fn wait_code(&mut self, code: i32) {
        let status = self.wait();
        assert_eq!(status.code(), Some(code), "{status}\n{}", self.stderr());
        self.expect_nobody();
    }

    /// Nobody of it is left: also proved by the end of the pipes that all of them inherited, so that all has been read.
    #[track_caller]
    pub fn expect_nobody(&self) {
        assert_eq!(self.processes(), Vec::<u32>::new(), "somebody is left");
        until("the end of the inherited pipes", || (self.stdout.ended() && self.stderr.ended()).then_some(()));
    }

    /// Waits until nobody of it is left.
    #[track_caller]
    pub fn until_nobody(&self) {
        until("nobody is left", || self.processes().is_empty().then_some(()));
        self.expect_nobody();
    }

    /// Waits until nobody holds the stdout and the stderr that it was started with.
    #[track_caller]
    pub fn until_closed(&self) {
        until("the end of the inherited pipes", || (self.stdout.ended() && self.stderr.ended()).then_some(()));
    }

    /// The processes of the cluster, the master included.
    pub fn processes(&self) -> Vec<u32> {
        with_argument(&self.token)
    }

    /// How many programs called `sleep` are its descendants.
    pub fn sleepers(&self) -> usize {
        descendants_called("sleep", &format!("{TOKEN}={}", self.token))
    }

    /// Its members.
    pub fn members(&self) -> Vec<u32> {
        let master = self.master();
        self.processes().into_iter().filter(|&pid| pid != master).collect()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> http::Response {
        http::get(self.port(), path).unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.stderr()))
    }

    /// What `/status` says: what the worker that answered knows. It may have to hear yet what the master knows.
    #[track_caller]
    pub fn status(&self) -> Vec<Member> {
        let body: serde_json::Value = serde_json::from_str(&self.get("/status").body).expect("json");
        let members = body["members"].as_array().expect("a list");
        members.iter().map(Member::read).collect()
    }

    /// Waits until the status is as `is_it` wants it.
    #[track_caller]
    pub fn until_status(&self, what: &str, is_it: impl Fn(&[Member]) -> bool) -> Vec<Member> {
        until(what, || {
            let response = http::get_soon(self.port(), "/status").ok()?;
            let body: serde_json::Value = serde_json::from_str(&response.body).ok()?;
            let members: Vec<_> = body["members"].as_array()?.iter().map(Member::read).collect();
            is_it(&members).then_some(members)
        })
    }

    /// Waits until the worker that answers knows of all members that they are ready.
    #[track_caller]
    pub fn until_all_ready(&self) -> Vec<Member> {
        self.until_status("all are ready", |members| members.iter().all(|member| member.state == "ready"))
    }

    /// Waits until this incarnation of the slot, or a later one, is ready.
    #[track_caller]
    pub fn until_ready(&self, slot: &str, incarnation: u64) -> Member {
        let is_it =
            |member: &&Member| member.slot == slot && member.incarnation >= incarnation && member.state == "ready";
        let members =
            self.until_status(&format!("{slot}#{incarnation} is ready"), |members| members.iter().any(|m| is_it(&m)));
        members.into_iter().find(|member| is_it(&member)).expect("it was just there")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for pid in self.processes() {
            send(pid, Signal::SIGKILL);
        }
        if std::thread::panicking() {
            eprintln!("--- stdout\n{}\n--- stderr\n{}\n---", self.lines().join("\n"), self.stderr());
        }
    }
}

/// One entry of `/status`.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub slot: String,
    pub incarnation: u64,
    pub pid: Option<u32>,
    pub state: String,
    pub restarts: u64,
    pub exceptions: u64,
    pub last_exit: Option<String>,
    pub retry_in_ms: Option<u64>,
}

impl Member {
    fn read(json: &serde_json::Value) -> Member {
        Member {
            slot: json["slot"].as_str().unwrap_or_default().into(),
            incarnation: json["incarnation"].as_u64().unwrap_or_default(),
            pid: json["pid"].as_u64().map(|pid| pid as u32),
            state: json["state"].as_str().unwrap_or_default().into(),
            restarts: json["restarts"].as_u64().unwrap_or_default(),
            exceptions: json["exceptions"].as_u64().unwrap_or_default(),
            last_exit: json["last_exit"].as_str().map(Into::into),
            retry_in_ms: json["retry_in_ms"].as_u64(),
        }
    }
}
