//! What a new process finds out and puts in order about itself before its first thread: whether it is a member, where
//! its link is, whose child it is, and what its launcher left in it that is not for it.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};

use super::boot::{self, Boot};
use crate::identity::Slot;

/// A member's exit code when its master is lost. Egg's number.
pub(crate) const MASTER_LOST: i32 = 110;

/// The `argv[0]` of a member, as it reads in `ps`: `web: worker/2`, or `web: worker/2@mailers` where the program has
/// several clusters.
pub(crate) fn title(program: &str, slot: Slot, cluster: Option<&str>) -> OsString {
    match cluster {
        Some(cluster) => format!("{program}: {slot}@{cluster}").into(),
        None => format!("{program}: {slot}").into(),
    }
}

/// Who a process is by its `argv[0]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) role: String,
    pub(crate) index: u16,
    /// Of which of the clusters of its program.
    pub(crate) cluster: Option<String>,
}

/// What an `argv[0]` claims. `None`: it is not that of a member.
pub(crate) fn claimed(argv0: &OsStr) -> Option<Claim> {
    let (_, seat) = argv0.to_str()?.rsplit_once(": ")?;
    let (slot, cluster) = match seat.split_once('@') {
        Some((slot, cluster)) => (slot, Some(cluster.to_owned())),
        None => (seat, None),
    };
    let (role, index) = slot.rsplit_once('/')?;
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !role.is_empty()).then_some(())?;
    Some(Claim { role: role.to_owned(), index: index.parse().ok()?, cluster })
}

/// Why a process that claims to be a member cannot be one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    #[error(
        "it was started under the name of a member, but its standard input is not the link of a master; \
         members are started by the master alone"
    )]
    NoLink,
    #[error("the master is gone")]
    MasterLost,
    #[error("the first words of the master did not come: {0}")]
    Boot(io::Error),
    #[error("{0}: {1}")]
    Os(&'static str, io::Error),
}

/// A member that stands on its own feet.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) link: UnixStream,
    pub(crate) boot: Boot,
    /// Readable once the master is gone.
    pub(crate) master: OwnedFd,
}

/// Takes the link from standard input, closes what the launcher leaked, and reads the first words.
///
/// The order matters: until the watch thread runs, the death of the master must end this process by signal.
pub(crate) fn settle() -> Result<Settled, SettleError> {
    let os = |step| move |error: io::Error| SettleError::Os(step, error);
    let link = take_link()?;
    close_leaked().map_err(os("failed to close what was leaked"))?;
    SigSet::empty().thread_set_mask().map_err(|error| SettleError::Os("failed to unblock signals", error.into()))?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| SettleError::Os("failed to bind to the master's life", error.into()))?;
    let boot = boot::receive(&link).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => SettleError::MasterLost,
        _ => SettleError::Boot(error),
    })?;
    let master = hold_parent(boot.master_pid)?;
    Ok(Settled { link, boot, master })
}

/// Moves standard input to a number above 2, close-on-exec, and leaves `/dev/null` in its place.
fn take_link() -> Result<UnixStream, SettleError> {
    let os = |step| move |error: io::Error| SettleError::Os(step, error);
    let stdin = io::stdin();
    let is_link = sockopt::socket_domain(&stdin).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && sockopt::socket_type(&stdin).is_ok_and(|kind| kind == SocketType::STREAM);
    if !is_link {
        return Err(SettleError::NoLink);
    }
    let link = stdin.as_fd().try_clone_to_owned().map_err(os("failed to take the link"))?;
    let null = fs::File::open("/dev/null").map_err(os("failed to open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| SettleError::Os("failed to free standard input", error.into()))?;
    Ok(UnixStream::from(link))
}

/// Closes what came over exec besides the first three. What this program has opened itself since then is
/// close-on-exec, as `std` opens everything: that is how the two are told apart.
pub(super) fn close_leaked() -> io::Result<()> {
    const CLOEXEC: u32 = 0o2_000_000;
    let mut leaked = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if number > 2 && flags_of(&entry.path()).is_some_and(|flags| flags & CLOEXEC == 0) {
            leaked.push(number);
        }
    }
    for number in leaked {
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// The flags of an open descriptor, from its file in `/proc`. They are in its second line: one read, where a file of
/// unknown length would take three, of each descriptor at each start.
fn flags_of(info: &Path) -> Option<u32> {
    let mut beginning = [0; 128];
    let got = fs::File::open(info).and_then(|mut file| file.read(&mut beginning)).ok()?;
    let text = std::str::from_utf8(&beginning[..got]).ok()?;
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

/// A descriptor of the master. Taken by number, and checked after it was taken: as long as it is our parent, the number
/// is its own.
fn hold_parent(master: i32) -> Result<OwnedFd, SettleError> {
    let is_parent = || getppid().is_some_and(|parent| parent.as_raw_nonzero().get() == master);
    let pid = Pid::from_raw(master).filter(|_| is_parent()).ok_or(SettleError::MasterLost)?;
    let held = pidfd_open(pid, PidfdFlags::empty())
        .map_err(|error| SettleError::Os("failed to take hold of the master", error.into()))?;
    match is_parent() {
        true => Ok(held),
        false => Err(SettleError::MasterLost),
    }
}

/// Makes this process a likelier victim than the master when memory runs out. Best effort: where it is forbidden, the
/// kernel takes the biggest.
pub(crate) fn volunteer_for_oom(by: i32) {
    const FILE: &str = "/proc/self/oom_score_adj";
    let inherited = fs::read_to_string(FILE).ok().and_then(|score| score.trim().parse::<i32>().ok()).unwrap_or(0);
    let _ = fs::write(FILE, (inherited + by).min(1000).to_string());
}

/// The name in `top` and in the kernel's log, which shows the running image's own name otherwise, `exe`.
pub(crate) fn set_process_name(title: &OsStr) {
    // The kernel keeps 15 bytes: of `program: worker/12` the end says more.
    let bytes = title.as_encoded_bytes();
    let name = match bytes.iter().rposition(|&byte| byte == b' ') {
        Some(space) if bytes.len() > 15 => &bytes[space + 1..],
        _ => bytes,
    };
    if let Ok(name) = CString::new(&name[..name.len().min(15)]) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Puts back the stderr that the master has, in place of the one that is captured while a member boots.
pub(crate) fn restore_stderr(inherited: &OwnedFd) {
    let _ = rustix::stdio::dup2_stderr(inherited);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;

    #[test]
    fn a_title_is_understood_and_nothing_else_is() {
        let read = |argv0: &str| claimed(OsStr::new(argv0));
        let claim = |role: &str, index, cluster: Option<&str>| {
            Some(Claim { role: role.into(), index, cluster: cluster.map(str::to_owned) })
        };
        assert_eq!(claimed(&title("web", Slot::worker(12), None)), claim("worker", 12, None));
        assert_eq!(claimed(&title("a: b", Slot::new(Role::new(3, "mail-er"), 0), None)), claim("mail-er", 0, None));
        assert_eq!(claimed(&title("a@b", Slot::worker(1), Some("jobs"))), claim("worker", 1, Some("jobs")));
        for other in ["web", "./target/web", "web: worker", "web: worker/", "web: worker/x", "web: /1", "web:worker/1"]
        {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(read("web: worker/99999"), None, "no such index");
    }
}
