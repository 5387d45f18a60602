//! What goes wrong in a member is in the error log, also when the member died of it.

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::family::{family, read, ready, until};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "an exception is an entry with its backtrace, of a member that lives and of one that died of it",
            exceptions,
        ),
        trial("an end without an exception is an entry, and so is that of the agent", ends),
        trial("what a member of the family logs as an error is in its file and in that of all", errors),
        trial("why a family could not begin is in the error log", early),
        trial("what is logged before a failure to begin is written", before),
    ]
}

/// The lines of an entry.
fn entry(log: &str, text: &str) -> Vec<String> {
    let mut lines = log.lines().skip_while(|line| !line.contains(text));
    let first = lines.next().map(str::to_owned);
    first.into_iter().chain(lines.take_while(|line| line.starts_with("    ")).map(str::to_owned)).collect()
}

fn exceptions() {
    let dir = tempfile::tempdir().expect("a directory");
    let family = ready("count", dir.path(), &["0"]);
    family.order("worker/0", "throw");
    family.until_logged("error.log", "thrown here");
    family.order("worker/1", "abort");
    family.until_logged("error.log", "aborted here");
    family.order("agent/0", "throw");
    family.until_logged("error.log", "ERROR agent/0#1 hatchery::exception: panicked at");
    family.order("agent/0", "report");
    family.until_logged("error.log", "reported here");
    assert!(family.stop().success());
    let log = read(dir.path(), "error.log");
    for (text, member, function) in
        [("thrown here", "worker/0#1", "thrown_here"), ("aborted here", "worker/1#1", "aborted_here")]
    {
        let entry = entry(&log, text);
        assert!(
            entry[0].contains(&format!("ERROR {member} hatchery::exception: panicked at tests/logs/")),
            "{entry:?}"
        );
        assert!(entry.iter().any(|line| line.contains(function)), "no {function} in {entry:#?}");
        let times = log.lines().filter(|line| line.contains(text) && line.contains(member)).count();
        assert_eq!(times, 1, "{log}");
    }
    assert_eq!(read(dir.path(), "agent.log").matches("thrown here").count(), 1, "and in the file of its role");
}

fn ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut family = ready("count", dir.path(), &["0"]);
    family.signal(family.pid("worker/1"), Signal::KILL);
    family.until_logged("error.log", "ERROR worker/1#1 hatchery::exception: killed by signal 9");
    family.kill_agent();
    family.until_logged("error.log", "ERROR agent/0#1 hatchery::exception: killed by signal 9");
    // A program that exits by itself, a moment after a panic that nobody was told of.
    family.order("worker/0", "exit");
    family.until_logged("error.log", "ERROR worker/0#1 hatchery::exception: exited with code 3");
    assert!(family.stop().success());
    let log = read(dir.path(), "error.log");
    assert_eq!(log.matches("the last words").count(), 1, "{log}");
    assert_eq!(log.lines().filter(|line| !line.starts_with("    ")).count(), 4, "clean ends are none: {log}");
}

fn errors() {
    let dir = tempfile::tempdir().expect("a directory");
    let family = ready("count", dir.path(), &["0"]);
    family.order("worker/1", "fail");
    family.order("worker/1", "forge");
    family.order("worker/1", "fail to format");
    family.order("worker/1", "log at length");
    family.order("worker/1", "span");
    family.until_logged("worker.log", "within");
    assert!(family.stop().success());
    let (log, errors) = (read(dir.path(), "worker.log"), read(dir.path(), "error.log"));
    let failed = errors.lines().next().expect("there is one");
    assert!(failed.ends_with(" ERROR worker/1#1 logs::scenarios: failed code=7"), "{failed}");
    assert!(log.lines().any(|line| line == failed) && errors.lines().count() == 1, "{errors}");
    assert!(
        log.contains("  WARN worker/1#1 logs::scenarios: first\\n2026-01-01T00:00:00Z ERROR forged\\x1b[2J\n"),
        "{log}"
    );
    assert!(log.contains("  INFO worker/1#1 logs::scenarios request{id=9}: within\n"), "{log}");
    assert!(!log.contains("begun and"), "what cannot be said leaves nothing behind");
    let long = log.lines().find(|line| line.contains("long long")).expect("it is there");
    assert!(long.len() < 40_000 && long.ends_with(" bytes more"), "{}", long.len());
}

fn early() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut family = family("fail before the agent", dir.path(), &[]);
    assert_eq!(family.end().code(), Some(1));
    // There was never an agent to write it.
    let log = read(dir.path(), "error.log");
    let entry = entry(&log, "ERROR agent/0#1 hatchery::exception: panicked at");
    assert!(entry[0].ends_with("failed to begin") && entry.iter().any(|line| line.contains("failing")), "{log}");
    assert_eq!(log.matches("failed to begin").count(), 1, "{log}");
}

fn before() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut family = family("fail at once", dir.path(), &[]);
    assert_eq!(family.end().code(), Some(1));
    until("what it said", || read(dir.path(), "worker.log").contains("about to fail").then_some(()));
    assert_eq!(read(dir.path(), "error.log").matches("failed to begin").count(), 1);
}
