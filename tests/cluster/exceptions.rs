//! What follows when something goes wrong in a member that is alive.

use libtest_mimic::Trial;

use crate::harness::{is_alive, probe, proc_status, until, until_gone, web};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "scenario 12: after an exception what was accepted is answered, and nobody is refused",
            nobody_is_refused,
        ),
        trial("scenario 12: one that does not finish in time is killed with its descendants", drain_deadline),
        trial("P04: an exception of the agent changes nothing but a count", agent_exceptions),
        trial("P05: a worker that reports an exception has its successor first, and counts once", successor_first),
        trial("every exception of a worker that is ready leads to a successor", every_worker_exception),
        trial("a further exception ends the one that was draining", one_after_another),
        trial("a worker over its limit stays in service and says so", over_the_limit),
        trial("one that reports without pause costs neither itself nor the master more than a little", without_pause),
        trial("a contained panic is nobody's exception", contained),
        trial("an agent that returns an error is restarted, one that returns lives for its handlers", agent_returns),
        trial("a worker that returns leaves with 0 and is replaced", worker_returns),
        trial("a process that aborts says what the panic was", abort),
        // Needs a build of everything with that setting: see CONTRIBUTING.md.
        trial("built with panic = abort a member dies of its panic, and is said to", built_to_abort)
            .with_ignored_flag(!cfg!(panic = "abort")),
        trial("a panic that was survived is not the cause of a later end", survived),
    ]
}

fn nobody_is_refused() {
    let mut cluster = web(1).ready();
    let port = cluster.port();
    let old = cluster.until_ready("worker/0", 1).pid.expect("it runs");
    let mut idle = http::Connection::open(port).expect("it listens");
    assert_eq!(idle.get("/").expect("it answers").worker(), old);
    let mut in_flight = http::Connection::open(port).expect("it listens");
    in_flight.ask("/slow?ms=600").expect("it listens");
    assert_eq!(cluster.get("/panic").status, 200);
    // From here on nobody is refused, though there is but one worker.
    let new = until("the successor answers", || {
        let response = http::get(port, "/").expect("never refused");
        (response.worker() != old).then(|| response.worker())
    });
    assert!(is_alive(old), "the successor is there before the old one is gone");
    let answer = in_flight.answer().expect("what was accepted is answered");
    assert_eq!((answer.status, answer.worker(), answer.closes()), (200, old, true));
    let answer = idle.get("/").expect("and so is what still comes on a kept connection");
    assert_eq!((answer.status, answer.worker(), answer.closes()), (200, old, true));
    let successor = cluster.until_ready("worker/0", 2);
    assert_eq!((successor.pid, successor.restarts), (Some(new), 1));
    until_gone(old);
    let last = cluster.until_status("one is left", |members| members.len() == 2);
    let exit = last[1].last_exit.clone().unwrap_or_default();
    assert!(exit.starts_with("exited with code 70: panicked at"), "{exit}");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn drain_deadline() {
    let worker = "child:sleep_600 child:setsid_sleep_600 ready #1?detached-panic:boom forever";
    let mut cluster = probe("ready", worker).arg("--drain", 300).flag("--trace").ready();
    let children: Vec<u32> = cluster
        .lines()
        .iter()
        .filter(|line| line.contains("worker/0#1 child "))
        .map(|line| line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid"))
        .collect();
    assert_eq!(children.len(), 2);
    cluster.said("worker/0#2 cluster is ready");
    let ended = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(ended.contains("killed by signal 9: killed after 300ms in which it did not leave"), "{ended}");
    assert!(ended.contains("decision=replaced before"), "{ended}");
    children.into_iter().for_each(until_gone);
    cluster.stop();
}

fn agent_exceptions() {
    let agent = "ready detached-panic:one thread-panic:two report:three panic:four";
    let mut cluster = probe(agent, "ready forever").flag("--trace").ready();
    for text in ["one", "two", "three", "four"] {
        let is_it = |line: &str| line.contains("decision slot=agent/0") && line.contains(text);
        let line = cluster.line(is_it);
        assert!(line.contains("decision=carry on"), "{line}");
    }
    assert!(is_alive(cluster.pid_of("agent/0#1")));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("agent/0#2"), 0, "no restart");

    let cluster = web(1).ready();
    for _ in 0..3 {
        assert_eq!(cluster.get("/agent/panic").status, 200);
    }
    let members = cluster.until_status("three exceptions are counted", |members| members[0].exceptions == 3);
    assert_eq!((members[0].state.as_str(), members[0].restarts), ("ready", 0));
    assert!(cluster.get("/count").body.contains("\"count\":1"), "its handlers go on");
}

fn successor_first() {
    let worker = "ready #1?report:ill stopping sleep:300 say:goes";
    let mut cluster = probe("ready", worker).flag("--trace").ready();
    cluster.said("worker/0#2 cluster is ready");
    cluster.said("worker/0#1 goes");
    cluster.said("member exited slot=worker/0 incarnation=1");
    let lines = cluster.lines();
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).expect("it was said");
    assert!(at("worker/0#2 pid") < at("worker/0#1 goes"), "{lines:#?}");
    let counted = |line: &&String| line.contains("slot=worker/0") && line.contains("decision=re");
    let decisions: Vec<_> = lines.iter().filter(counted).collect();
    assert_eq!(decisions.len(), 2, "one to replace, and one that says so: {decisions:#?}");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn every_worker_exception() {
    let rows = [
        ("panic:boom", "boom"),
        ("detached-panic:boom stopping", "boom"),
        ("thread-panic:boom stopping", "boom"),
        ("report:boom stopping", "reported an exception: boom"),
        ("fail:boom", "its function returned an error: boom"),
        // Past the hook of the member.
        ("quiet-panic:boom", "boom"),
        ("own-hook panic:boom", "boom"),
    ];
    for (script, cause) in rows {
        let worker = script.split(' ').map(|step| format!("#1?{step}")).collect::<Vec<_>>().join(" ");
        let mut cluster = probe("ready", &format!("ready {worker} #2?stopping")).flag("--trace").ready();
        cluster.said("worker/0#2 cluster is ready");
        let decision = cluster.said("decision slot=worker/0 incarnation=1");
        assert!(decision.contains(cause) && decision.contains("decision=replace at once"), "{script}: {decision}");
        let exit = cluster.said("member exited slot=worker/0 incarnation=1");
        assert!(exit.contains("exited with code 70") && exit.contains("replaced before"), "{script}: {exit}");
        assert_eq!(cluster.stop().code(), Some(0));
    }
}

fn one_after_another() {
    // The first drains for ever; the second fails, too.
    let worker = "ready #1?report:first #2?sleep:50 #2?report:second #3?stopping forever";
    let mut cluster = probe("ready", worker).flag("--trace").ready();
    cluster.said("worker/0#3 cluster is ready");
    until_gone(cluster.pid_of("worker/0#1"));
    assert!(is_alive(cluster.pid_of("worker/0#2")), "the second has its time");
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("killed by signal 9") && exit.contains("replaced before"), "{exit}");
    // And many of one and the same are counted, no more.
    let worker = "ready #1?report:a #1?report:b #1?report:c stopping sleep:100";
    let mut other = probe("ready", worker).flag("--trace").ready();
    other.said("worker/0#2 cluster is ready");
    other.said("member exited slot=worker/0 incarnation=1");
    until("all three are told", || (other.count("exception in a member slot=worker/0") == 3).then_some(()));
    assert_eq!(other.count("decision slot=worker/0"), 1);
    assert_eq!((other.stop().code(), other.count("worker/0#3")), (Some(0), 0));
    cluster.stop();
}

fn over_the_limit() {
    let mut cluster = probe("ready", "ready report:ill stopping").arg("--limit", "2/60").flag("--trace").ready();
    let line = cluster.said("decision=carry on");
    assert!(line.contains("slot=worker/0 incarnation=3"), "two are replaced, the third stays: {line}");
    let stays = cluster.pid_of("worker/0#3");
    until("the others have left", || (cluster.count("member exited slot=worker/0") == 2).then_some(()));
    assert!(is_alive(stays));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/0#4"), 0);
}

fn without_pause() {
    let mut cluster = probe("ready reports:600000 stopping", "ready stopping").spawn();
    let agent = cluster.pid_of("agent/0#1");
    cluster.said("agent/0#1 has reported");
    for pid in [agent, cluster.master()] {
        let peak = &proc_status(pid).expect("it runs")["VmHWM"];
        let kib: u64 = peak.split(' ').next().and_then(|kib| kib.parse().ok()).expect("a number of KiB");
        assert!(kib < 32 * 1024, "{pid}: {peak}");
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn contained() {
    let mut cluster =
        probe("ready", "contained-panic:early ready contained-panic:late say:fine stopping").flag("--trace").ready();
    cluster.said("worker/0#1 fine");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("exception in a member"), 0);
}

fn agent_returns() {
    let mut cluster =
        probe("ready cluster #1?fail:no_disk", "ready stopping").arg("--agent-delay", 100).flag("--trace").ready();
    cluster.said("agent/0#2 cluster is ready");
    let exit = cluster.said("member exited slot=agent/0 incarnation=1");
    assert!(exit.contains("exited with code 70: its function returned an error: no disk"), "{exit}");
    assert!(exit.contains("decision=restart in"), "{exit}");
    // The second has returned Ok.
    let pid = cluster.pid_of("agent/0#2");
    assert!(is_alive(pid));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("worker/0#2"), 0, "its workers stayed");
}

fn worker_returns() {
    let mut cluster = web(2).ready();
    let response = cluster.get("/leave");
    assert_eq!(response.status, 200);
    let left = response.worker();
    until_gone(left);
    let members = cluster
        .until_status("it is replaced", |members| members.iter().filter(|member| member.state == "ready").count() == 3);
    let slot = members.iter().find(|member| member.incarnation == 2).expect("somebody was replaced");
    assert_eq!(slot.last_exit.as_deref(), Some("exited with code 0"));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn abort() {
    let worker = "abort-on-panic ready sleep:50 #1?thread-panic:boom stopping";
    let mut cluster = probe("ready", worker).flag("--trace").ready();
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("killed by signal 6") && exit.contains("panicked at") && exit.contains("boom"), "{exit}");
    cluster.said("worker/0#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn built_to_abort() {
    let mut cluster = web(2).ready();
    let thrower = cluster.get("/panic").worker();
    let members = cluster.until_status("it is replaced", |members| members.iter().any(|member| member.restarts == 1));
    let slot = members.iter().find(|member| member.restarts == 1).expect("somebody was replaced");
    let exit = slot.last_exit.clone().unwrap_or_default();
    assert!(exit.starts_with("killed by signal 6: panicked at") && exit.ends_with("asked to"), "{exit}");
    assert!(!is_alive(thrower));
    // The agent is no exception any more.
    cluster.get("/agent/panic");
    let agent = cluster.until_ready("agent/0", 2);
    let exit = agent.last_exit.unwrap_or_default();
    assert!(exit.starts_with("killed by signal 6: panicked at") && exit.ends_with("asked to"), "{exit}");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn survived() {
    let mut cluster = probe("ready detached-panic:boom sleep:1500 #1?abort", "ready stopping")
        .arg("--agent-delay", 50)
        .flag("--trace")
        .ready();
    let exit = cluster.said("member exited slot=agent/0 incarnation=1");
    assert!(exit.contains("killed by signal 6") && !exit.contains("boom"), "{exit}");
    assert_eq!(cluster.stop().code(), Some(0));
}
