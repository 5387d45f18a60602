//! A disk that has no room, and a directory that is none.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::family::{Counted, counted, family, through, until};
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

/// Runs what follows where the directory that is its fourth word is a file system of its own.
const IN_SMALL: [&str; 6] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];

/// One of four megabytes, three of which are taken.
const MOUNT: &str =
    r#"mount -t tmpfs -o size=4m tmpfs "$3" && head -c 3145728 /dev/zero > "$3/ballast" && exec "$0" "$@""#;

fn disk_full() {
    // Two megabytes from both: more than fits, and less than those may keep who log.
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
    family.until_complained("the logs cannot be written: No space left on device");
    // What is mounted there is seen by them alone, and through them.
    let inside = PathBuf::from(format!("/proc/{}/root{}", family.master(), dir.path().display()));
    let lines = || {
        let text = fs::read_to_string(inside.join("worker.log")).expect("text");
        // A batch that has no room is there for a moment, in part, and one that has may be seen half written.
        counted(&text[..text.rfind('\n').map_or(0, |end| end + 1)])
    };
    let number = |of: &Counted| of.numbers.values().map(Vec::len).sum::<usize>();
    assert!(number(&lines()) < 2 * LINES as usize, "there is room for all");
    // An operator makes room.
    fs::remove_file(inside.join("ballast")).expect("it is there");
    family.until_complained("the logs are written again");
    let whole = until("the rest", || Some(lines()).filter(|lines| number(lines) == 2 * LINES as usize));
    assert_eq!(whole.check("worker/0#1", LINES) + whole.check("worker/1#1", LINES), 0);
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
