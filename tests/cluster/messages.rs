//! How members talk, also while some of them die.

use std::collections::{HashMap, HashSet};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Cluster, is_alive, proc_status, scenario, send, until, until_gone, web};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("scenario 20: each verb reaches those whom it names, each once", counts),
        trial("a random worker is a ready one, each as likely as the others", || well("dice", "agent/0#1")),
        trial("every verb does what it says", || well("verbs", "worker/0#1")),
        trial("what cannot be sent is refused at once, and the link lives", || well("refused", "agent/0#1")),
        trial("what is lost comes back with the reason", || well("returned", "agent/0#1")),
        trial("messages wait for a member that starts, and keep their order", || kept("early", "worker/0#1")),
        trial("messages wait for a member that restarts, and keep their order", || kept("restart", "worker/0#2")),
        trial("bytes arrive as they were, through a master that cannot read them", || well("raw", "agent/0#1")),
        trial("from one to another there is one order, whatever the verb", order),
        trial("while receivers are killed every message arrives or comes back, none twice", storm),
        trial("P09: what a member said before its end is heard before its end", said_before_the_end),
        trial("scenario 14: a handler of the agent that fails is logged, and the agent stays", failing_handlers),
        trial("random messages go round a worker that has stopped", detour),
        trial("a caller that has stopped reading holds up nobody else, and no stop", deaf),
        trial("the web example sends by every verb, and says what went wrong", web_example),
    ]
}

fn case(name: &str) -> Cluster {
    scenario("messages").arg("--case", name).flag("--trace").spawn()
}

/// The driver of the case has found all as it must be.
fn well(name: &str, driver: &str) {
    let mut cluster = case(name);
    cluster.said(&format!("{driver} all is well"));
    // Some of them block for ever: no part of the story.
    cluster.stop_quickly();
    cluster.wait_code(0);
}

fn counts() {
    let mut cluster = case("counts");
    let total = 9 + 6 + 3 + 6;
    until("all have arrived", || (cluster.count(" got ") >= total).then_some(()));
    for (action, from, expected) in [
        ("broadcast", "", 9),
        ("workers", "agent", 2),
        ("workers", "worker", 4),
        ("agent", "agent", 1),
        ("agent", "worker", 2),
        ("role", "", 6),
    ] {
        assert_eq!(cluster.count(&format!("got {action} from {from}")), expected, "{action} from {from}");
    }
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count(" got "), total, "and no more");
}

/// The numbers that a member got, in the order of their arrival.
fn received(cluster: &Cluster, member: &str) -> Vec<u32> {
    let prefix = format!("{member} got ");
    let lines = cluster.lines();
    let numbers = lines.iter().filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()?.parse().ok());
    numbers.collect()
}

/// Waits until the member has got as many numbers, which must be these.
#[track_caller]
fn arrived(cluster: &Cluster, member: &str, numbers: &[u32]) {
    until("all have arrived", || (received(cluster, member).len() >= numbers.len()).then_some(()));
    assert_eq!(received(cluster, member), numbers);
}

fn kept(name: &str, receiver: &str) {
    let mut cluster = case(name);
    cluster.said("agent/0#1 0 came back");
    let expected: Vec<u32> = if name == "early" { (0..=200).collect() } else { (0..200).collect() };
    arrived(&cluster, receiver, &expected);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn order() {
    let mut cluster = case("order");
    cluster.said("worker/0#1 0 came back");
    arrived(&cluster, "worker/1#1", &(0..4000).collect::<Vec<u32>>());
    assert_eq!(cluster.stop().code(), Some(0));
}

fn storm() {
    let mut cluster = case("storm");
    cluster.said("ready for tests");
    let senders = ["worker/0#1", "worker/1#1"];
    let mut killed = HashSet::new();
    // As soon as a receiver has had a few it dies: not before, or all would only wait.
    until("both have sent their numbers", || {
        for slot in ["worker/2", "worker/3"] {
            let lines = cluster.lines();
            let latest = lines.iter().rev().find(|line| line.contains(&format!("member ready slot={slot} ")));
            let pid = latest.and_then(|line| line.rsplit("pid=").next()?.parse().ok());
            let who = lines.iter().rev().find(|line| line.starts_with(slot) && line.contains(" pid "));
            let who = who.and_then(|line| line.split(' ').next()).unwrap_or_default();
            let has_some = lines.iter().filter(|line| line.starts_with(&format!("{who} got "))).count() >= 5;
            if let Some(pid) = pid.filter(|&pid| has_some && is_alive(pid) && killed.insert(pid)) {
                send(pid, Signal::SIGKILL);
            }
        }
        senders.iter().all(|sender| cluster.count(&format!("{sender} has sent its numbers")) == 1).then_some(())
    });
    let kills = killed.len();
    for sender in senders {
        cluster.said(&format!("{sender} has sent all"));
    }
    for sender in senders {
        // Before the end: what came back is heard of while the member lives.
        until(&format!("each message of {sender} has arrived or come back"), || {
            let Fates { arrived, back } = fates(&cluster, sender);
            (0..1000).all(|number| arrived.contains_key(&number) || back.contains_key(&number)).then_some(())
        });
    }
    assert_eq!(cluster.stop().code(), Some(0));
    let broken: Vec<String> = cluster.lines().into_iter().filter(|line| line.contains("broke the protocol")).collect();
    assert_eq!(broken, Vec::<String>::new(), "whatever was cut in between");
    for sender in senders {
        let Fates { arrived, back } = fates(&cluster, sender);
        for number in 0..1000 {
            match (arrived.get(&number), back.get(&number)) {
                // Whoever died after it had it may not have said so.
                (Some(1), None | Some(false)) | (None, Some(_)) => {}
                other => panic!("{number} of {sender}: {other:?} after {kills} kills"),
            }
        }
        assert!(kills >= 10 && back.len() >= 10, "{kills} kills, {} came back: that shows nothing", back.len());
    }
}

/// What became of the messages of one sender.
struct Fates {
    /// How often each arrived.
    arrived: HashMap<u32, usize>,
    /// Which came back, and whether certainly unseen.
    back: HashMap<u32, bool>,
}

fn fates(cluster: &Cluster, sender: &str) -> Fates {
    let mut fates = Fates { arrived: HashMap::new(), back: HashMap::new() };
    for line in cluster.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [_, "got", number, "from", from] if from == sender => {
                *fates.arrived.entry(number.parse().expect("a number")).or_default() += 1;
            }
            [from, "back", number, ref rest @ ..] if from == sender => {
                let twice = fates.back.insert(number.parse().expect("a number"), rest[0] == "unseen:");
                assert_eq!(twice, None, "{number} came back twice");
                assert!(line.ends_with("omitted 0"), "{line}");
            }
            _ => {}
        }
    }
    fates
}

fn said_before_the_end() {
    let mut cluster = case("last-words");
    until_gone(cluster.pid_of("worker/0#1"));
    let master = proc_status(cluster.master()).expect("it is there");
    assert!(master["State"].starts_with('T'), "it cannot have heard: {}", master["State"]);
    cluster.signal(Signal::SIGCONT);
    let exit = cluster.said("member exited slot=worker/0 incarnation=1");
    assert!(exit.contains("exited with code 3"), "{exit}");
    arrived(&cluster, "agent/0#1", &(0..100).collect::<Vec<u32>>());
    cluster.said("worker/0#2 cluster is ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn detour() {
    let mut cluster = case("detour");
    cluster.said("agent/0#1 all is well");
    send(cluster.pid_of("worker/0#1"), Signal::SIGKILL);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn deaf() {
    let mut cluster = case("deaf");
    cluster.said("agent/0#1 all is well");
    assert_eq!(cluster.stop().code(), Some(0));
    let exit = cluster.said("member exited slot=worker/1 incarnation=1");
    assert!(exit.contains("exited with code 0"), "{exit}");
}

fn failing_handlers() {
    let mut cluster = case("handlers");
    let pid = cluster.pid_of("agent/0#1");
    for outcome in ["throw: dropped", "reject: failed: no", "string: failed: just a text", "unknown: no handler"] {
        cluster.said(&format!("worker/0#1 {outcome}"));
    }
    cluster.said("a handler failed action=\"reject\" error=no");
    cluster.said("asked to throw");
    assert!(is_alive(pid));
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("agent/0#2"), 0);
}

fn web_example() {
    let mut cluster = web(2).ready();
    for to in ["all", "workers", "agent", "random", "worker/1", "worker/1%231"] {
        let response = cluster.get(&format!("/send?to={to}&text=hi"));
        assert_eq!(response.status, 200, "{to}: {}", response.body);
    }
    let inbox = |response: crate::http::Response| -> Vec<serde_json::Value> {
        serde_json::from_str(&response.body).expect("a list")
    };
    until("the agent has its two", || (inbox(cluster.get("/agent/inbox")).len() == 2).then_some(()));
    let workers = cluster.until_all_ready().into_iter().skip(1).filter_map(|member| member.pid).collect::<Vec<_>>();
    // All, the workers twice, the two that name it, and the random one.
    until("the workers have theirs", || {
        let mut texts = HashMap::new();
        while texts.len() < 2 {
            let response = cluster.get("/inbox");
            texts.insert(response.worker(), inbox(response).len());
        }
        let counts: Vec<usize> = workers.iter().map(|pid| texts[pid]).collect();
        (counts == [2, 5] || counts == [3, 4]).then_some(())
    });
    let first = &inbox(cluster.get("/inbox"))[0];
    assert_eq!(first["text"], "hi");
    assert!(first["from"].as_str().is_some_and(|from| from.starts_with("worker/")), "{first}");
    for (to, status) in [("worker/9", 404), ("mailer", 404), ("worker/1%237", 409), ("agent/0", 200), ("worker/x", 404)]
    {
        let response = cluster.get(&format!("/send?to={to}&text=hi"));
        assert_eq!(response.status, status, "{to}: {}", response.body);
    }
    send(workers[1], Signal::SIGKILL);
    cluster.until_ready("worker/1", 2);
    let gone = cluster.get("/send?to=worker/1%231&text=hi");
    assert_eq!((gone.status, gone.body.contains("gone")), (409, true), "{}", gone.body);
    let long = cluster.get(&format!("/send?to=agent&text={}", "x".repeat(60_000)));
    assert_eq!(long.status, 200, "{}", long.body);
    assert_eq!(cluster.stop().code(), Some(0));
}
