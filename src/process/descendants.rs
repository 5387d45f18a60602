//! Whose descendant a process is, also after it has left its group, closed every descriptor and lost its parents.
//!
//! Everything that a process inherits can be changed by those who mean to leave: group, session, descriptors. What
//! nobody changes is a resource limit without an effect: the number of file locks has not been limited since Linux
//! 2.4.25, yet the value is kept, inherited over fork and exec, and shown in `/proc`. Each member gets its own, at
//! random, and so what is handed to the master as subreaper can be told apart: a helper that a living worker has sent
//! into the background is left alone, one of a dead worker is ended.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, pidfd_open, pidfd_send_signal, prlimit};

use super::chance::random;

/// From now on, what members leave behind is handed to this process, and not to whoever is in charge of the machine.
pub(crate) fn adopt_descendants() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// The mark of one process and of all that descends from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

impl Mark {
    /// Marks keep clear of the values that people set by hand, small ones and "unlimited".
    const PREFIX: u64 = 0x4a7c << 48;

    /// One that nobody else has.
    pub(super) fn fresh() -> io::Result<Mark> {
        Ok(Mark(Mark::PREFIX | random()? >> 16))
    }

    fn from_limit(limit: u64) -> Option<Mark> {
        (limit & (0xffff << 48) == Mark::PREFIX).then_some(Mark(limit))
    }

    /// The mark of this process, if it is a member.
    pub(super) fn own() -> Option<Mark> {
        getrlimit(Resource::Locks).current.and_then(Mark::from_limit)
    }

    /// The mark that `pid` inherited or was given. `None`: none, or it is gone, or hidden from us.
    ///
    /// # Errors
    /// It could not be looked at, for now: we are short of descriptors or of memory.
    pub(super) fn of(pid: Pid) -> io::Result<Option<Mark>> {
        let limits = match fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())) {
            Ok(limits) => limits,
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(error),
        };
        let locks = limits.lines().find_map(|line| line.strip_prefix("Max file locks"));
        let locks = locks.and_then(|locks| locks.split_whitespace().next()?.parse().ok());
        Ok(locks.and_then(Mark::from_limit))
    }

    /// Marks `pid`, and all that it starts from now on.
    pub(super) fn put_on(self, pid: Pid) -> io::Result<()> {
        let maximum = getrlimit(Resource::Locks).maximum;
        prlimit(Some(pid), Resource::Locks, Rlimit { current: Some(self.0), maximum })?;
        Ok(())
    }
}

/// The children of this process, those that were handed to it included.
///
/// # Errors
/// They could not be looked for, which does not mean that there are none.
pub(super) fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(thread?.path().join("children")) {
            Ok(list) => children.extend(list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?))),
            // The thread has ended, and another one of ours has its children.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

/// Whether a file in `/proc` is not there, or was not any more when it was read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Kills every process of the machine that carries one of `marks`, and returns the marks of those that were alive.
///
/// # Errors
/// They could not be looked for, which does not mean that there are none.
pub(super) fn kill_marked(marks: &[Mark]) -> io::Result<Vec<Mark>> {
    let mut killed = Vec::new();
    if marks.is_empty() {
        return Ok(killed);
    }
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else { continue };
        let marked = || Ok::<_, io::Error>(Mark::of(pid)?.filter(|mark| marks.contains(mark)));
        if marked()?.is_none() || !is_alive(pid) {
            continue;
        }
        // No child of ours: its number may come to mean somebody else. Held, and marked still, it is the one.
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if let Some(mark) = marked()? {
            killed.push(mark);
            let _ = pidfd_send_signal(&held, Signal::KILL);
        }
    }
    Ok(killed)
}

fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The name in brackets may contain anything.
    let state = stat.rsplit(')').next().unwrap_or_default().split_whitespace().next();
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// Every process of the machine that carries `mark` or is in process group `group`, but not `except`.
pub(super) fn family(mark: Option<Mark>, group: Pid, except: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|&pid| pid != except && is_alive_in(pid, mark, group)).collect()
}

fn is_alive_in(pid: Pid, mark: Option<Mark>, group: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { return false };
    // The name in brackets may contain anything; the fields behind the last bracket are state, parent, group.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let (state, _parent, of_group) = (fields.next(), fields.next(), fields.next());
    if matches!(state, Some("Z" | "X")) {
        return false;
    }
    of_group.and_then(|of_group| of_group.parse().ok()) == Some(group.as_raw_nonzero().get())
        || (mark.is_some() && Mark::of(pid).is_ok_and(|of_pid| of_pid == mark))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_mark_follows_who_leaves_group_session_and_parents() {
        // The shell marks nobody: it waits until it was marked, then leaves a grandchild behind in a session of its own.
        let mut shell = Command::new("sh")
            .args(["-c", "read go; (setsid sh -c 'echo $$; exec sleep 30' </dev/null &) ; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let pid = Pid::from_child(&shell);
        let mark = Mark::fresh().expect("randomness");
        assert_eq!(Mark::of(pid).expect("/proc"), None);
        mark.put_on(pid).expect("it is ours");
        assert_eq!(Mark::of(pid).expect("/proc"), Some(mark));
        drop(shell.stdin.take());
        let mut line = String::new();
        let stdout = shell.stdout.take().expect("it is piped");
        io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line).expect("its number");
        // Another test's nursery may have been faster.
        let _ = shell.wait();
        let stray = Pid::from_raw(line.trim().parse().expect("a number")).expect("not zero");
        assert_eq!(Mark::of(stray).expect("/proc"), Some(mark));
        let group = rustix::process::getpgrp();
        assert_eq!(family(Some(mark), Pid::from_raw(i32::MAX).expect("not zero"), group), [stray]);
        rustix::process::kill_process(stray, rustix::process::Signal::KILL).expect("it is ours");
    }
}
