//! The programs that are compared: builds them, starts them, and looks at their processes.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where the programs are.
pub(crate) struct Programs {
    hatched: PathBuf,
    reference: PathBuf,
}

/// Whose program.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    ByHand,
    Hatchery,
    /// By hand, with axum's own drain.
    Plain,
}

impl Programs {
    /// Both, as `cargo bench` builds them.
    pub(crate) fn build() -> Programs {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "bench",
                "--no-run",
                "--message-format=json-render-diagnostics",
                "--bench=hatched",
                "--bench=reference",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the programs do not build");
        let built: HashMap<String, PathBuf> = output
            .stdout
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
            .filter_map(|message| {
                let name = message["target"]["name"].as_str()?.to_owned();
                Some((name, message["executable"].as_str()?.into()))
            })
            .collect();
        Programs { hatched: built["hatched"].clone(), reference: built["reference"].clone() }
    }

    pub(crate) fn start(&self, side: Side, workers: usize) -> Running {
        let (program, how) = match side {
            Side::ByHand => (&self.reference, None),
            Side::Plain => (&self.reference, Some("axum")),
            Side::Hatchery => (&self.hatched, None),
        };
        let mut command = Command::new(program);
        command.args(["127.0.0.1:0", &workers.to_string()]).args(how).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().expect("it was built");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
        let start = begun.elapsed();
        let address = line.trim().rsplit([' ', '/']).next().and_then(|address| address.parse().ok());
        Running { child, address: address.unwrap_or_else(|| panic!("not ready: {line:?}")), start }
    }

    /// A tokio program that does nothing.
    pub(crate) fn empty(&self) -> Child {
        Command::new(&self.reference).arg("empty").spawn().expect("it was built")
    }
}

/// A program that is ready. Dropped, it is stopped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start to its ready line.
    pub(crate) start: Duration,
}

impl Running {
    pub(crate) fn master(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that its processes have used.
    pub(crate) fn cpu(&self) -> Duration {
        let pids = family(self.master());
        Duration::from_nanos(pids.iter().flat_map(|pid| tasks(*pid)).map(|task| cpu_of(&task)).sum())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let members = family(self.master());
        let _ = kill(Pid::from_raw(self.master() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
        let deadline = Instant::now() + Duration::from_secs(20);
        while members.iter().any(|pid| !tasks(*pid).is_empty()) {
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("it is mounted")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, field(&format!("/proc/{pid}/status"), "PPid")? as u32)))
        .collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    family
}

/// The folders of a process's threads.
fn tasks(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Nanoseconds that a thread has run.
fn cpu_of(task: &std::path::Path) -> u64 {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

/// A number in a file of lines like `Name: 12 kB`.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Resident memory in KiB.
pub(crate) fn rss(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS").expect("it runs")
}

/// How often the threads of a process have given up a core, or lost it: they must have been woken as often.
pub(crate) fn switches(pid: u32) -> u64 {
    let of = |task: &PathBuf, name| field(&task.join("status").to_string_lossy(), name).unwrap_or(0);
    let both = |task: &PathBuf| of(task, "voluntary_ctxt_switches") + of(task, "nonvoluntary_ctxt_switches");
    tasks(pid).iter().map(both).sum()
}
