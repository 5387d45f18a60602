//! A cluster in the background: how it gets there, what its launcher is told, and what it keeps of it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Cluster, descriptors, is_alive, proc_status, scenario, send, until, until_gone, within};
use crate::place::{Commanded, Place, place};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a daemon is there when the command returns: ready, on its own, without a terminal", ready),
        trial("a daemon holds nothing of those who started it, and keeps their directory and mask", inherited),
        trial("a daemon that fails to start tells its exit code, its sentence and its last words", failing),
        trial("a daemon whose port is taken fails, and whoever has it is not disturbed", port_taken),
        trial("with a log directory a daemon writes to its log, which is shown when it fails", logged),
        trial("a daemon does not write into the log of another one", log_in_use),
        trial("a daemon goes on when its launcher is killed while it waits", launcher_killed),
        trial("a start in the background that is interrupted is taken back", taken_back),
        trial("a daemon that hangs is killed when its members would have been", hangs),
        trial("a hang-up does not end a daemon, and it says that there is nothing to be read again", hang_up),
        trial("a daemon of the web example answers, and stops", web),
        trial("start/stop cycles leave no file, no process and no lock", cycles),
    ]
}

/// The daemon that a launcher has told of.
#[track_caller]
fn daemon(launcher: &mut Cluster) -> u32 {
    let status = launcher.wait();
    assert_eq!(status.code(), Some(0), "{}", launcher.stderr());
    let line = launcher.line(|line| line.contains("started, master "));
    line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid")
}

fn start(place: &Place, agent: &str, worker: &str) -> Commanded {
    place.start(agent, worker).flag("--daemon")
}

fn ready() {
    let place = place();
    let mut launcher = start(&place, "ready stopping", "ready stopping").go();
    let master = daemon(&mut launcher);
    assert_eq!(launcher.lines().len(), 1, "one line: {:?}", launcher.lines());
    launcher.until_closed();
    let status = proc_status(master).expect("it runs");
    assert_eq!(status["NSsid"], master.to_string(), "a session of its own");
    let stat = fs::read_to_string(format!("/proc/{master}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    assert_eq!(fields[4], "0", "it has no terminal");
    assert_eq!(launcher.processes().len(), 3, "the master, its agent, its worker");
    let table = place.status();
    assert!(
        table.contains(": ready, 2 of 2 members ready, up ") && table.contains(&format!("master {master}")),
        "{table}"
    );
    place.stop(0);
    assert!(!is_alive(master));
    launcher.expect_nobody();
    assert_eq!(place.left(), Vec::<String>::new());
}

fn inherited() {
    let place = place();
    // A descriptor that a launcher leaks, a mask, a directory.
    let script = "umask 027; cd /usr; exec 7</etc/passwd; exec \"$@\"";
    let mut launcher =
        start(&place, "ready stopping", "ready stopping").0.through(&["bash", "-c", script, "bash"]).spawn();
    let master = daemon(&mut launcher);
    launcher.until_closed();
    for pid in launcher.processes() {
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("it runs"), Path::new("/usr"));
        assert_eq!(proc_status(pid).expect("it runs")["Umask"], "0027");
        for number in 0..3 {
            let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("it is open");
            assert_eq!(link, Path::new("/dev/null"), "{pid}: {number}");
        }
        let held = descriptors(pid);
        assert!(
            !held.iter().any(|link| link.contains("/etc/passwd") || link.contains("memfd:hatchery-start")),
            "{held:?}"
        );
    }
    let name = fs::read_to_string(format!("/proc/{master}/comm")).expect("it runs");
    assert!(name.starts_with("cluster-"), "its own, and not that of the path by which it was started: {name}");
    place.stop(0);
    launcher.expect_nobody();
}

fn failing() {
    let place = place();
    let mut launcher = start(&place, "ready stopping", "cry:out_of_luck cry:really exit:3").go();
    launcher.wait_code(1);
    let sentence = "hatchery: failed to start: worker/0#1 exited with code 3, before it was ready; \
                    its stderr ended with: out_of_luck | really";
    assert_eq!(launcher.stderr().lines().collect::<Vec<_>>(), ["out_of_luck", "really", sentence]);
    assert_eq!(launcher.lines(), Vec::<String>::new());
    assert_eq!(place.left(), Vec::<String>::new());
    // The plan is looked at before anybody is started.
    let mut launcher = place.start("ready", "ready").arg("--workers", 0).flag("--daemon").go();
    launcher.wait_code(2);
    assert_eq!(launcher.stderr(), "hatchery: role worker has 0 members: it must have 1 to 65535");
    // It has no time to say anything.
    let mut launcher = start(&place, "ready stopping", "kill-master").go();
    assert_eq!(launcher.wait().code(), Some(1));
    launcher.complained("hatchery: the daemon was ended before it was ready: signal: 9 (SIGKILL)");
    launcher.until_nobody();
}

fn port_taken() {
    let place = place();
    let owner = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = owner.local_addr().expect("it is bound");
    let mut launcher = place.started(scenario("web").arg("--listen", address), &[]).flag("--daemon").go();
    launcher.wait_code(1);
    let sentence = format!("hatchery: failed to listen on {address}: Address already in use (os error 98)");
    assert_eq!(launcher.stderr(), sentence);
    assert_eq!(place.left(), Vec::<String>::new());
}

fn logged() {
    let place = place();
    let logs = place.path("logs");
    let log = logs.join("master.log");
    let with_log = |agent: &str, worker: &str| start(&place, agent, worker).arg("--log-dir", logs.display());
    let mut launcher = with_log("ready", "ready").go();
    launcher.wait_code(1);
    let why = "No such file or directory (os error 2)";
    assert_eq!(launcher.stderr(), format!("hatchery: failed to start a daemon whose log is {}: {why}", log.display()));
    fs::create_dir(&logs).expect("room");
    fs::write(&log, "from before\n").expect("room");
    let mut launcher = with_log("ready stopping", "cry:no_luck exit:3").go();
    launcher.wait_code(1);
    assert!(!launcher.stderr().contains("from before"), "{}", launcher.stderr());
    assert!(launcher.stderr().contains("no_luck") && launcher.stderr().contains("failed to start: worker/0#1"));
    let mut launcher = with_log("ready stopping", "cry:booting ready say:serving cry:still stopping").go();
    daemon(&mut launcher);
    assert_eq!((launcher.stderr(), launcher.lines().len()), (String::new(), 1), "the rest stands in the log");
    let text = until("all is in the log", || {
        let text = fs::read_to_string(&log).expect("it is there");
        ["booting", "serving", "still"].iter().all(|word| text.contains(word)).then_some(text)
    });
    assert!(text.starts_with("from before\n"), "it is appended to: {text}");
    let mut shown = place.command("logs", &["--log-dir", &logs.display().to_string()]);
    shown.wait_code(0);
    shown.said("serving");
    place.stop(0);
    launcher.expect_nobody();
}

fn log_in_use() {
    let (one, two) = (place(), place());
    let logs = one.path("logs");
    fs::create_dir(&logs).expect("room");
    let started =
        |place: &Place| start(place, "ready stopping", "ready stopping").arg("--log-dir", logs.display()).go();
    let mut first = started(&one);
    daemon(&mut first);
    let log = || fs::read_to_string(logs.join("master.log")).expect("it is there");
    // The last that it says.
    let before = until("it has said all", || Some(log()).filter(|log| log.contains("ready for tests")));
    let mut second = started(&two);
    second.wait_code(1);
    second.complained("another daemon writes to it");
    assert_eq!(log(), before);
    one.stop(0);
    // And who comes after it writes on.
    let mut second = started(&two);
    daemon(&mut second);
    assert!(log().starts_with(&before));
    two.stop(0);
    // The lock goes with its master: a member of a killed one that takes its time has none.
    let spins = start(&one, "ready stopping", "ready cluster say:spinning spin").arg("--log-dir", logs.display());
    let mut killed = spins.go();
    let master = daemon(&mut killed);
    until("the worker spins", || log().contains("worker/0#1 spinning").then_some(()));
    send(master, Signal::SIGKILL);
    let mut second = started(&two);
    daemon(&mut second);
    two.stop(0);
    killed.until_nobody();
}

fn launcher_killed() {
    let place = place();
    let logs = place.path("logs");
    fs::create_dir(&logs).expect("room");
    let worker = format!("wait:{} ready stopping", place.path("go").display());
    for with_log in [true, false] {
        let _ = fs::remove_file(place.path("go"));
        let mut commanded = start(&place, "ready stopping", &worker);
        if with_log {
            commanded = commanded.arg("--log-dir", logs.display());
        }
        let mut launcher = commanded.go();
        until("the worker boots", || place.status().contains("worker/0").then_some(()));
        launcher.signal(Signal::SIGKILL);
        launcher.wait();
        fs::write(place.path("go"), "").expect("room");
        until("the daemon is ready", || place.status().contains("ready, 2 of 2 members ready").then_some(()));
        place.stop(0);
        launcher.until_nobody();
    }
}

fn taken_back() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = place();
        let mut launcher = start(&place, "ready stopping", "sleep:60000 ready").go();
        until("the worker boots", || place.status().contains("worker/0").then_some(()));
        launcher.signal(signal);
        launcher.wait_code(1);
        assert_eq!(launcher.stderr(), "hatchery: interrupted: the start was taken back");
        assert_eq!(place.left(), Vec::<String>::new());
    }
}

fn hangs() {
    let place = place();
    let commanded =
        place.probe("ready stopping", "sleep:60000 ready").arg("--ready-timeout", 300).arg("--stop-timeout", 300);
    let mut launcher = place.started(commanded, &[]).flag("--daemon").go();
    let launcher_pid = launcher.master();
    let master = until("the daemon is there", || {
        let child = |pid: &u32| proc_status(*pid).is_some_and(|status| status["PPid"] == launcher_pid.to_string());
        launcher.processes().into_iter().find(child)
    });
    send(master, Signal::SIGSTOP);
    within(Duration::from_secs(120), "the launcher gives up", || (!is_alive(launcher_pid)).then_some(()));
    launcher.wait_code(1);
    let said = launcher.stderr();
    assert!(said.contains("hatchery: the daemon was not ready within ") && said.ends_with("and was killed"), "{said}");
}

fn hang_up() {
    let place = place();
    let logs = place.path("logs");
    fs::create_dir(&logs).expect("room");
    let commanded = place.probe("ready stopping", "ready stopping").flag("--trace");
    let mut launcher = place.started(commanded, &[]).flag("--daemon").arg("--log-dir", logs.display()).go();
    let master = daemon(&mut launcher);
    send(master, Signal::SIGHUP);
    until("it says so", || {
        let log = fs::read_to_string(logs.join("master.log")).expect("it is there");
        log.contains("SIGHUP: there is no configuration to be read again").then_some(())
    });
    assert!(place.status().contains("2 of 2 members ready"));
    send(master, Signal::SIGTERM);
    until_gone(master);
    launcher.until_nobody();
    assert_eq!(place.left(), ["logs"]);
}

fn web() {
    let place = place();
    let socket = place.path("socket");
    let listen = format!("unix:{}", socket.display());
    let mut launcher =
        place.started(scenario("web").arg("--listen", &listen), &["--workers", "2"]).flag("--daemon").go();
    daemon(&mut launcher);
    assert!(place.status().contains("3 of 3 members ready"), "the option of the command counts");
    std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
    let mut second = place.started(scenario("web").arg("--listen", &listen), &["--workers", "2"]).flag("--daemon").go();
    second.wait_code(1);
    second.complained("hatchery: already running, master ");
    place.stop(0);
    launcher.expect_nobody();
    assert_eq!(place.left(), Vec::<String>::new());
}

fn cycles() {
    let cycles = std::env::var("HATCHERY_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(20);
    let place = place();
    let pid_file: PathBuf = place.path("cluster.pid");
    let socket = place.path("socket");
    for cycle in 0..cycles {
        let plan = place
            .probe("ready stopping", "ready stopping")
            .arg("--workers", 2)
            .arg("--listen", format!("unix:{}", socket.display()));
        let mut launcher = place.started(plan, &[]).flag("--daemon").arg("--pid-file", pid_file.display()).go();
        let master = daemon(&mut launcher);
        assert_eq!(fs::read_to_string(&pid_file).expect("it is there"), format!("{master}\n"), "cycle {cycle}");
        place.stop(0);
        assert!(!is_alive(master));
        launcher.expect_nobody();
        assert_eq!(place.left(), Vec::<String>::new(), "cycle {cycle}");
    }
    println!("{cycles} cycles left nothing");
}
