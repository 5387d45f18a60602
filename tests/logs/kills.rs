//! The one who writes is killed, stops, or is replaced, and what the others log is in the files all the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::family::{all_of, counted, family, read, ready, until};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("an agent that is killed a hundred times loses no line, and tears and repeats none", killed),
        trial("what does not fit while the agent stands still is counted, and nobody waits for it", stands_still),
        trial("a member that is stopped while it logs has all of it written before the agent goes", stopped),
    ]
}

const KILLS: u32 = 100;

/// How much is in all files of that name.
fn size(dir: &Path, name: &str) -> u64 {
    all_of(dir, name).iter().filter_map(|file| fs::metadata(dir.join(file)).ok()).map(|about| about.len()).sum()
}

fn killed() {
    const LINES: u64 = 25_000;
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("log");
    // A tenth of it is errors, which are in two files, and files are put aside again and again.
    let mut family = ready("count hard", &dir, &[&LINES.to_string(), "200"]);
    let seed = family.master();
    println!("seed {seed}");
    for kill in 0..KILLS {
        // In the middle of writing, not of coming back; at any moment of that.
        let before = size(&dir, "worker.log");
        until("something written", || (size(&dir, "worker.log") > before).then_some(()));
        let moment = (seed.wrapping_mul(2_654_435_761) ^ kill.wrapping_mul(40_503)) % 5_000;
        std::thread::sleep(Duration::from_micros(moment.into()));
        family.kill_agent();
    }
    let whole = |name: &str| all_of(&dir, name).iter().map(|file| read(&dir, file)).collect::<String>();
    for worker in ["worker/0#1", "worker/1#1"] {
        let last = format!("{worker} logs::scenarios: counted n={LINES} ");
        until(&last, || whole("worker.log").contains(&last).then_some(()));
    }
    assert!(family.stop().success());
    let (all, errors) = (counted(&whole("worker.log")), counted(&whole("error.log")));
    for worker in ["worker/0#1", "worker/1#1"] {
        assert_eq!(all.check(worker, LINES), 0, "there was room for all");
        assert_eq!(errors.check(worker, LINES / 10), 0);
    }
    let ended =
        whole("error.log").lines().filter(|line| line.ends_with("hatchery::exception: killed by signal 9")).count();
    assert_eq!(ended as u32, KILLS, "each of its ends is in the error log, once");
    assert!(all_of(&dir, "worker.log").len() > 5, "files were put aside");
}

fn stands_still() {
    const LINES: u64 = 60_000;
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("log");
    let mut family = ready("count in little room", &dir, &[&LINES.to_string(), "0"]);
    let agent = family.pid("agent/0");
    family.signal(agent, Signal::STOP);
    fs::write(dir.with_extension("go"), "").expect("there is room");
    family.hear_of("worker/0 has counted");
    family.signal(agent, Signal::CONT);
    family.until_logged("worker.log", "lines were dropped: there was no room for them");
    assert!(family.stop().success());
    let dropped = counted(&read(&dir, "worker.log")).check("worker/0#1", LINES);
    assert!(dropped > 0, "more than there was room for was logged");
    println!("{dropped} of {LINES} dropped");
}

fn stopped() {
    const LINES: u64 = 3000;
    let dir = tempfile::tempdir().expect("a directory");
    let mut family = family("count", dir.path(), &[&LINES.to_string(), "0"]);
    family.hear_of("worker/0 has counted");
    assert!(family.stop().success());
    assert_eq!(counted(&read(dir.path(), "worker.log")).check("worker/0#1", LINES), 0);
}
