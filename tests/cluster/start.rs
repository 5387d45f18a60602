//! How a cluster starts, and how a start fails.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{
    PATIENCE, descriptors, is_alive, probe, proc_status, scenario, send, threads, until, web, within,
};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("scenario 1: the agent is ready before any worker exists, and all hear ready once", order),
        trial("scenario 2: an agent that fails to boot ends the start before any worker, with code 1", agent_fails),
        trial("scenario 3: an agent that dies while a worker boots ends the start", agent_dies_during_boot),
        trial("scenario 4: a worker that fails to boot cleans up, is not replaced and ends the start", worker_fails),
        trial(
            "scenario 4: a ready worker whose function returns an error before all are ready ends the start",
            ready_fails,
        ),
        trial("scenario 5: a start that takes too long is over in time, for an agent too", start_timeout),
        trial("scenario 7: ready is told to all, and to a replacement once", ready_is_resent),
        trial("P02: an exit before ready is a boot failure and names its cause", exit_before_ready),
        trial("P02: whatever goes wrong before ready says what it was", every_boot_failure),
        trial("P03: one that never says ready is killed", never_ready),
        trial("P14: roles that the user names start in their order", several_ready),
        trial("a start that is interrupted is no failure", interrupted),
        trial("a master that was stopped while its members became ready hears them first", stopped_master),
        trial("the stderr of a booting member is passed on, and that of a ready one is its own", stderr_of_members),
        trial("the master only supervises: two threads, and no connection", master_only_supervises),
        trial("a member starts clean: its own group, no signal blocked or ignored, nothing inherited", clean_member),
        trial("every start, ready, exception, exit, decision and stop is an event with fields", events),
        trial("members see who is who, now and from now on", members_watch),
        trial("a runtime of several threads runs the same code", several_threads),
        trial("a cluster without an agent runs", no_agent),
    ]
}

fn order() {
    let mut cluster = probe("sleep:100 ready", "ready forever").arg("--workers", 2).flag("--trace").ready();
    until("everyone has heard", || (cluster.count("cluster is ready") == 3).then_some(()));
    let slot = |line: &str| line.split("slot=").nth(1)?.split(' ').next().map(str::to_owned);
    let events: Vec<(String, &str)> = cluster
        .lines()
        .iter()
        .filter_map(|line| {
            if line.contains("cluster ready") {
                return Some(("all".to_owned(), "ready"));
            }
            let what = ["started", "ready"].into_iter().find(|what| line.contains(&format!("member {what}")))?;
            Some((slot(line)?, what))
        })
        .collect();
    let at = |who: &str, what: &str| {
        let places: Vec<usize> =
            (0..events.len()).filter(|&at| (events[at].0.as_str(), events[at].1) == (who, what)).collect();
        assert_eq!(places.len(), 1, "{who} {what}, once: {events:?}");
        places[0]
    };
    assert_eq!((at("agent/0", "started"), at("agent/0", "ready"), at("all", "ready")), (0, 1, 6), "{events:?}");
    // The one worker may be ready before the system has started the other.
    for worker in ["worker/0", "worker/1"] {
        assert!(at(worker, "started") < at(worker, "ready"), "{events:?}");
    }
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("cluster is ready"), 3, "each hears it once");
    cluster.expect_nobody();
}

fn agent_fails() {
    let mut cluster = probe("fail:no_such_database", "ready forever").spawn();
    cluster.wait_code(1);
    let stderr = cluster.stderr();
    assert!(stderr.contains("hatchery: failed to start: agent/0#1"), "{stderr}");
    assert!(stderr.contains("no such database"), "{stderr}");
    assert_eq!(cluster.count("worker/"), 0, "no worker was started");
}

fn agent_dies_during_boot() {
    let mut cluster = probe("ready forever", "kill-agent sleep:2000 ready forever").spawn();
    cluster.wait_code(1);
    assert!(cluster.stderr().contains("failed to start: agent/0#1 killed by signal 9"), "{}", cluster.stderr());
    assert_eq!((cluster.count("agent/0#"), cluster.count("agent/0#1")), (2, 2), "it came once");
    assert_eq!(cluster.count("worker/0#2"), 0);
}

fn worker_fails() {
    let worker = "cleanup 1?sleep:50 1?fail:no_licence ready stopping";
    let mut cluster = probe("cleanup ready stopping", worker).arg("--workers", 2).spawn();
    cluster.wait_code(1);
    let stderr = cluster.stderr();
    assert!(
        stderr.contains("failed to start: worker/1#1 exited with code 70: its function returned an error: no licence"),
        "{stderr}"
    );
    for member in ["worker/1#1", "worker/0#1", "agent/0#1"] {
        cluster.said(&format!("{member} cleaned up"));
    }
    assert_eq!(cluster.count("#2"), 0, "nobody was replaced");
}

fn ready_fails() {
    let worker = "0?ready 0?fail:no_licence cleanup sleep:60000 ready";
    let mut cluster = probe("cleanup ready stopping", worker).arg("--workers", 2).spawn();
    cluster.wait_code(1);
    let sentence = cluster.complained("hatchery: failed to start");
    assert!(
        sentence.contains("worker/0#1 its function returned an error: no licence, before the cluster was"),
        "{sentence}"
    );
    for member in ["worker/1#1", "agent/0#1"] {
        cluster.said(&format!("{member} cleaned up"));
    }
    assert_eq!(cluster.count("#2"), 0, "nobody was replaced");
}

fn start_timeout() {
    for (agent, worker, who) in
        [("ready", "sleep:30000 ready", "worker/"), ("sleep:30000 ready", "ready forever", "agent/0#1")]
    {
        let mut cluster = probe(agent, worker).arg("--workers", 2).arg("--ready-timeout", 1000).spawn();
        let started = std::time::Instant::now();
        cluster.wait_code(1);
        let stderr = cluster.stderr();
        let sentence = stderr.lines().find(|line| line.contains("failed to start")).unwrap_or_default();
        assert!(sentence.contains(who) && sentence.contains("was not ready within 1s: start timeout"), "{stderr}");
        let took = started.elapsed();
        assert!(took.as_millis() >= 1000 && took < PATIENCE / 2, "{took:?}");
    }
}

fn ready_is_resent() {
    let cluster = web(1).ready();
    let line = cluster.ready_line();
    assert!(
        line.starts_with(&format!("ready http://127.0.0.1:{} master={}", cluster.port(), cluster.master())),
        "{line}"
    );
    cluster.get("/panic");
    let second = cluster.until_ready("worker/0", 2);
    assert_eq!((second.incarnation, second.restarts), (2, 1));

    let mut cluster = probe("ready", "ready sleep:50 #1?kill:9 forever").arg("--stable-after", 1).ready();
    cluster.said("worker/0#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!((cluster.count("worker/0#2 cluster is ready"), cluster.count("agent/0#1 cluster is ready")), (1, 1));
}

fn exit_before_ready() {
    let mut cluster = probe("ready", "cry:out_of_luck cry:really exit:3").spawn();
    cluster.wait_code(1);
    let sentence = cluster.complained("hatchery: failed to start");
    assert_eq!(
        sentence,
        "hatchery: failed to start: worker/0#1 exited with code 3, before it was ready; \
         its stderr ended with: out_of_luck | really"
    );
}

fn every_boot_failure() {
    let rows = [
        ("return", "its function returned without saying that it is ready"),
        ("panic:boom", "panicked at tests/cluster/scenarios/probe.rs"),
        ("detached-panic:boom sleep:30000", "boom, before it was ready"),
        ("thread-panic:boom sleep:30000", "boom, before it was ready"),
        ("report:boom sleep:30000", "reported an exception: boom, before it was ready"),
        ("abort", "killed by signal 6"),
        ("kill:4", "killed by signal 4"),
    ];
    for (script, cause) in rows {
        for role in ["agent", "worker"] {
            let start = match role {
                "agent" => probe(script, "ready forever"),
                _ => probe("ready", script),
            };
            let mut cluster = start.spawn();
            cluster.wait_code(1);
            let sentence = cluster.complained("hatchery: failed to start");
            assert!(sentence.contains(&format!("{role}/0#1")) && sentence.contains(cause), "{script}: {sentence}");
        }
    }
}

fn never_ready() {
    // It spins: nothing in it could end it.
    let mut cluster = probe("ready", "spin").arg("--ready-timeout", 300).spawn();
    cluster.wait_code(1);
    cluster.complained("worker/0#1 was not ready within 300ms: start timeout");
}

fn several_ready() {
    let mut cluster = scenario("roles").ready();
    let said: Vec<String> = cluster.lines().iter().filter(|line| line.ends_with("says ready")).cloned().collect();
    let order: Vec<&str> = said.iter().map(|line| line.split('/').next().unwrap_or_default()).collect();
    assert_eq!(order, ["agent", "cache", "worker", "worker", "mailer"]);
    assert_eq!(cluster.stop().code(), Some(0));
    let stopped: Vec<String> = cluster.lines().iter().filter(|line| line.ends_with("is stopping")).cloned().collect();
    let order: Vec<&str> = stopped.iter().map(|line| line.split('/').next().unwrap_or_default()).collect();
    assert_eq!(order, ["mailer", "worker", "worker", "cache", "agent"]);
}

fn interrupted() {
    let mut cluster = probe("ready", "cleanup sleep:60000 ready").spawn();
    cluster.said("worker/0#1 pid");
    cluster.signal(Signal::SIGINT);
    cluster.wait_code(0);
    cluster.said("worker/0#1 cleaned up");
    assert_eq!(cluster.stderr(), "");
}

fn stopped_master() {
    // They are ready in time. What they say lies unread until their time is over.
    let worker = "sleep:500 ready sleep:1000 say:late stopping";
    let mut cluster = probe("ready stopping", worker).arg("--workers", 4).arg("--ready-timeout", 1200).spawn();
    let all = |text: &str| {
        for index in 0..4 {
            cluster.said(&format!("worker/{index}#1 {text}"));
        }
    };
    all("pid");
    cluster.signal(Signal::SIGSTOP);
    all("late");
    cluster.signal(Signal::SIGCONT);
    all("cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0), "{}", cluster.stderr());
}

fn stderr_of_members() {
    let mut cluster = probe("ready", "cry:booting ready sleep:20 cry:serving say:done forever").ready();
    cluster.said("done");
    cluster.complained("booting");
    cluster.complained("serving");
    let pid = cluster.pid_of("worker/0#1");
    let stderr = |pid: u32| std::fs::read_link(format!("/proc/{pid}/fd/2")).expect("it is open");
    assert_eq!(stderr(pid), stderr(cluster.master()), "the master's own");
    assert_eq!(cluster.stop().code(), Some(0));

    let mut cluster = probe("ready", "ready sleep:20 cry:serving exit:3")
        .arg("--limit", "off")
        .flag("--capture-stderr")
        .flag("--trace")
        .spawn();
    cluster.said("worker/0#2 pid");
    cluster.complained("serving");
    cluster.stop();
}

fn master_only_supervises() {
    let cluster = web(2).ready();
    let mut kept = http::Connection::open(cluster.port()).expect("it listens");
    kept.get("/").expect("it answers");
    let master = cluster.master();
    let expected =
        |threads: &[String]| threads.len() == 2 && threads.iter().any(|name| name.starts_with("hatchery-nurser"));
    assert!(expected(&threads(master)), "{:?}", threads(master));
    // Its only sockets: the listener, two for each member, and those of its own runtime.
    let established = std::fs::read_to_string("/proc/net/tcp").expect("it is mounted");
    let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{master}/fd"))
        .expect("it runs")
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    let held = established.lines().filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(3) == Some(&"01") && fields.get(9).is_some_and(|inode| inodes.contains(&format!("socket:[{inode}]")))
    });
    assert_eq!(held.count(), 0, "the master holds a connection");
}

fn clean_member() {
    let mut cluster = probe("ready", "environment ready forever")
        .env("NOTIFY_SOCKET", "/run/somewhere")
        .env("LISTEN_FDS", "3")
        // What a launcher may leave behind: an open descriptor and ignored signals.
        .through(&["bash", "-c", "exec 7</etc/passwd; trap '' HUP USR2 CHLD RTMIN+3; exec \"$@\"", "bash"])
        .spawn();
    let said = cluster.said("worker/0#1 PROBE=");
    assert!(said.contains("PROBE=set for members NOTIFY_SOCKET=none"), "{said}");
    cluster.line(|line| line.starts_with("ready "));
    let pid = cluster.pid_of("worker/0#1");
    let status = proc_status(pid).expect("it runs");
    assert_eq!(status["SigBlk"], "0000000000000000");
    // Every Rust program ignores SIGPIPE, and nothing else.
    let ignored = u64::from_str_radix(&status["SigIgn"], 16).expect("a mask");
    // The two that the C library keeps for its threads are nobody's to set.
    assert_eq!(ignored & !(0b11 << 31), 1 << 12, "{ignored:x}");
    assert_eq!(status["NSpgid"], pid.to_string(), "a group of its own");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/0")).expect("it is open"), std::path::Path::new("/dev/null"));
    let held = descriptors(pid);
    assert!(!held.iter().any(|link| link == "/etc/passwd"), "{held:?}");
    let score = |pid: u32| -> i32 {
        std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))
            .expect("it runs")
            .trim()
            .parse()
            .expect("a number")
    };
    let master = score(cluster.master());
    assert_eq!(score(pid), (master + 500).min(1000));
    assert_eq!(score(cluster.pid_of("agent/0#1")), (master + 250).min(1000));
    let name = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
    assert!(name.starts_with("probe: worker/0\0"), "{name}");
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("it runs").trim(), "probe: worker/0");
    // A child that ends is still heard of, although the launcher ignored that.
    send(pid, Signal::SIGKILL);
    cluster.said("worker/0#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn events() {
    let worker = "ready sleep:20 0?#1?report:oops 1?#1?sleep:40 1?#1?exit:4 stopping";
    let mut cluster = probe("ready", worker).arg("--workers", 2).flag("--trace").ready();
    cluster.said("worker/0#2 cluster is ready");
    cluster.said("worker/1#2 cluster is ready");
    cluster.said("member exited slot=worker/0 incarnation=1");
    assert_eq!(cluster.stop().code(), Some(0));
    let pid = cluster.pid_of("worker/1#1");
    for expected in [
        format!("TRACE [] \"member started\" slot=worker/1 incarnation=1 pid={pid}"),
        format!("TRACE [] \"member ready\" slot=worker/1 incarnation=1 pid={pid}"),
        "\"exception in a member\" slot=worker/0 incarnation=1".into(),
        "cause=reported an exception: oops".into(),
        "\"decision\" slot=worker/0 incarnation=1".into(),
        "decision=replace at once, drain for up to 30s".into(),
        format!(
            "\"member exited\" slot=worker/1 incarnation=1 pid={pid} cause=exited with code 4 decision=restart at once"
        ),
        "\"stop asked for\" cause=\"SIGTERM\"".into(),
        "\"cluster stopped\"".into(),
        // What a member says of itself stands in its span.
        "TRACE [member id=worker/0#1] \"exception\" exception=\"oops\"".into(),
    ] {
        let is_it = |line: &&String| {
            let plain = |text: &str| text.replace('"', "");
            plain(line).contains(&plain(&expected))
        };
        assert!(cluster.lines().iter().any(|line| is_it(&line)), "{expected}\n{:#?}", cluster.lines());
    }
}

fn members_watch() {
    let mut cluster = probe("ready all-ready say:first forever", "ready all-ready forever").arg("--workers", 3).ready();
    for member in ["agent/0#1", "worker/0#1", "worker/1#1", "worker/2#1"] {
        cluster.said(&format!("{member} sees all ready"));
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn several_threads() {
    let mut cluster = probe("ready", "ready stopping").arg("--threads", 3).ready();
    let pid = cluster.pid_of("worker/0#1");
    let names = within(PATIENCE, "the runtime's threads", || {
        let names = threads(pid);
        (names.iter().filter(|name| name.starts_with("tokio-")).count() >= 3).then_some(names)
    });
    assert!(names.iter().any(|name| name == "hatchery-watch"), "{names:?}");
    assert!(is_alive(pid));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn no_agent() {
    let mut cluster = probe("", "ready stopping").flag("--no-agent").arg("--workers", 2).ready();
    assert_eq!(cluster.count("agent"), 0);
    assert_eq!(cluster.stop().code(), Some(0));
    cluster.expect_nobody();
}
