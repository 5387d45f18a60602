//! One connection for all, to a real Redis server: the example `shared_connection`, and what may be done to it.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::harness::{Cluster, Redis, scenario, send, until, until_gone};
use crate::remote::without_pid;
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    let is_missing = !Redis::is_installed();
    if is_missing {
        eprintln!("\nTHE TESTS CALLED \"redis: ...\" ARE NOT RUN: there is no redis-server on this machine\n");
    }
    let trials = [
        trial("redis: the example shared_connection shows what its head says", head),
        trial(
            "redis: however many workers follow, there is one connection that is subscribed, and one for commands",
            one,
        ),
        trial(
            "redis: when the server is killed all workers hear of the gap, and of what comes when it is back",
            killed,
        ),
        trial("redis: a server that hangs is a lost connection, and nobody waits for it", hung),
        trial("redis: when one of the two connections is cut, both are made anew", cut),
        trial("redis: when the agent is killed the next one follows what workers follow", agent),
        trial("redis: when a worker is killed its successor hears what the others know", worker),
    ];
    trials.into_iter().map(|trial| trial.with_ignored_flag(is_missing)).collect()
}

const WORKERS: usize = 3;

/// The example, connected, and each worker knows of the key `mood` that it is not there.
fn begun() -> (Redis, Cluster) {
    let mut redis = Redis::start();
    let start = scenario("shared-connection").arg("--redis", redis.address()).arg("--listen", "127.0.0.1:0");
    let cluster = start.arg("--workers", WORKERS).ready();
    until_heard(&cluster, &["nothing"]);
    until_one_connection(&mut redis);
    (redis, cluster)
}

fn end(mut cluster: Cluster) {
    assert_eq!(cluster.stop().code(), Some(0));
    cluster.expect_nobody();
}

/// What a worker says of itself.
#[derive(Debug)]
struct Worker {
    slot: String,
    pid: u32,
    is_connected: bool,
    /// Of the key `mood`. The same twice in a row is once here: what is read may have changed since it was told.
    heard: Vec<String>,
}

impl Worker {
    /// `worker/0 pid 4241 not connected, mood: nothing "fine" gap`. `None`: it could not be asked.
    fn read(line: &str) -> Option<Worker> {
        let (slot, rest) = line.split_once(" pid ")?;
        let (pid, rest) = rest.split_once(' ')?;
        let (connected, heard) = rest.split_once(", mood: ").unwrap_or((rest, ""));
        let mut heard: Vec<String> = heard.split_whitespace().map(str::to_owned).collect();
        heard.dedup();
        Some(Worker { slot: slot.to_owned(), pid: pid.parse().ok()?, is_connected: connected == "connected", heard })
    }
}

/// Waits until all workers say what is wanted of them.
#[track_caller]
fn until_all(cluster: &Cluster, what: &str, is_it: impl Fn(&Worker) -> bool) -> Vec<Worker> {
    until(what, || {
        let body = http::get(cluster.port(), "/heard").ok()?.body;
        let workers: Vec<Worker> = body.lines().filter_map(Worker::read).collect();
        (workers.len() == WORKERS && workers.iter().all(&is_it)).then_some(workers)
    })
}

/// Waits until all are connected, and have heard this and nothing else since the beginning.
#[track_caller]
fn until_heard(cluster: &Cluster, heard: &[&str]) {
    until_all(cluster, &format!("all have heard {heard:?}"), |worker| worker.is_connected && worker.heard == heard);
}

/// The same without a connection.
#[track_caller]
fn until_lost(cluster: &Cluster, heard: &[&str]) {
    until_all(cluster, &format!("all have heard {heard:?}"), |worker| !worker.is_connected && worker.heard == heard);
}

/// Those of agents that were killed are closed by then, or about to be.
#[track_caller]
fn until_one_connection(redis: &mut Redis) {
    until("one is subscribed, and one is for commands", || (redis.connections() == (vec![1], 1)).then_some(()));
}

#[track_caller]
fn publish(cluster: &Cluster, value: &str) {
    let response = cluster.get(&format!("/publish?key=mood&value={value}"));
    assert_eq!((response.status, response.body.as_str()), (200, "published\n"));
}

/// By somebody who has nothing to do with us.
#[track_caller]
fn published_elsewhere(redis: &mut Redis, value: &str) {
    redis.ask::<()>(&format!("SET mood {value}"));
    redis.ask::<()>("PUBLISH mood whatever");
}

/// What is asked while there is no server comes to its end, and says so.
#[track_caller]
fn expect_unavailable(cluster: &Cluster, path: &str) {
    assert_eq!(cluster.get(path).status, 503, "{path}");
}

fn head() {
    let (_redis, cluster) = begun();
    let source = include_str!("../../examples/shared_connection.rs");
    let lines: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let mut asked = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some(path) = line.strip_prefix("$ curl 'localhost:8000").map(|path| path.trim_end_matches('\'')) else {
            continue;
        };
        asked += 1;
        let answer = lines[at + 1..].iter().take_while(|line| !line.starts_with('$') && **line != "```");
        let promised: Vec<String> = answer.map(|line| without_pid(line)).collect();
        let said = || cluster.get(path).body.lines().map(without_pid).collect::<Vec<_>>();
        match path {
            // What was published is on its way. The head has one worker less.
            "/heard" => until(&format!("{promised:#?}"), || (said()[..WORKERS - 1] == promised).then_some(())),
            _ => assert_eq!(said(), promised, "{path}"),
        }
    }
    assert_eq!(asked, 5, "it says what to type");
    end(cluster);
}

fn one() {
    let (mut redis, cluster) = begun();
    publish(&cluster, "fine");
    until_heard(&cluster, &["nothing", "\"fine\""]);
    published_elsewhere(&mut redis, "good");
    until_heard(&cluster, &["nothing", "\"fine\"", "\"good\""]);
    // What can be put there, but is no value, is none; and the connection lives on.
    redis.ask::<()>("DEL mood");
    redis.ask::<()>("LPUSH mood bad worse");
    redis.ask::<()>("PUBLISH mood whatever");
    until_heard(&cluster, &["nothing", "\"fine\"", "\"good\"", "nothing"]);
    assert_eq!(cluster.get("/cache/get?key=motto").status, 404);
    assert_eq!(cluster.get("/cache/set?key=motto&value=onward&seconds=60").body, "set\n");
    assert_eq!(cluster.get("/cache/get?key=motto").body, "onward\n");
    assert!(redis.ask::<i64>("TTL cache:motto") > 0, "it expires");
    assert_eq!(redis.connections(), (vec![1], 1), "of {WORKERS} workers and an agent");
    end(cluster);
    until("nobody is connected", || (redis.connections() == (vec![], 0)).then_some(()));
}

fn killed() {
    let (mut redis, cluster) = begun();
    publish(&cluster, "fine");
    until_heard(&cluster, &["nothing", "\"fine\""]);
    redis.kill();
    until_lost(&cluster, &["nothing", "\"fine\"", "gap"]);
    expect_unavailable(&cluster, "/publish?key=mood&value=lost");
    redis.start_again();
    // It has kept nothing: that is known again.
    until_heard(&cluster, &["nothing", "\"fine\"", "gap", "nothing"]);
    until_one_connection(&mut redis);
    published_elsewhere(&mut redis, "good");
    until_heard(&cluster, &["nothing", "\"fine\"", "gap", "nothing", "\"good\""]);
    end(cluster);
}

fn hung() {
    let (mut redis, cluster) = begun();
    publish(&cluster, "fine");
    until_heard(&cluster, &["nothing", "\"fine\""]);
    redis.signal(Signal::SIGSTOP);
    expect_unavailable(&cluster, "/cache/get?key=motto");
    until_lost(&cluster, &["nothing", "\"fine\"", "gap"]);
    expect_unavailable(&cluster, "/cache/get?key=motto");
    redis.signal(Signal::SIGCONT);
    until_heard(&cluster, &["nothing", "\"fine\"", "gap", "\"fine\""]);
    until_one_connection(&mut redis);
    published_elsewhere(&mut redis, "good");
    until_heard(&cluster, &["nothing", "\"fine\"", "gap", "\"fine\"", "\"good\""]);
    end(cluster);
}

fn cut() {
    let (mut redis, cluster) = begun();
    redis.ask::<()>("CLIENT KILL TYPE pubsub");
    until_heard(&cluster, &["nothing", "gap", "nothing"]);
    until_one_connection(&mut redis);
    redis.ask::<()>("CLIENT KILL TYPE normal SKIPME yes");
    until_heard(&cluster, &["nothing", "gap", "nothing", "gap", "nothing"]);
    until_one_connection(&mut redis);
    end(cluster);
}

fn agent() {
    let (mut redis, cluster) = begun();
    publish(&cluster, "fine");
    until_heard(&cluster, &["nothing", "\"fine\""]);
    let line = cluster.ready_line();
    let agent = line.split(' ').find_map(|word| word.strip_prefix("agent=")?.parse().ok()).expect("its pid");
    send(agent, Signal::SIGKILL);
    until_gone(agent);
    published_elsewhere(&mut redis, "good");
    until_heard(&cluster, &["nothing", "\"fine\"", "gap", "\"good\""]);
    until_one_connection(&mut redis);
    publish(&cluster, "fine");
    until_heard(&cluster, &["nothing", "\"fine\"", "gap", "\"good\"", "\"fine\""]);
    end(cluster);
}

fn worker() {
    let (mut redis, cluster) = begun();
    publish(&cluster, "fine");
    until_heard(&cluster, &["nothing", "\"fine\""]);
    let before = until_all(&cluster, "they are there", |_| true);
    send(before[1].pid, Signal::SIGKILL);
    until_gone(before[1].pid);
    let is_told = |worker: &Worker| worker.is_connected && !worker.heard.is_empty();
    let after = until_all(&cluster, "there is another", |worker| worker.pid != before[1].pid && is_told(worker));
    assert_eq!(after[1].slot, before[1].slot);
    let last = |workers: &[Worker]| workers.iter().map(|worker| worker.heard.clone()).collect::<Vec<_>>();
    let [knew, knows] = [last(&before), last(&after)];
    assert_eq!(knows, [knew[0].clone(), vec!["\"fine\"".to_owned()], knew[2].clone()], "the others hear of nothing");
    assert_eq!(redis.connections(), (vec![1], 1), "it is subscribed already");
    publish(&cluster, "good");
    until_all(&cluster, "all hear", |worker| worker.heard.last().is_some_and(|heard| heard == "\"good\""));
    end(cluster);
}
