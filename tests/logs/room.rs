//! A disk that has no room, and a directory that is none.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::family::{counted, family, through, until};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    let full = "a disk that is full stops nobody, and when there is room again all is written";
    // A file system of its own needs a namespace of its own, which not every machine allows.
    let allowed = std::process::Command::new(IN_SMALL[0]).args(&IN_SMALL[1..4]).arg("true").status();
    let full = match allowed.is_ok_and(|status| status.success()) {
        true => trial(full, disk_full),
        false => Trial::test(full, || Ok(())).with_ignored_flag(true),
    };
    vec![full, trial("a directory that cannot be made fails the start, and says which", no_directory)]
}

/// Runs what follows where the directory that is its fourth word is a file system of two megabytes.
const IN_SMALL: [&str; 6] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];

const MOUNT: &str = r#"mount -t tmpfs -o size=2m tmpfs "$3" && exec "$0" "$@""#;

fn disk_full() {
    // More than fits, and less than those may keep who log.
    const LINES: u64 = 12_000;
    let dir = tempfile::tempdir().expect("a directory");
    let words: Vec<&str> = IN_SMALL.into_iter().chain([MOUNT]).collect();
    let mut family = through(&words, "count", dir.path(), &[&LINES.to_string(), "0"]);
    let (mut one, mut two) = (false, false);
    while !(one && two) {
        let line = family.hear();
        one |= line == "worker/0 has counted";
        two |= line == "worker/1 has counted";
    }
    // What is mounted there is seen by them alone, and through them.
    let inside = PathBuf::from(format!("/proc/{}/root{}", family.master(), dir.path().display()));
    let log = inside.join("worker.log");
    let full = until("a full disk", || {
        let written = fs::metadata(&log).map_or(0, |about| about.len());
        // Not even one batch has room.
        (written > 1_200_000).then(|| fs::read_to_string(&log).expect("text"))
    });
    let told = counted(&full);
    assert!(told.numbers.values().map(Vec::len).sum::<usize>() < 2 * LINES as usize, "there is room for all");
    // An operator makes room.
    fs::rename(&log, inside.join("aside")).expect("it is there");
    let mut whole = fs::read_to_string(inside.join("aside")).expect("text");
    fs::remove_file(inside.join("aside")).expect("it is there");
    whole += &until("the rest", || {
        let rest = fs::read_to_string(&log).unwrap_or_default();
        let has = |worker: &str| rest.contains(&format!("{worker}#1 logs::scenarios: counted n={LINES} "));
        (has("worker/0") && has("worker/1")).then_some(rest)
    });
    let counted = counted(&whole);
    assert_eq!(counted.check("worker/0#1", LINES) + counted.check("worker/1#1", LINES), 0);
    assert!(family.stop().success());
}

fn no_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("there is room");
    let mut family = family("nowhere", &file.join("log"), &[]);
    assert_eq!(family.end().code(), Some(1));
    let said = family.stderr();
    assert!(said.contains(&format!("failed to open the logs in {}", file.join("log").display())), "{said}");
}
