//! What is asked for wrongly ends in one clear sentence, and nothing else.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use libtest_mimic::Trial;

use crate::harness::{probe, scenario};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a plan that cannot be meant is refused with code 2 before anything is bound", plans),
        trial("a cluster inside of a runtime is refused", inside_a_runtime),
        trial("a plan that differs from process to process fails the start", fickle),
        trial("a member that was started by hand says that it cannot be, with all or half of what it needs", by_hand),
    ]
}

fn plans() {
    let rows = [
        ("--workers", "0", "role worker has 0 members: it must have 1 to 65535"),
        ("--workers", "70000", "role worker has 70000 members: it must have 1 to 65535"),
        (
            "--ready-timeout",
            "0",
            "ready_timeout of role worker is 0 s: it must be longer than nothing and at most 30 days",
        ),
        ("--stop-timeout", "99999999999999", "it must be longer than nothing and at most 30 days"),
        ("--give-up-after", "0", "give_up_after of role worker is 0 s"),
        ("--heartbeat", "0/1000", "the interval of the heartbeat of role worker is 0 s"),
        ("--heartbeat", "1000/2000", "timeout of the heartbeat of role worker: 2s is shorter than 3 intervals of 1s"),
        ("--orphan-grace", "0", "orphan_grace is 0 s"),
        ("--limit", "5/0", "the period of restart_limit of role worker is 0 s"),
        ("--drain", "99999999999999", "the drain of on_exception of role worker"),
        ("--threads", "0", "runtime_threads of role worker is 0: it must be 1 to 1024"),
        ("--tune", "mailer", "there are settings for role mailer, which is not declared"),
    ];
    for (option, value, expected) in rows {
        // A port that nobody may have: it is not even asked for.
        let start = probe("ready", "ready").arg("--listen", "127.0.0.1:no-port");
        let mut cluster = start.arg(option, value).spawn();
        cluster.wait_code(2);
        let stderr = cluster.stderr();
        assert!(stderr.starts_with("hatchery: ") && stderr.contains(expected), "{option} {value}: {stderr}");
        assert_eq!((stderr.lines().count(), cluster.lines().len()), (1, 0), "{stderr}");
    }
}

fn inside_a_runtime() {
    let mut cluster = scenario("inside-a-runtime").spawn();
    cluster.wait_code(2);
    assert!(cluster.stderr().contains("run() was called from within a tokio runtime"), "{}", cluster.stderr());
}

fn fickle() {
    let mut cluster = scenario("fickle").spawn();
    cluster.wait_code(1);
    let sentence = cluster.complained("failed to start");
    assert!(sentence.contains("worker/0#1 exited with code 78, before it was ready"), "{sentence}");
    assert!(sentence.contains("its plan is not its master's"), "{sentence}");
}

/// Runs this program under the name of a member.
fn under_the_name_of_a_member(stdin: Stdio) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.arg0("web: worker/1").args(["--scenario", "web"]).stdin(stdin);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it can be started")
}

fn by_hand() {
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = under_the_name_of_a_member(Stdio::null());
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("members are started by the master alone"), "{}", said(&output));
    // A socket, but nobody there.
    let (link, own) = UnixStream::pair().expect("sockets");
    drop(own);
    let output = under_the_name_of_a_member(OwnedFd::from(link).into());
    assert_eq!(output.status.code(), Some(110), "{}", said(&output));
    // Somebody there, who is no master.
    for words in [&b"\0"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096]] {
        let (link, mut own) = UnixStream::pair().expect("sockets");
        own.write_all(words).expect("there is room");
        own.shutdown(std::net::Shutdown::Write).expect("it is open");
        let output = under_the_name_of_a_member(OwnedFd::from(link).into());
        assert!(matches!(output.status.code(), Some(2 | 110)), "{words:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "it did not run");
    }
}
