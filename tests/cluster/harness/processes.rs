//! What `/proc` tells of processes.

use std::collections::HashMap;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use super::until;

/// The processes that have this argument. Zombies have none.
pub fn with_argument(argument: &str) -> Vec<u32> {
    all_processes()
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|&byte| byte == 0).any(|part| part == argument.as_bytes())
        })
        .collect()
}

/// How many processes of this name have this in their environment.
pub fn descendants_called(name: &str, variable: &str) -> usize {
    let is_it = |pid: &u32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        comm.trim() == name && environment.split(|&byte| byte == 0).any(|part| part == variable.as_bytes())
    };
    all_processes().filter(is_it).count()
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("it is mounted");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/status`. `None`: there is no such process.
pub fn proc_status(pid: u32) -> Option<HashMap<String, String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Some(fields.map(|(name, value)| (name.into(), value.trim().into())).collect())
}

/// Whether the process is there, and no zombie.
pub fn is_alive(pid: u32) -> bool {
    proc_status(pid).is_some_and(|status| !status["State"].starts_with('Z'))
}

/// The zombies whose parent is `pid`.
pub fn zombies_of(pid: u32) -> Vec<u32> {
    let parent = pid.to_string();
    let is_zombie = |pid: &u32| {
        proc_status(*pid).is_some_and(|status| status["State"].starts_with('Z') && status["PPid"] == parent)
    };
    all_processes().filter(is_zombie).collect()
}

/// A process that has ended is a zombie until its parent has heard of it: a moment, if it listens.
#[track_caller]
pub fn until_no_zombie(parent: u32) {
    until("no zombie is left", || zombies_of(parent).is_empty().then_some(()));
}

/// The links of the open descriptors of a process, sorted, without the numbers that differ from run to run.
pub fn descriptors(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut kinds: Vec<String> = links
        .map(|link| {
            let link = link.to_string_lossy().into_owned();
            link.split_once(":[").map_or(link.clone(), |(kind, _)| kind.to_owned())
        })
        .collect();
    kinds.sort();
    kinds
}

/// The names of the threads of a process, sorted.
pub fn threads(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

/// Sends a signal. That there is no such process is no error.
pub fn send(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid as i32), signal);
}

/// Lets a process have this many open descriptors, and no more.
#[track_caller]
pub fn limit_descriptors(pid: u32, limit: u64) {
    let pid = rustix::process::Pid::from_raw(pid as i32);
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum }).expect("it is ours");
}

/// How an orphan ended. Orphans are handed to this process.
#[track_caller]
pub fn orphan_end(pid: u32) -> WaitStatus {
    until(&format!("orphan {pid} ends"), || match waitpid(Pid::from_raw(pid as i32), Some(WaitPidFlag::WNOHANG)) {
        // Not ours yet, or still alive.
        Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => None,
        Ok(status) => Some(status),
        Err(error) => panic!("waitpid: {error}"),
    })
}

/// Waits until the process is gone.
#[track_caller]
pub fn until_gone(pid: u32) {
    until(&format!("process {pid} is gone"), || (!is_alive(pid)).then_some(()));
}
