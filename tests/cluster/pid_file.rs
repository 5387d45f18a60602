//! The file with the number of the master.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Start, copy, probe, until};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("scenario 19: the pid file is there before the first member, and gone with the master", lifetime),
        trial("a second start on the same pid file is refused by the first's pid, before it binds anything", second),
        trial("scenario 19: the pid file of a killed master is taken over, and so is garbage", stale),
        trial("scenario 19: a pid file that somebody has removed or replaced is no loss at the end", removed),
        trial("a pid file that cannot be taken fails the start and names the path", impossible),
        trial("no member holds the pid file", members_hold_nothing),
        trial("of ten masters that are started at once on one pid file one runs", crowd),
    ]
}

fn with(path: &Path) -> Start {
    probe("ready stopping", "ready stopping").arg("--pid-file", path.display())
}

/// A directory, and the path of a pid file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cluster.pid");
    (directory, path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

fn lifetime() {
    let (directory, path) = place();
    let mut cluster = probe("ready stopping", "ready stopping").arg("--pid-file", path.display()).spawn();
    cluster.said("agent/0#1 pid");
    assert_eq!(read(&path), format!("{}\n", cluster.master()));
    cluster.line(|line| line.starts_with("ready "));
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o022, 0, "others only read it");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(fs::read_dir(directory.path()).expect("it is ours").count(), 0);
    // A start that fails leaves none either.
    let mut cluster = probe("exit:3", "ready").arg("--pid-file", path.display()).spawn();
    cluster.wait_code(1);
    assert!(!path.exists());
}

fn second() {
    let (_directory, path) = place();
    let directory = tempfile::tempdir().expect("a directory");
    let listen = format!("unix:{}", directory.path().join("socket").display());
    let mut first = with(&path).arg("--listen", &listen).ready();
    let before = fs::metadata(&path).expect("it is there").modified().expect("it has a time");
    // The address is taken as well: it is not asked for.
    let mut second = with(&path).arg("--listen", &listen).spawn();
    second.wait_code(1);
    let sentence = format!(
        "hatchery: the pid file {} is held by a process that runs, pid {}: stop that first",
        path.display(),
        first.master()
    );
    assert_eq!(second.stderr(), sentence);
    assert_eq!((read(&path), first.members().len()), (format!("{}\n", first.master()), 2));
    assert_eq!(fs::metadata(&path).expect("it is there").modified().expect("it has a time"), before);
    assert_eq!(first.stop().code(), Some(0));
    assert!(!path.exists());
}

fn stale() {
    let (_directory, path) = place();
    let mut killed = with(&path).ready();
    killed.signal(Signal::SIGKILL);
    killed.wait();
    killed.until_nobody();
    assert_eq!(read(&path), format!("{}\n", killed.master()), "nobody could remove it");
    // 1 is a process that runs, and has no lock.
    for left in [None, Some("1\n"), Some("garbage"), Some("")] {
        if let Some(text) = left {
            fs::write(&path, text).expect("room");
        }
        let mut next = with(&path).ready();
        assert_eq!(read(&path), format!("{}\n", next.master()));
        assert_eq!(next.stop().code(), Some(0));
        assert!(!path.exists());
    }
}

fn removed() {
    let (_directory, path) = place();
    let mut cluster = with(&path).ready();
    fs::remove_file(&path).expect("it is there");
    assert_eq!(cluster.stop().code(), Some(0));
    let mut cluster = with(&path).ready();
    fs::remove_file(&path).expect("it is there");
    fs::write(&path, "somebody else's").expect("room");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!((cluster.stderr(), read(&path)), (String::new(), "somebody else's".into()));
}

fn impossible() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = copy(&directory);
    let user = nix::unistd::geteuid().is_root().then_some(65_534);
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).expect("room");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("it is ours");
    let unreadable = directory.path().join("unreadable");
    File::create(&unreadable).expect("room").set_permissions(fs::Permissions::from_mode(0o000)).expect("it is ours");
    let cases = [
        (directory.path().join("no/such/pid"), "No such file or directory (os error 2)"),
        (closed.join("pid"), "Permission denied (os error 13)"),
        (unreadable, "Permission denied (os error 13)"),
        (directory.path().to_owned(), "Is a directory (os error 21)"),
    ];
    for (path, why) in cases {
        let mut cluster = with(&path).program(&program).user(user).spawn();
        cluster.wait_code(1);
        assert_eq!(cluster.stderr(), format!("hatchery: failed to take the pid file {}: {why}", path.display()));
        assert_eq!(cluster.lines(), Vec::<String>::new(), "nobody was started");
    }
    let long = directory.path().join("long");
    fs::write(&long, "x".repeat(1000)).expect("room");
    let mut cluster = with(&long).spawn();
    cluster.wait_code(1);
    assert_eq!(
        cluster.stderr(),
        format!("hatchery: {} cannot be the pid file: it is too long for one", long.display())
    );
    assert_eq!(fs::metadata(&long).expect("it is there").len(), 1000);
}

fn members_hold_nothing() {
    let (_directory, path) = place();
    let mut cluster = with(&path).ready();
    let holds = |pid: u32| crate::harness::descriptors(pid).iter().any(|link| Path::new(link) == path);
    assert!(holds(cluster.master()));
    for member in cluster.members() {
        assert!(!holds(member), "{member}");
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn crowd() {
    let (_directory, path) = place();
    let mut masters: Vec<_> = (0..10).map(|_| with(&path).spawn()).collect();
    let running = || masters.iter().filter(|master| master.count("cluster is ready") > 0).count();
    until("one runs", || (running() == 1).then_some(()));
    let pid: u32 = read(&path).trim().parse().expect("a number");
    for master in &mut masters {
        if master.master() != pid {
            master.wait_code(1);
            master.complained("is held by a process that runs");
        }
    }
    let winner = masters.iter_mut().find(|master| master.master() == pid).expect("it is one of them");
    winner.line(|line| line.starts_with("ready "));
    assert_eq!(winner.stop().code(), Some(0));
    assert!(!path.exists());
}
