//! Kills at random moments, many of them. Every seed is printed; `HATCHERY_SEED` repeats one.

use std::collections::{BTreeMap, HashSet};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::harness::{
    Cluster, descriptors, orphan_end, proc_status, send, threads, until, until_no_zombie, web, within,
};
use crate::{http, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("storm: members killed at random come back, and the master is as it was", members),
        trial("storm: members killed at a pace that no limit minds come back at once, every time", paced),
        trial("storm: whenever the master is killed nobody is left", masters),
    ]
}

/// How often to do it: as the variable says, or this often.
fn times(variable: &str, usually: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(usually)
}

fn dice() -> Pcg64Mcg {
    let seed = std::env::var("HATCHERY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("HATCHERY_SEED={seed}");
    Pcg64Mcg::seed_from_u64(seed)
}

/// What the master said of one process.
#[derive(Clone, Debug, Default)]
struct Life {
    slot: String,
    ready: bool,
    draining: bool,
    exit: Option<String>,
}

/// The lives of all processes so far, in the master's words.
fn lives(cluster: &Cluster) -> BTreeMap<u32, Life> {
    let mut lives: BTreeMap<u32, Life> = BTreeMap::new();
    for line in cluster.lines().iter().filter(|line| line.starts_with("TRACE []")) {
        let field = |name: &str| line.split(name).nth(1).and_then(|rest| rest.split(' ').next());
        let Some(pid) = field("pid=").and_then(|pid| pid.parse().ok()) else { continue };
        let life = lives.entry(pid).or_default();
        if line.contains("member started") {
            life.slot = field("slot=").unwrap_or_default().into();
        } else if line.contains("member ready") {
            life.ready = true;
        } else if line.contains("decision=replace at once") {
            life.draining = true;
        } else if line.contains("member exited") {
            assert_eq!(life.exit.replace(line.clone()), None, "one end, one record");
        }
    }
    lives
}

fn resident(pid: u32) -> i64 {
    let status = proc_status(pid).expect("it runs");
    status["VmRSS"].split(' ').next().and_then(|number| number.parse().ok()).expect("a number of KiB")
}

/// Requests from several clients at once, each on a connection of its own.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<std::thread::JoinHandle<usize>>,
}

impl Load {
    fn on(port: u16, clients: usize) -> Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |number: usize| {
            let (stop, answered) = (stop.clone(), answered.clone());
            std::thread::spawn(move || {
                let mut lost = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Now and then one that takes its time, so that there is something to drain.
                    let path = if number.is_multiple_of(2) { "/slow?ms=60" } else { "/" };
                    let mut connection = http::Connection::open(port).expect("a connection is never refused");
                    match connection.get(path) {
                        Ok(response) => {
                            assert_eq!(response.status, 200);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // Its worker was killed under it.
                        Err(_) => lost += 1,
                    }
                }
                lost
            })
        };
        let clients = (0..clients).map(client).collect();
        Load { stop, answered, clients }
    }

    /// How many requests were answered, and how many were not.
    fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let lost = self.clients.into_iter().map(|client| client.join().expect("its assertions hold")).sum();
        (self.answered.load(Ordering::Relaxed), lost)
    }
}

fn members() {
    const CLIENTS: usize = 4;
    let (kills, mut dice) = (times("HATCHERY_KILLS", 100), dice());
    let warm = 100.min(kills / 2);
    let mut cluster = web(4).arg("--restart-limit", "off").flag("--trace").ready();
    let master = cluster.master();
    let baseline = (descriptors(master), threads(master));
    let load = Load::on(cluster.port(), CLIENTS);
    let mut killed = HashSet::new();
    let mut resident_when_warm = 0;
    // Who drains, for a while: it still has slow ones.
    let mut drainer = None;
    while killed.len() < kills {
        let members = cluster.members();
        // The youngest is perhaps not ready yet: one kill in three is meant for it.
        let target = match (drainer.take().filter(|_| dice.random_ratio(2, 3)), dice.random_ratio(1, 3)) {
            (Some(drainer), _) => Some(drainer),
            (None, true) => members.last().copied(),
            (None, false) => members.get(dice.random_range(0..members.len().max(1))).copied(),
        };
        if dice.random_ratio(1, 3) {
            drainer = http::get(cluster.port(), "/panic").ok().map(|answer| answer.worker());
        }
        if let Some(pid) = target.filter(|pid| !killed.contains(pid)) {
            send(pid, Signal::SIGKILL);
            killed.insert(pid);
        }
        std::thread::sleep(Duration::from_micros(dice.random_range(0..4000)));
        if killed.len() == warm {
            resident_when_warm = resident(master);
        }
    }
    let (answered, lost) = load.end();
    let lives = until("every kill is known, and every start but five has its end", || {
        let lives = lives(&cluster);
        let known = killed.iter().all(|pid| lives.get(pid).is_some_and(|life| life.exit.is_some()));
        let alive = lives.values().filter(|life| life.exit.is_none()).count();
        (known && (alive, cluster.members().len()) == (5, 5)).then_some(lives)
    });
    assert_eq!(cluster.until_all_ready().len(), 5, "everybody is back");
    // One that was asked to go may have gone before the signal came. A fault counts if it happened.
    let by_us: Vec<&Life> = killed
        .iter()
        .map(|pid| &lives[pid])
        .filter(|life| life.exit.as_ref().is_some_and(|exit| exit.contains("killed by signal 9")))
        .collect();
    let starting = by_us.iter().filter(|life| !life.ready).count();
    let draining = by_us.iter().filter(|life| life.draining).count();
    let agents = by_us.iter().filter(|life| life.slot.starts_with("agent")).count();
    let growth = resident(master) - resident_when_warm;
    eprintln!(
        "{} killed, of them {starting} starting, {draining} draining, {agents} agents; {answered} requests answered, \
         {lost} lost; RSS of the master {growth:+} KiB since kill {warm}",
        by_us.len()
    );
    assert!(by_us.len() >= kills * 7 / 10 && starting >= kills / 20 && draining >= kills / 20);
    until_no_zombie(master);
    until("the master is as it was", || ((descriptors(master), threads(master)) == baseline).then_some(()));
    assert!(growth < 1024, "{growth} KiB");
    assert!(lost <= by_us.len() * CLIENTS, "no more are lost than were under way");
    assert_eq!(cluster.stop().code(), Some(0));
    cluster.expect_nobody();
}

fn paced() {
    let (kills, mut dice) = (times("HATCHERY_PACED_KILLS", 12), dice());
    let mut cluster = web(2).flag("--trace").ready();
    let load = Load::on(cluster.port(), 2);
    // The defaults mind one that has been ready for less than a second, and more than 60 in a minute.
    let pace = Duration::from_millis(1050);
    for _ in 0..kills {
        let members = cluster.until_all_ready();
        std::thread::sleep(pace);
        let target = &members[dice.random_range(1..3)];
        let pid = target.pid.expect("it is ready");
        send(pid, Signal::SIGKILL);
        let exit = cluster.line(|line| line.contains("member exited") && line.contains(&format!("pid={pid} ")));
        assert!(exit.contains("cause=killed by signal 9 decision=restart at once"), "{exit}");
        cluster.until_ready(&target.slot, target.incarnation + 1);
    }
    let (answered, lost) = load.end();
    eprintln!("{kills} killed, each replaced at once; {answered} requests answered, {lost} lost");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(cluster.count("restart limit reached"), 0);
}

/// What the cluster was doing when its master was killed, in the master's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Boot,
    Traffic,
    Drain,
    Replacement,
}

const GRACE: u64 = 300;

fn masters() {
    let (kills, mut dice) = (times("HATCHERY_MASTER_KILLS", 40), dice());
    let mut moments: BTreeMap<Moment, usize> = BTreeMap::new();
    let (mut said_so, mut slowest) = (0, Duration::ZERO);
    for number in 0..kills {
        let aim = [Moment::Boot, Moment::Traffic, Moment::Drain, Moment::Replacement][number % 4];
        let (moment, codes, took) = kill_master(aim, &mut dice);
        *moments.entry(moment).or_default() += 1;
        said_so += codes;
        slowest = slowest.max(took);
    }
    eprintln!(
        "{kills} masters killed: {moments:?}; {said_so} members left with 110; the last was gone after {slowest:?}"
    );
    for moment in [Moment::Boot, Moment::Traffic, Moment::Drain, Moment::Replacement] {
        assert!(moments.get(&moment).is_some_and(|&count| count >= kills / 20), "{moment:?} was missed: {moments:?}");
    }
}

/// Kills a master at such a moment, as far as it can be met. Which it was, how many members said 110, and how long the
/// last of them took.
fn kill_master(aim: Moment, dice: &mut Pcg64Mcg) -> (Moment, usize, Duration) {
    let start = web(4).arg("--orphan-grace", GRACE).arg("--restart-limit", "off").flag("--trace");
    let mut cluster = start.spawn();
    let micros = |dice: &mut Pcg64Mcg, most| std::thread::sleep(Duration::from_micros(dice.random_range(0..most)));
    let (mut port, mut stopped, mut victim, mut asked) = (None, None, None, Vec::new());
    if aim == Moment::Boot {
        micros(dice, 8000);
    } else {
        port = Some(cluster.port());
        let workers: Vec<u32> = cluster.until_all_ready().iter().skip(1).filter_map(|member| member.pid).collect();
        // One is stopped, one cannot run, and the others have something to finish.
        for path in ["/spin?ms=60000", "/slow?ms=100", "/slow?ms=60000", "/slow?ms=100", "/slow?ms=60000"] {
            let mut connection = http::Connection::open(port.expect("known")).expect("it listens");
            connection.ask(path).expect("it reads");
            asked.push(connection);
        }
        stopped = Some(workers[3]);
        send(workers[3], Signal::SIGSTOP);
        match aim {
            Moment::Boot | Moment::Traffic => {}
            Moment::Drain => {
                // Again: whoever took one may be the one that cannot run.
                until("one drains", || {
                    let mut connection = http::Connection::open(port.expect("known")).expect("it listens");
                    connection.ask("/panic").expect("it reads");
                    asked.push(connection);
                    (cluster.count("decision=replace at once") > 0).then_some(())
                });
            }
            Moment::Replacement => {
                let pid = workers[dice.random_range(0..3)];
                send(pid, Signal::SIGKILL);
                victim = Some(pid);
            }
        }
        micros(dice, if aim == Moment::Replacement { 3000 } else { 20_000 });
    }
    let members = cluster.members();
    cluster.signal(Signal::SIGKILL);
    let killed = Instant::now();
    cluster.wait();
    within(Duration::from_millis(GRACE + 1000), "nobody is left", || cluster.processes().is_empty().then_some(()));
    let took = killed.elapsed();
    cluster.expect_nobody();
    if let Some(port) = port {
        TcpListener::bind(("127.0.0.1", port)).expect("the port is free at once");
    }
    let lives = lives(&cluster);
    let left: Vec<&Life> = lives.values().filter(|life| life.exit.is_none()).collect();
    let moment = match () {
        () if cluster.count("cluster ready") == 0 => Moment::Boot,
        () if left.iter().any(|life| !life.ready) => Moment::Replacement,
        () if left.iter().any(|life| life.draining) => Moment::Drain,
        () => Moment::Traffic,
    };
    let mut codes = 0;
    for pid in members.into_iter().filter(|pid| lives.get(pid).is_none_or(|life| life.exit.is_none())) {
        let ready = lives.get(&pid).is_some_and(|life| life.ready);
        match orphan_end(pid) {
            WaitStatus::Exited(_, 110) => codes += 1,
            // Not far enough to have a thread that watches: the kernel ended it.
            WaitStatus::Signaled(_, Signal::SIGKILL, _) if !ready => {}
            // We had killed it, and the master had no time to hear of it.
            WaitStatus::Signaled(_, Signal::SIGKILL, _) if victim == Some(pid) => {}
            // It was on its way out before.
            WaitStatus::Exited(_, 0 | 70) if lives[&pid].draining => {}
            other => panic!("{pid} of {:?}: {other:?}, stopped: {}", lives.get(&pid), stopped == Some(pid)),
        }
    }
    (moment, codes, took)
}
