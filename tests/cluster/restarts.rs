//! What follows the end of a member.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Start, copy, is_alive, probe, scenario, send, until, until_gone, web};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    let may_limit_memory = memory_group("probe").is_some();
    vec![
        trial("scenario 8: an agent that dies is restarted after its delay, and its workers are not", agent_restart),
        trial("scenario 10: a worker that crashes twice is replaced twice", replaced_twice),
        trial("scenario 11: a slot that crashes in a loop is parked and retried, and its siblings serve", parked),
        trial("scenario 15: a worker that never comes back ends the cluster with code 3", no_worker_alive),
        trial("scenario 15: an agent that never comes back does, too", no_agent_alive),
        trial("P01: a program that is not there fails the start", no_such_executable),
        trial("P01: a program that has gone is a failure that counts, until it is back", executable_gone),
        trial("P01: a master without a free descriptor cannot start anybody, until it has one", no_descriptor),
        trial("P01: a user without a free process cannot start anybody, until there is one", no_process),
        trial("P06: a worker that is killed is replaced at once, and the kernel's word is the cause", killed),
        trial("P06: one that was killed for lack of memory is said to be", out_of_memory)
            .with_ignored_flag(!may_limit_memory),
        trial("P08: one that closes its link is ended and replaced, whether or not it can run", link_closed),
        trial("P13: while a slot backs off the master answers and shows it", storm),
        trial("the role's limit slows every slot down", role_limit),
        trial("an exit code that no restart can mend parks the slot for good", permanent),
        trial("a program that was replaced on disk is still the one that runs", replaced_on_disk),
        trial("a strategy may answer with a time that never comes", never),
        trial("a strategy that panics ends the cluster in order with code 3", strategy_panics),
    ]
}

fn agent_restart() {
    let mut cluster = probe("ready cluster forever", "ready sees:agent/0#2 stopping").flag("--trace").ready();
    let (agent, worker) = (cluster.said("agent/0#1 cluster is ready"), cluster.pid_of("worker/0#1"));
    assert!(!agent.is_empty());
    send(cluster.pid_of("agent/0#1"), Signal::SIGKILL);
    let exit = cluster.said("member exited slot=agent/0 incarnation=1");
    // A second, give or take a fifth.
    let delay = exit.split("decision=restart in ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a delay");
    let millis = match (delay.strip_suffix("ms"), delay.strip_suffix('s')) {
        (Some(millis), _) => millis.parse::<f64>(),
        (None, Some(seconds)) => seconds.parse::<f64>().map(|seconds| seconds * 1000.0),
        (None, None) => panic!("{delay}"),
    };
    assert!((790.0..=1210.0).contains(&millis.expect("a number")), "{exit}");
    cluster.said("agent/0#2 cluster is ready");
    cluster.said("worker/0#1 sees agent/0#2");
    assert!(is_alive(worker));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/0#2"), 0, "its workers stay");
    assert_eq!(cluster.count("worker/0#1 cluster is ready"), 1, "and hear ready once");
}

fn replaced_twice() {
    let mut cluster = web(1).ready();
    for incarnation in [2, 3] {
        // The process that is asked to exit does not answer.
        let _ = http::get(cluster.port(), "/exit?code=1");
        let member = cluster.until_ready("worker/0", incarnation);
        assert_eq!(member.last_exit.as_deref(), Some("exited with code 1"));
        let body = cluster.get("/").body;
        assert!(body.starts_with(&format!("hello from worker/0 incarnation {incarnation} pid ")), "{body}");
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn parked() {
    let worker = "ready cluster 1?exit:1 stopping";
    let mut cluster =
        probe("ready", worker).arg("--workers", 2).arg("--limit", "3/60").arg("--park", 300).flag("--trace").ready();
    let exit = cluster.said("member exited: restart limit reached slot=worker/1");
    assert!(exit.contains("incarnation=4") && exit.contains("park"), "three are restarted: {exit}");
    // It gets its chance, fails, and waits again.
    cluster.said("member exited: restart limit reached slot=worker/1 incarnation=5");
    cluster.said("worker/1#6 pid");
    assert!(is_alive(cluster.pid_of("worker/0#1")), "its sibling serves");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/0#2"), 0);
}

fn no_worker_alive() {
    let mut cluster = probe("ready stopping", "ready cluster exit:1").arg("--give-up-after", 1500).ready();
    cluster.wait_code(3);
    let stderr = cluster.stderr();
    assert!(stderr.contains("hatchery: gave up: ") && stderr.contains("worker"), "{stderr}");
    cluster.said("agent/0#1 is stopping");
}

fn no_agent_alive() {
    let agent = "#1?ready #1?cluster exit:1";
    let mut cluster = probe(agent, "ready stopping").arg("--give-up-after", 3000).arg("--agent-delay", 50).ready();
    cluster.wait_code(3);
    let stderr = cluster.stderr();
    assert!(stderr.contains("hatchery: gave up: ") && stderr.contains("agent"), "{stderr}");
    cluster.said("worker/0#1 is stopping");
}

fn no_such_executable() {
    let mut cluster = probe("ready", "ready").arg("--executable", "/no/such/program").spawn();
    cluster.wait_code(1);
    let stderr = cluster.stderr();
    assert!(stderr.contains("failed to start: agent/0#1 could not be started"), "{stderr}");
    assert!(stderr.contains("No such file or directory"), "{stderr}");
    assert_eq!(cluster.lines(), Vec::<String>::new(), "nobody ran");
}

fn executable_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = copy(&directory);
    let mut cluster = probe("ready", "ready stopping")
        .arg("--workers", 2)
        .arg("--executable", path.display())
        .arg("--limit", "2/60")
        .arg("--park", 100)
        .flag("--trace")
        .ready();
    let aside = directory.path().join("aside");
    fs::rename(&path, &aside).expect("it is ours");
    send(cluster.pid_of("worker/1#1"), Signal::SIGKILL);
    let exit = cluster.said("slot=worker/1 incarnation=2");
    assert!(exit.contains("could not be started") && exit.contains("No such file or directory"), "{exit}");
    cluster.said("member exited: restart limit reached slot=worker/1");
    assert!(is_alive(cluster.pid_of("worker/0#1")), "its sibling serves");
    fs::rename(&aside, &path).expect("it is ours");
    cluster.line(|line| line.contains("member ready slot=worker/1") && !line.contains("incarnation=1 "));
    assert_eq!(cluster.stop().code(), Some(0));
}

/// Lets a limit of the master bite, kills a worker, and sees it come back when the limit is lifted.
fn starved(user: Option<u32>, limit: &str, expected: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let start = probe("ready", "ready stopping").arg("--workers", 2).flag("--trace");
    let mut cluster = start.program(&copy(&directory)).user(user).ready();
    let prlimit = |value: &str| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--pid={}", cluster.master())).arg(format!("--{limit}={value}:"));
        if let Some(user) = user {
            command.uid(user);
        }
        assert!(command.status().expect("util-linux").success());
    };
    prlimit("1");
    send(cluster.pid_of("worker/1#1"), Signal::SIGKILL);
    let exit = cluster.said("slot=worker/1 incarnation=2");
    assert!(exit.contains("could not be started") && exit.contains(expected), "{exit}");
    assert!(is_alive(cluster.pid_of("worker/0#1")), "its sibling serves");
    prlimit("1024");
    cluster.line(|line| line.contains("member ready slot=worker/1") && !line.contains("incarnation=1 "));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn no_descriptor() {
    starved(None, "nofile", "Too many open files");
}

fn no_process() {
    // The limit does not hold for root.
    let user = nix::unistd::geteuid().is_root().then_some(65_534);
    starved(user, "nproc", "Resource temporarily unavailable");
}

fn killed() {
    let mut cluster = probe("ready", "ready stopping").arg("--stable-after", 1).flag("--trace").ready();
    send(cluster.pid_of("worker/0#1"), Signal::SIGKILL);
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("cause=killed by signal 9 decision=restart at once"), "{exit}");
    send(cluster.pid_of("worker/0#2"), Signal::SIGILL);
    let exit = cluster.said("member exited slot=worker/0 incarnation=2");
    assert!(exit.contains("cause=killed by signal 4"), "{exit}");
    cluster.said("worker/0#3 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

/// A control group of our own with a memory limit, where this process may make one.
struct MemoryGroup(PathBuf);

fn memory_group(name: &str) -> Option<MemoryGroup> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = |wanted: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            (controllers == wanted).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let name = format!("hatchery-{name}-{}", std::process::id());
    let (directory, limit) = match path("memory") {
        Some(path) => (PathBuf::from("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"),
        None => (PathBuf::from("/sys/fs/cgroup").join(path("")?), "memory.max"),
    };
    let group = MemoryGroup(directory.join(name));
    fs::create_dir(&group.0).ok()?;
    fs::write(group.0.join(limit), (256u64 << 20).to_string()).ok()?;
    Some(group)
}

impl MemoryGroup {
    /// The cluster, in this group. Joined before the program runs: what it starts is born there.
    fn joined(&self, start: Start) -> Start {
        let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        start.through(&["sh", "-c", &join, "sh"])
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn out_of_memory() {
    let group = memory_group("oom").expect("it was possible before");
    let mut cluster = group.joined(probe("ready", "ready cluster #1?allocate stopping").flag("--trace")).ready();
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("killed by signal 9 (out of memory)"), "{exit}");
    cluster.said("worker/0#2 cluster is ready");
    let agent = cluster.pid_of("agent/0#1");
    assert!(is_alive(agent), "workers go first");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn link_closed() {
    // One that can run hears of it and leaves; the others are killed.
    for (rest, cause) in
        [("stopping", "exited with code 110"), ("block:600000", "it closed its link"), ("spin", "it closed its link")]
    {
        let worker = format!("ready cluster #1?cut-link #1?{rest} stopping");
        let mut cluster = probe("ready", &worker).arg("--orphan-grace", 500).flag("--trace").ready();
        let first = cluster.pid_of("worker/0#1");
        cluster.said("worker/0#2 cluster is ready");
        until_gone(first);
        let exit = cluster.said("member exited slot=worker/0 incarnation=1");
        assert!(exit.contains(cause), "{rest}: {exit}");
        assert_eq!(cluster.stop().code(), Some(0));
        cluster.expect_nobody();
    }
}

fn storm() {
    let mut cluster = web(2).ready();
    until("it was seen to wait", || {
        let member = cluster.status().into_iter().find(|member| member.slot == "worker/1").expect("it has a slot");
        if let Some(pid) = member.pid {
            send(pid, Signal::SIGKILL);
        }
        assert_eq!(member.retry_in_ms.is_some(), member.state == "waiting", "{member:?}");
        (member.state == "waiting").then_some(())
    });
    cluster.until_ready("worker/1", 2);
    assert_eq!(cluster.until_ready("worker/0", 1).restarts, 0);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn role_limit() {
    let mut cluster = probe("ready", "ready stopping")
        .arg("--workers", 3)
        .arg("--stable-after", 1)
        .arg("--role-limit", 2)
        .flag("--trace")
        .ready();
    for (slot, expected) in [(0, "restart at once"), (1, "restart at once"), (2, "restart in ")] {
        send(cluster.pid_of(&format!("worker/{slot}#1")), Signal::SIGKILL);
        let exit = cluster.said(&format!("member exited slot=worker/{slot} incarnation=1"));
        assert!(exit.contains(&format!("decision={expected}")), "{exit}");
    }
    cluster.said("worker/2#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn permanent() {
    let mut cluster = probe("ready", "ready cluster 1?exit:78 stopping").arg("--workers", 2).flag("--trace").ready();
    let exit = cluster.said("member exited: restart limit reached slot=worker/1 incarnation=1");
    assert!(exit.contains("exited with code 78"), "{exit}");
    assert!(is_alive(cluster.pid_of("worker/0#1")));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/1#2"), 0);
}

fn replaced_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = copy(&directory);
    let mut cluster = probe("ready", "ready stopping").program(&path).ready();
    fs::remove_file(&path).expect("it is ours");
    fs::write(&path, "#!/bin/false\n").expect("room");
    send(cluster.pid_of("worker/0#1"), Signal::SIGKILL);
    cluster.said("worker/0#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn never() {
    let mut cluster = scenario("strategies").arg("--answer", "never").flag("--trace").ready();
    cluster.said("member exited slot=worker/2 incarnation=1");
    cluster.said("worker/1#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/2#2"), 0);
    cluster.expect_nobody();
}

fn strategy_panics() {
    let mut cluster = scenario("strategies").arg("--answer", "panic").flag("--trace").spawn();
    cluster.wait_code(3);
    cluster.complained("hatchery: gave up: the strategy of role worker panicked: no idea");
    for member in ["worker/0#1", "agent/0#1"] {
        cluster.said(&format!("{member} is stopping"));
    }
    assert_eq!(cluster.count("killed by"), 0, "{:#?}", cluster.lines());
}
