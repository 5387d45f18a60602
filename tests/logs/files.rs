//! The files: their names, their forms, and what becomes of them while somebody writes.

use std::fs;

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::family::{all_of, counted, family, read, ready, until};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a file that was renamed is let go with SIGUSR1, and no line is lost by it", renamed),
        trial("files that are long enough are put aside, and all lines are in one of them", rolled),
        trial("a line of JSON is an object that names its member, and a kind has a file of its own", json),
        trial("threads of one process log as processes do", threads),
        trial("two clusters cannot write to one directory", twice),
    ]
}

fn renamed() {
    const LINES: u64 = 4000;
    let dir = tempfile::tempdir().expect("a directory");
    let mut family = ready("count", dir.path(), &[&LINES.to_string(), "200"]);
    for nth in 0..3 {
        until("something to rename", || (!read(dir.path(), "worker.log").is_empty()).then_some(()));
        fs::rename(dir.path().join("worker.log"), dir.path().join(format!("aside.{nth}"))).expect("it is there");
        family.signal(family.master(), Signal::USR1);
        until("a new file", || dir.path().join("worker.log").exists().then_some(()));
    }
    family.hear_of("worker/0 has counted");
    assert!(family.stop().success());
    let whole = ["aside.0", "aside.1", "aside.2", "worker.log"].map(|name| read(dir.path(), name)).concat();
    assert_eq!(counted(&whole).check("worker/0#1", LINES), 0);
}

fn rolled() {
    const LINES: u64 = 2000;
    let dir = tempfile::tempdir().expect("a directory");
    let mut family = ready("count in small files", dir.path(), &[&LINES.to_string(), "100"]);
    family.kill_agent();
    for worker in ["worker/0", "worker/1"] {
        until(worker, || {
            let all = all_of(dir.path(), "worker.log").into_iter().map(|name| read(dir.path(), &name));
            all.collect::<String>().contains(&format!("{worker}#1 logs::scenarios: counted n={LINES} ")).then_some(())
        });
    }
    assert!(family.stop().success());
    let files = all_of(dir.path(), "worker.log");
    assert!(files.len() > 10, "{files:?}");
    let whole: String = files.iter().map(|name| read(dir.path(), name)).collect();
    let counted = counted(&whole);
    assert_eq!(counted.check("worker/0#1", LINES) + counted.check("worker/1#1", LINES), 0);
}

fn json() {
    let dir = tempfile::tempdir().expect("a directory");
    let family = ready("count in json", dir.path(), &["0"]);
    for what in ["access", "forge", "log at length", "span", "fail", "throw"] {
        family.order("worker/0", what);
    }
    family.until_logged("error.log", "thrown here");
    assert!(family.stop().success());
    let lines = |name: &str| -> Vec<serde_json::Value> {
        read(dir.path(), name).lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    };
    let said = |name: &str| -> Vec<(String, String, String)> {
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let of =
            |line: &serde_json::Value| (text(&line["member"]), text(&line["level"]), text(&line["fields"]["message"]));
        lines(name).iter().map(of).collect()
    };
    let row = |level: &str, message: &str| ("worker/0#1".to_owned(), level.to_owned(), message.to_owned());
    assert_eq!(said("access.log"), [row("INFO", "answered")]);
    let forged = "first\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J";
    let long = said("worker.log").remove(1);
    assert!(long.2.starts_with("a line of ") && long.2.contains("long long"), "{long:?}");
    assert_eq!(said("worker.log")[0], row("WARN", forged));
    assert_eq!(said("worker.log")[2..4], [row("INFO", "within"), row("ERROR", "failed")]);
    let spans = lines("worker.log")[2]["spans"].as_array().expect("a list").clone();
    assert_eq!(spans.last().map(|span| (&span["name"], &span["id"])), Some((&"request".into(), &9.into())));
    let exception = lines("error.log").pop().expect("there is one");
    assert_eq!(exception["target"], "hatchery::exception");
    assert!(exception["fields"]["backtrace"].as_str().is_some_and(|text| text.contains("thrown_here")), "{exception}");
}

fn threads() {
    const LINES: u64 = 2000;
    let dir = tempfile::tempdir().expect("a directory");
    let family = ready("count in threads", dir.path(), &[&LINES.to_string(), "0"]);
    family.order("worker/1", "throw");
    family.until_logged("error.log", "thrown here");
    for worker in ["worker/0#1", "worker/1#1"] {
        family.until_logged("worker.log", &format!("{worker} logs::scenarios: counted n={LINES} "));
    }
    assert!(family.stop().success());
    let counted = counted(&read(dir.path(), "worker.log"));
    assert_eq!(counted.check("worker/0#1", LINES) + counted.check("worker/1#1", LINES), 0);
}

fn twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = ready("count", dir.path(), &["0"]);
    let mut second = family("fail at once", dir.path(), &[]);
    assert_eq!(second.end().code(), Some(1));
    let said = second.stderr();
    assert!(said.contains("are written by somebody else: each cluster needs a directory of its own"), "{said}");
    first.order("worker/0", "fail");
    first.until_logged("worker.log", "failed code=7");
    assert!(first.stop().success());
}
