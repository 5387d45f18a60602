//! Starts a family that logs, hears what it says on stdout, reads its files, and leaves none of it behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::scenarios::port;

/// Long enough for the slowest machine: a wait that takes this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running family. Dropped, its master is killed, and its members follow.
pub struct Family {
    master: Child,
    scenario: String,
    dir: PathBuf,
    told: Receiver<String>,
    /// What it has said on stderr.
    complaints: Arc<Mutex<String>>,
    /// Resolves when it will say no more there.
    listening: Option<JoinHandle<()>>,
    /// The latest of each slot.
    pids: BTreeMap<String, u32>,
}

/// One that does what `scenario` says, and logs into `dir`.
pub fn family(scenario: &str, dir: &Path, arguments: &[&str]) -> Family {
    through(&[], scenario, dir, arguments)
}

/// The same, when all members are ready.
#[track_caller]
pub fn ready(scenario: &str, dir: &Path, arguments: &[&str]) -> Family {
    let mut family = family(scenario, dir, arguments);
    family.hear_of("ready");
    family
}

/// The same, started by these words, which end by running what follows them.
pub fn through(words: &[&str], scenario: &str, dir: &Path, arguments: &[&str]) -> Family {
    let own = std::env::current_exe().expect("it runs");
    let own = own.to_str().expect("a plain path");
    let words: Vec<&str> = words.iter().copied().chain([own, "--scenario", scenario]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(dir).args(arguments).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut master = command.spawn().expect("it starts");
    let (sender, told) = channel();
    let stdout = master.stdout.take().expect("it is piped");
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let complaints = Arc::new(Mutex::new(String::new()));
    let stderr = master.stderr.take().expect("it is piped");
    let heard = complaints.clone();
    let listening = std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut heard = heard.lock().expect("nobody panics with it");
            heard.push_str(&line);
            heard.push('\n');
        }
    });
    let (scenario, dir) = (scenario.into(), dir.into());
    Family { master, scenario, dir, told, complaints, listening: Some(listening), pids: BTreeMap::new() }
}

impl Family {
    pub fn master(&self) -> u32 {
        self.master.id()
    }

    /// The next line that somebody says. Each member begins by saying who it is: `pid SLOT N`.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let line =
            self.told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nobody says anything: {}", self.stderr()));
        if let Some((slot, pid)) = line.strip_prefix("pid ").and_then(|rest| rest.split_once(' ')) {
            self.pids.insert(slot.to_owned(), pid.parse().expect("a number"));
        }
        line
    }

    /// Hears until somebody says that.
    #[track_caller]
    pub fn hear_of(&mut self, line: &str) {
        while self.hear() != line {}
    }

    /// The latest process of a slot, as far as it was heard of.
    #[track_caller]
    pub fn pid(&self, slot: &str) -> u32 {
        *self.pids.get(slot).unwrap_or_else(|| panic!("{slot} was not heard of"))
    }

    pub fn signal(&self, pid: u32, signal: Signal) {
        kill_process(Pid::from_raw(pid as i32).expect("a number"), signal).expect("it is ours");
    }

    /// Kills the agent, and hears of the next one.
    #[track_caller]
    pub fn kill_agent(&mut self) {
        let pid = self.pid("agent/0");
        self.signal(pid, Signal::KILL);
        while self.pid("agent/0") == pid {
            self.hear();
        }
    }

    /// Has a member do something, and returns when it has begun to.
    #[track_caller]
    pub fn order(&self, slot: &str, what: &str) {
        let mut stream = UnixStream::connect(port(&self.dir, &self.scenario)).expect("the agent listens");
        stream.write_all(format!("{slot} {what}\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("it answers");
        assert_eq!(answer, "begun\n", "{slot} {what}");
    }

    /// Has it stop, and waits for its end.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal(self.master(), Signal::TERM);
        self.end()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        until("its end", || self.master.try_wait().expect("it is ours"))
    }

    /// All that it says on stderr until its end, which is now.
    pub fn stderr(&mut self) -> String {
        let _ = self.master.kill();
        if let Some(listening) = self.listening.take() {
            listening.join().expect("it does not panic");
        }
        self.complaints.lock().expect("nobody panics with it").clone()
    }

    /// Waits until it says that on stderr.
    #[track_caller]
    pub fn until_complained(&self, text: &str) {
        until(&format!("{text:?} on stderr"), || {
            self.complaints.lock().expect("nobody panics with it").contains(text).then_some(())
        });
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> String {
        read(&self.dir, name)
    }

    /// Waits until a file has a line with that in it.
    #[track_caller]
    pub fn until_logged(&self, name: &str, text: &str) -> String {
        until(&format!("{text:?} in {name}"), || {
            let file = self.file(name);
            file.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

pub fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_default()
}

/// The files that were put aside, the oldest first, and the one that is written to.
pub fn all_of(dir: &Path, name: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it is there").flatten();
    let mut aside: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let file = entry.file_name().into_string().expect("plain");
            let day = file.strip_prefix(name)?.strip_prefix('.')?;
            let nth = day.split_once('.').map_or(0, |(_, nth)| nth.parse().expect("a number"));
            Some((nth, file))
        })
        .collect();
    aside.sort();
    aside.into_iter().map(|(_, file)| file).chain([name.to_owned()]).collect()
}

/// Waits until `look` finds what it looks for.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The numbers that each member has counted, in the order in which they are in the file, and how many lines are known to be
/// missing before each that is not its predecessor's successor. Fails on a line that is not whole.
pub struct Counted {
    pub numbers: BTreeMap<String, Vec<u64>>,
    pub dropped: BTreeMap<String, u64>,
}

/// Reads lines of text.
pub fn counted(text: &str) -> Counted {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
    let (mut numbers, mut dropped) = (BTreeMap::<String, Vec<u64>>::new(), BTreeMap::<String, u64>::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [time, level, member, target, rest @ ..] = &words[..] else { panic!("no line of ours: {line:?}") };
        assert!(time.len() == 24 && time.ends_with('Z'), "{line:?}");
        match (*level, *target, rest) {
            ("INFO" | "ERROR", "logs::scenarios:", ["counted", number, "of", of]) => {
                let number = number.strip_prefix("n=").and_then(|number| number.parse::<u64>().ok());
                assert!(of.ends_with('!'), "{line:?}");
                numbers.entry((*member).to_owned()).or_default().push(number.expect("a number"));
            }
            ("WARN", "hatchery::log:", [count, "lines", "were", "dropped:", ..]) => {
                *dropped.entry((*member).to_owned()).or_default() += count.parse::<u64>().expect("a number");
            }
            _ => {}
        }
    }
    Counted { numbers, dropped }
}

impl Counted {
    /// Every number of a member is there, once and in order, or is among those that are known to be missing. The latter.
    #[track_caller]
    pub fn check(&self, member: &str, up_to: u64) -> u64 {
        let numbers = self.numbers.get(member).map(Vec::as_slice).unwrap_or_default();
        let in_order = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(in_order, "{member}: twice, or out of order: {:?}", numbers.windows(2).find(|pair| pair[0] >= pair[1]));
        let dropped = self.dropped.get(member).copied().unwrap_or(0);
        assert_eq!(numbers.len() as u64 + dropped, up_to, "{member}: {dropped} dropped");
        dropped
    }
}
