//! What an operator types, and what is answered.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::{is_alive, scenario, send, until, until_gone};
use crate::place::place;
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a command without a cluster says so, with code 4", not_running),
        trial("status is a table for people and a line of JSON for programs", status),
        trial("status --watch redraws a terminal and leaves it as it was", watch_terminal),
        trial(
            "status --watch is a block each second where there is no terminal, until the cluster has gone",
            watch_pipe,
        ),
        trial("restart, scale and why do what they say, and say what is wrong", operate),
        trial("stop waits until the process has gone, and says when it is still there", stop_slow),
        trial("stop by the pid file signals whoever holds its lock", stop_by_pid_file),
        trial("no process is signalled because its number stands in a stale pid file", stop_stale),
        trial("a second start is refused by the control socket and by the pid file", second),
        trial("logs follow a file over its rotation", follow),
        trial("what is mistyped is refused with code 2", usage),
    ]
}

fn not_running() {
    let place = place();
    let sentence = format!("hatchery: not running: nobody listens on {}/control.sock", place.control().display());
    for (name, options) in [
        ("status", &[][..]),
        ("status", &["--json"]),
        ("status", &["--watch"]),
        ("stop", &[]),
        ("why", &["worker/0"]),
        ("restart", &["worker/0"]),
        ("scale", &["worker", "3"]),
    ] {
        let mut command = place.command(name, options);
        command.wait_code(4);
        assert_eq!((command.stderr(), command.lines()), (sentence.clone(), vec![]), "{name} {options:?}");
    }
    // As a killed master leaves it.
    let mut cluster = place.running("ready stopping", "ready stopping");
    cluster.signal(Signal::SIGKILL);
    cluster.wait();
    cluster.until_nobody();
    assert!(place.control().join("control.sock").exists());
    let mut command = place.command("status", &[]);
    command.wait_code(4);
    assert_eq!(command.stderr(), sentence);
    let mut next = place.running("ready stopping", "ready stopping");
    place.stop(0);
    next.wait_code(0);
    assert_eq!(place.left(), Vec::<String>::new());
}

fn status() {
    let place = place();
    let plan = place
        .probe("ready stopping", "ready 1?#1?cluster 1?#1?exit:3 stopping")
        .arg("--workers", 2)
        .arg("--limit", "off");
    let mut cluster = place.started(plan, &[]).go();
    cluster.said("worker/1#2 cluster is ready");
    let table = place.status();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].contains(": ready, 3 of 3 members ready, up "), "{table}");
    let titles: Vec<&str> = lines[1].split_whitespace().collect();
    let expected = ["SLOT", "PID", "STATE", "UP", "RESTARTS", "CPU", "MEMORY", "CONNS", "MSG/S", "LAST", "EXIT"];
    assert_eq!(titles, expected);
    let pid = cluster.pid_of("worker/1#2").to_string();
    let words: Vec<&str> = lines[4].split_whitespace().collect();
    assert_eq!((words[0], words[1], words[2], words[4]), ("worker/1", &*pid, "ready", "1"), "{table}");
    assert!(lines[4].ends_with("exited with code 3"), "{table}");
    let mut json = place.command("status", &["--json"]);
    json.wait_code(0);
    assert_eq!(json.lines().len(), 1);
    let value: serde_json::Value = serde_json::from_str(&json.lines()[0]).expect("json");
    assert_eq!(value["master_pid"], cluster.master());
    assert_eq!(value["members"][2]["last_exit"], "exited with code 3");
    // Of a member that is stopped, what only it knows is missing, and that is said.
    let stopped = cluster.pid_of("worker/0#1");
    send(stopped, Signal::SIGSTOP);
    let table = place.status();
    assert!(table.ends_with("partial: worker/0#1 did not answer in time"), "{table}");
    send(stopped, Signal::SIGCONT);
    place.stop(0);
    cluster.wait_code(0);
}

/// A terminal of 100 columns and 12 rows: our end, and that of whoever runs in it.
fn terminal() -> (fs::File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("it is ours");
    unlockpt(&ours).expect("it is ours");
    let name = ptsname(&ours, Vec::new()).expect("it has one");
    let theirs =
        fs::OpenOptions::new().read(true).write(true).open(name.to_str().expect("a path")).expect("it is there");
    let size = Winsize { ws_row: 12, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("it is a terminal");
    (fs::File::from(ours), theirs.into())
}

fn watch_terminal() {
    let place = place();
    let mut cluster = place.running("ready stopping", "ready stopping");
    let (mut ours, theirs) = terminal();
    let mut watch = Command::new(std::env::current_exe().expect("it runs"))
        .args(["--scenario", "commands", "status", "--watch", "--control-dir"])
        .arg(place.control())
        .stdin(Stdio::null())
        .stdout(theirs)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut seen = Vec::new();
    let mut read = |until_seen: &dyn Fn(&str) -> bool| {
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&seen).into_owned();
            if until_seen(&text) {
                return text;
            }
            match ours.read(&mut chunk) {
                Ok(got) if got > 0 => seen.extend_from_slice(&chunk[..got]),
                // Nobody holds the other end any more.
                Ok(_) | Err(_) => return text,
            }
        }
    };
    let text = read(&|text| text.matches("\x1b[H").count() >= 2);
    assert!(text.starts_with("\x1b[?1049h\x1b[?25l\x1b[H"), "the second screen first: {text:?}");
    let frame = text.split("\x1b[H").nth(1).expect("a frame");
    assert!(frame.contains("2 of 2 members ready") && frame.contains("worker/0"), "{frame:?}");
    let widths = frame.split("\r\n").map(|line| line.split("\x1b[").next().unwrap_or_default().chars().count());
    assert!(widths.max().is_some_and(|width| width <= 100), "{frame:?}");
    send(watch.id(), Signal::SIGINT);
    assert_eq!(watch.wait().expect("it is ours").code(), Some(0));
    let text = read(&|_| false);
    assert!(text.ends_with("\x1b[?25h\x1b[?1049l"), "the terminal is as it was: {text:?}");
    place.stop(0);
    cluster.wait_code(0);
}

fn watch_pipe() {
    let place = place();
    let mut cluster = place.running("ready stopping", "ready stopping");
    let mut watch = place.command("status", &["--watch"]);
    until("two blocks", || (watch.count("2 of 2 members ready") >= 2).then_some(()));
    assert_eq!(watch.count("\x1b"), 0);
    place.stop(0);
    cluster.wait_code(0);
    let code = watch.wait().code();
    assert!(code == Some(4) || code == Some(1), "{code:?}: {}", watch.stderr());
    assert!(watch.stderr().starts_with("hatchery: "), "{}", watch.stderr());
}

fn operate() {
    let place = place();
    let mut cluster = place.running("ready stopping", "ready stopping");
    let say = |name: &str, options: &[&str], code: i32| {
        let mut command = place.command(name, options);
        command.wait_code(code);
        (command.lines().join("\n"), command.stderr())
    };
    assert_eq!(say("restart", &["worker/0"], 0), ("worker/0 was restarted".into(), String::new()));
    cluster.said("worker/0#2 cluster is ready");
    assert_eq!(say("scale", &["worker", "3"], 0).1, "");
    cluster.said("worker/2#1 cluster is ready");
    assert_eq!(say("scale", &["worker", "0"], 0).1, "");
    assert_eq!(say("scale", &["worker", "1"], 0).1, "");
    assert!(say("why", &["worker/0"], 0).0.contains("worker/0"));
    for (name, options) in [
        ("restart", &["worker/9"][..]),
        ("restart", &["nonsense"]),
        ("why", &["mailer/0"]),
        ("scale", &["mailer", "2"]),
        ("scale", &["agent", "2"]),
    ] {
        let (said, why) = say(name, options, 1);
        assert!(said.is_empty() && why.starts_with("hatchery: ") && why.lines().count() == 1, "{name}: {why}");
    }
    place.stop(0);
    cluster.wait_code(0);
    // What takes longer than somebody waits goes on.
    let mut cluster = place.running("ready stopping", "#2?sleep:60000 ready stopping");
    let (_, why) = say("restart", &["worker/0", "--timeout", "0.2"], 5);
    assert!(why.ends_with("it goes on"), "{why}");
    cluster.said("worker/0#2 pid");
    place.stop(0);
    cluster.wait_code(0);
}

fn stop_slow() {
    let place = place();
    // It does not leave because it is told to; it is held so that it cannot be waited for by luck.
    let plan = place.probe("ready stopping", "ready cleanup forever").arg("--stop-timeout", 2000);
    let mut cluster = place.started(plan, &[]).go();
    cluster.line(|line| line.starts_with("ready "));
    let mut impatient = place.command("stop", &["--timeout", "0"]);
    impatient.wait_code(5);
    let sentence =
        format!("hatchery: the master {} is still there: it was told to stop, and goes on with that", cluster.master());
    assert_eq!((impatient.stderr(), impatient.lines()), (sentence, vec![]));
    // Both hear of the one end.
    let mut patient = place.command("stop", &[]);
    cluster.wait_code(0);
    let code = patient.wait().code();
    assert!(code == Some(0) || code == Some(4), "{code:?}: {}", patient.stderr());
    assert_eq!(place.left(), Vec::<String>::new());
    // Told and waited for, by one.
    let plan = place.probe("ready stopping", "ready forever").arg("--stop-timeout", 1500);
    let mut cluster = place.started(plan, &[]).go();
    cluster.line(|line| line.starts_with("ready "));
    let master = cluster.master();
    let mut stop = place.command("stop", &["--timeout", "25"]);
    let status = cluster.wait();
    assert_eq!(status.code(), Some(0));
    stop.wait_code(0);
    assert_eq!(stop.lines(), [format!("stopped, master {master}")]);
}

fn stop_by_pid_file() {
    let place = place();
    let pid_file = place.path("cluster.pid").display().to_string();
    let mut cluster = place.start("ready stopping", "ready stopping").arg("--pid-file", &pid_file).go();
    cluster.line(|line| line.starts_with("ready "));
    // Where nobody serves.
    let elsewhere = || scenario("commands").flag("stop").arg("--control-dir", place.path("elsewhere").display());
    let mut stop = elsewhere().spawn();
    stop.wait_code(4);
    let mut stop = elsewhere().arg("--pid-file", &pid_file).spawn();
    // It is a child of ours, and has gone when we have heard of it.
    cluster.wait_code(0);
    stop.wait_code(0);
    assert_eq!(stop.lines(), [format!("stopped, master {}", cluster.master())]);
    let mut stop = elsewhere().arg("--pid-file", &pid_file).spawn();
    stop.wait_code(4);
    assert_eq!(stop.stderr(), format!("hatchery: not running: nobody holds the pid file {pid_file}"));
    // A directory is no file, and a place where nobody may look is told.
    let mut stop = elsewhere().arg("--pid-file", place.path("").display()).spawn();
    stop.wait_code(4);
}

fn stop_stale() {
    let place = place();
    let pid_file = place.path("cluster.pid");
    let mut cluster = place.start("ready stopping", "ready stopping").arg("--pid-file", pid_file.display()).go();
    cluster.line(|line| line.starts_with("ready "));
    cluster.signal(Signal::SIGKILL);
    cluster.wait();
    cluster.until_nobody();
    let mut innocent = Command::new("sleep").arg("600").spawn().expect("coreutils");
    fs::write(&pid_file, format!("{}\n", innocent.id())).expect("room");
    let path = pid_file.display().to_string();
    let mut stop = place.command("stop", &["--pid-file", &path]);
    stop.wait_code(4);
    // Somebody else has it locked: that is not the one who is named.
    let mut other = place.start("ready stopping", "ready stopping").arg("--pid-file", pid_file.display()).go();
    other.line(|line| line.starts_with("ready "));
    fs::write(&pid_file, format!("{}\n", innocent.id())).expect("room");
    let elsewhere = scenario("commands").flag("stop").arg("--control-dir", place.path("elsewhere").display());
    let mut stop = elsewhere.arg("--pid-file", &path).spawn();
    stop.wait_code(4);
    assert!(is_alive(innocent.id()) && is_alive(other.master()));
    innocent.kill().expect("it is ours");
    innocent.wait().expect("it is ours");
    place.stop(0);
    other.wait_code(0);
}

fn second() {
    let place = place();
    let pid_file = place.path("cluster.pid").display().to_string();
    let mut first = place.start("ready stopping", "ready stopping").arg("--pid-file", &pid_file).go();
    first.line(|line| line.starts_with("ready "));
    let members = first.members();
    for daemon in [false, true] {
        let flags: &[&str] = if daemon { &["--daemon"] } else { &[] };
        let mut second = place.started(place.probe("ready", "ready"), flags).go();
        second.wait_code(1);
        let socket = place.control().join("control.sock");
        let sentence = format!("hatchery: already running, master {}: it serves {}", first.master(), socket.display());
        assert_eq!(second.stderr(), sentence);
        let plan = place.probe("ready", "ready").flag("start").arg("--control-dir", place.path("other").display());
        let plan = flags.iter().fold(plan, |plan, flag| plan.flag(flag));
        let mut second = plan.arg("--pid-file", &pid_file).spawn();
        second.wait_code(1);
        assert_eq!(
            second.stderr(),
            format!(
                "hatchery: the pid file {pid_file} is held by a process that runs, pid {}: stop that first",
                first.master()
            )
        );
    }
    assert_eq!(first.members(), members);
    place.stop(0);
    first.wait_code(0);
    assert_eq!(place.left(), Vec::<String>::new());
}

fn follow() {
    let place = place();
    let logs = place.path("logs");
    fs::create_dir(&logs).expect("room");
    let log = logs.join("worker.log");
    fs::write(&log, "one\ntwo\nthree\n").expect("room");
    let directory = logs.display().to_string();
    let mut follow = place.command("logs", &["--log-dir", &directory, "--follow", "-n", "2"]);
    follow.said("three");
    assert_eq!(follow.count("one"), 0);
    fs::rename(&log, logs.join("worker.log.1")).expect("it is ours");
    fs::write(&log, "after the rotation\n").expect("room");
    follow.said("after the rotation");
    fs::write(logs.join("agent.log"), "from the agent\n").expect("room");
    follow.said("==> agent.log <==");
    follow.said("from the agent");
    send(follow.master(), Signal::SIGINT);
    until_gone(follow.master());
    follow.wait();
    let mut none = place.command("logs", &["--log-dir", &place.path("no-such").display().to_string()]);
    none.wait_code(1);
    assert!(none.stderr().ends_with("No such file or directory (os error 2)"), "{}", none.stderr());
}

fn usage() {
    for options in [&["frobnicate"][..], &["scale", "worker"], &["stop", "--timeout", "-1"], &["logs"], &["restart"]] {
        let command = options.iter().fold(scenario("commands"), |command, option| command.flag(option));
        let mut command = command.spawn();
        command.wait_code(2);
        assert!(command.stderr().starts_with("error: "), "{options:?}: {}", command.stderr());
    }
}
