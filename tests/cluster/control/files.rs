//! Who holds a control directory, and who may come near it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use hatchery::{ControlClient, ControlError};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::{controlled, place, status};
use crate::harness::{copy, scenario};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("control: two clusters with a directory each do not see each other", two),
        trial(
            "control: a second cluster on a directory is refused the socket, runs without, and the first is untouched",
            second,
        ),
        trial("control: what a killed master has left is taken over", taken_over),
        trial("control: a directory that is open to others is refused, and the cluster runs without", open_to_others),
        trial("control: where nobody is, a client is told that nothing runs", nobody),
        trial("control: another user is turned away, also where the files would let it in", another_user),
        trial("control: who may change something is as was set", admins),
    ]
}

fn inodes(dir: &Path) -> Vec<(u64, u32)> {
    let of = |name: &str| fs::symlink_metadata(dir.join(name)).expect("it is there");
    ["control.sock", "control.lock"].map(|name| (of(name).ino(), of(name).mode() & 0o777)).into()
}

fn two() {
    let ((_one, first_dir), (_other, second_dir)) = (place(), place());
    let (mut first, mut second) = (controlled(&first_dir).ready(), controlled(&second_dir).ready());
    for (cluster, dir) in [(&first, &first_dir), (&second, &second_dir)] {
        let status = status(dir);
        let mut pids: Vec<u32> = status.members.iter().filter_map(|member| member.pid).collect();
        let mut own = cluster.members();
        pids.sort_unstable();
        own.sort_unstable();
        assert_eq!((status.master_pid, pids), (cluster.master(), own));
    }
    assert_eq!(first.stop().code(), Some(0));
    assert_eq!(status(&second_dir).stage, "ready");
    assert_eq!(second.stop().code(), Some(0));
}

fn second() {
    let (_scratch, dir) = place();
    let mut first = controlled(&dir).ready();
    let before = inodes(&dir);
    assert_eq!(before.iter().map(|(_, mode)| *mode).collect::<Vec<_>>(), [0o600, 0o600]);
    assert_eq!(fs::metadata(&dir).expect("it is there").mode() & 0o777, 0o700);
    let mut second = controlled(&dir).ready();
    let said = second.said("the control socket is not served");
    let why = format!("is held by another master, process {}", first.master());
    assert!(said.contains(&why), "{said}");
    assert_eq!(second.stop().code(), Some(0));
    assert_eq!(inodes(&dir), before);
    assert_eq!(status(&dir).master_pid, first.master());
    assert_eq!(first.stop().code(), Some(0));
    assert_eq!(fs::read_dir(&dir).expect("it stays").count(), 0);
}

fn taken_over() {
    let (_scratch, dir) = place();
    let mut first = controlled(&dir).ready();
    first.signal(Signal::SIGKILL);
    first.wait();
    // Its members may live for a moment: they hold neither the socket nor the lock.
    assert_eq!(inodes(&dir).len(), 2, "both are left behind");
    assert!(matches!(ControlClient::connect(&dir), Err(ControlError::NotRunning(_))));
    let mut second = controlled(&dir).ready();
    assert_eq!(status(&dir).master_pid, second.master());
    assert_eq!(second.stop().code(), Some(0));
    assert_eq!(fs::read_dir(&dir).expect("it stays").count(), 0);
    first.until_nobody();
}

fn open_to_others() {
    let (_scratch, dir) = place();
    fs::create_dir(&dir).expect("room");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).expect("it is ours");
    let mut cluster = controlled(&dir).ready();
    let said = cluster.said("the control socket is not served");
    assert!(said.contains("is open to others: its mode is 750, and 700 is the most that it may be"), "{said}");
    assert_eq!(fs::read_dir(&dir).expect("it is there").count(), 0);
    assert_eq!(fs::metadata(&dir).expect("it is there").mode() & 0o777, 0o750, "it is not ours to close");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn nobody() {
    let (_scratch, dir) = place();
    assert!(matches!(ControlClient::connect(&dir), Err(ControlError::NotRunning(_))), "no directory");
    fs::create_dir(&dir).expect("room");
    assert!(matches!(ControlClient::connect(&dir), Err(ControlError::NotRunning(_))), "no socket");
    drop(std::os::unix::net::UnixListener::bind(dir.join("control.sock")).expect("a free path"));
    let error = ControlClient::connect(&dir).expect_err("nobody listens");
    assert_eq!(error.to_string(), format!("not running: nobody listens on {}", dir.join("control.sock").display()));
    let long = dir.join("x".repeat(100));
    assert!(matches!(ControlClient::connect(&long), Err(ControlError::BadPath(_))));
}

/// Any user that we are not.
const STRANGER: u32 = 65_534;

/// Only root can start somebody as another user.
fn stranger() -> Option<u32> {
    geteuid().is_root().then_some(STRANGER)
}

fn another_user() {
    let Some(stranger) = stranger() else { return eprintln!("only root can be somebody else: not shown") };
    let (scratch, dir) = place();
    let program = copy(&scratch);
    let mut cluster = controlled(&dir).ready();
    let ask = || {
        let client = scenario("control-client").arg("--dir", dir.display()).program(&program).user(Some(stranger));
        let mut client = client.spawn();
        client.said("that is all");
        client.wait_code(0);
        client.lines().join("\n")
    };
    assert!(ask().starts_with("no connection: not allowed: "), "the directory keeps it out");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(dir.join("control.sock"), fs::Permissions::from_mode(0o666)).expect("it is ours");
    let said = ask();
    // It does not trust a socket of root's less than one of its own: it is the master that knows who it is.
    assert!(said.starts_with("no connection: not allowed: only the user of the master may connect"), "{said}");
    cluster.said(&format!("another user was turned away from the control socket uid={stranger}"));
    assert_eq!(status(&dir).stage, "ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn admins() {
    for who in ["owner", "nobody"] {
        let Some(stranger) = stranger() else { return eprintln!("only root can be somebody else: not shown") };
        let scratch = tempfile::tempdir().expect("room");
        let program = copy(&scratch);
        let dir = scratch.path().join("control");
        fs::create_dir(&dir).expect("room");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
        nix::unistd::chown(&dir, Some(stranger.into()), None).expect("we are root");
        let mut cluster = controlled(&dir).arg("--admins", who).program(&program).user(Some(stranger)).ready();
        let restart = hatchery::ControlRequest::Restart { slot: "worker/0".into() };
        // We are root: it looks, and changes nothing.
        assert_eq!(status(&dir).stage, "ready");
        let denied = super::ask(&dir, restart);
        assert!(matches!(denied, hatchery::ControlReply::Denied { .. }), "{denied:?}");
        cluster.said("control verb=restart worker/0 uid=0");
        let own = scenario("control-client").arg("--dir", dir.display()).program(&program).user(Some(stranger));
        let mut own = own.spawn();
        let said = own.said("restart worker/0: ");
        let is_done = said.contains("Done");
        assert_eq!(is_done, who == "owner", "{said}");
        own.wait_code(0);
        assert_eq!(cluster.count("worker/0#2 pid"), usize::from(is_done));
        assert_eq!(cluster.stop().code(), Some(0));
    }
}
