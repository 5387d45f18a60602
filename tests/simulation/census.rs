//! What the code of users counts by itself: who was begun and how it ended, what it threw, which requests it had. The books
//! of the library are compared with these, and not with themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use hatchery::simulation::{Client, ClientError, Simulation, Trace};
use hatchery::{Context, Hatchery, MemberId, Role, Slot};

use crate::agent;

/// Cheap to clone; every clone is the same.
#[derive(Clone)]
pub(crate) struct Census {
    sim: Simulation,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    lives: BTreeMap<MemberId, Life>,
    /// Who has a request, by its number.
    begun: BTreeMap<u64, MemberId>,
    answered: u64,
    unanswered: Vec<Asked>,
    refused: u64,
    lost: Vec<Asked>,
    asked: u64,
}

/// What a process of the user's program knows of itself.
#[derive(Default)]
struct Life {
    boots: u32,
    /// How often its code threw.
    thrown: u32,
    /// Its function has come to its end, and was not dropped before.
    returned: bool,
    /// When the last of its tasks was dropped.
    ended: Option<Duration>,
}

/// A request that had no answer: from when to when somebody waited for one.
struct Asked {
    number: u64,
    from: Duration,
    to: Duration,
    /// Its handler was to throw.
    thrown: bool,
}

/// What a census came to, or several.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Processes whose function was begun.
    pub(crate) boots: u64,
    /// Processes that were there and ended before.
    pub(crate) unborn: u64,
    /// Those of them that were not the first of their slot.
    pub(crate) successors: u64,
    /// Functions that were dropped before they had come to their end.
    pub(crate) cut_short: u64,
    /// Exceptions of their own code, and those of them that the master was told of.
    pub(crate) thrown: u64,
    pub(crate) told: u64,
    pub(crate) answered: u64,
    /// Requests whose connections broke, and not because they were to throw.
    pub(crate) lost: u64,
    /// Requests that had no answer within a minute.
    pub(crate) unanswered: u64,
}

/// An end of a process may be seen so much later by those who were connected to it.
const SLACK: Duration = Duration::from_millis(10);

/// No fault of chaos has a process stand still for longer than 20 s.
const STILL: Duration = Duration::from_secs(21);

impl Census {
    pub(crate) fn of(sim: &Simulation) -> Census {
        Census { sim: sim.clone(), books: Arc::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panics with it")
    }

    fn life(&self, id: MemberId, change: impl FnOnce(&mut Life)) {
        change(self.books().lives.entry(id).or_default());
    }

    /// A role function, counted.
    async fn live(&self, cx: &Context, function: impl Future<Output = hatchery::Result<()>>) -> hatchery::Result<()> {
        let me = cx.id();
        self.life(me, |life| life.boots += 1);
        // It ends with its process, whatever becomes of the function.
        let last = Last { census: self.clone(), me };
        cx.spawn(async move {
            let _last = last;
            std::future::pending::<()>().await;
        });
        let result = function.await;
        self.life(me, |life| life.returned = true);
        result
    }

    /// The agent of the other stories, which comes to its end when it is to stop.
    pub(crate) async fn agent(self, cx: Context) -> hatchery::Result<()> {
        let function = async {
            agent(cx.clone()).await?;
            cx.stopping().await;
            Ok(())
        };
        self.live(&cx, function).await
    }

    /// A web server whose requests have numbers.
    pub(crate) async fn worker(self, cx: Context) -> hatchery::Result<()> {
        let shop = Shop { census: self.clone(), cx: cx.clone() };
        let routes = Router::new().route("/count/{number}", get(count)).route("/throw/{number}", get(throw));
        let function = async {
            let listener = cx.listener()?;
            cx.ready();
            hatchery::axum::serve(listener, routes.with_state(shop), &cx).await
        };
        self.live(&cx, function).await
    }

    /// A cluster of these.
    pub(crate) fn web(&self, workers: usize) -> Hatchery {
        let (agents, of_workers) = (self.clone(), self.clone());
        let plan = Hatchery::new().listen_named("http", "127.0.0.1:8080").agent(move |cx| agents.clone().agent(cx));
        plan.workers(workers, move |cx| of_workers.clone().worker(cx))
    }

    /// Asks for the count, or for an exception, and writes down what became of it.
    pub(crate) async fn ask(&self, client: &Client, thrown: bool) {
        let number = {
            let mut books = self.books();
            books.asked += 1;
            books.asked
        };
        let from = self.sim.now();
        let what = if thrown { "throw" } else { "count" };
        let reply = client.get(&format!("/{what}/{number}")).await;
        let (to, mut books) = (self.sim.now(), self.books());
        let asked = Asked { number, from, to, thrown };
        match reply {
            Ok(reply) => {
                assert!(reply.is_success() && !thrown, "{reply:?}");
                books.answered += 1;
            }
            Err(ClientError::Http(_)) => books.lost.push(asked),
            Err(ClientError::TimedOut(_)) => books.unanswered.push(asked),
            Err(ClientError::Refused) => books.refused += 1,
            Err(error) => panic!("request {number}: {error}"),
        }
    }

    /// How many requests were refused: none, as long as the cluster is there.
    pub(crate) fn refused(&self) -> u64 {
        self.books().refused
    }

    /// Nobody is left. Compares what was counted with what the trace says of each process and each fault.
    pub(crate) fn check(&self) -> Counts {
        let trace = self.sim.trace();
        let (books, tale) = (self.books(), Tale::of(&trace));
        let mut told = 0;
        for (id, life) in &books.lives {
            assert_eq!(life.boots, 1, "{id} is begun once");
            assert!(tale.started.contains(&id.to_string()), "{id} runs, and was not started");
            let Some(ended) = life.ended else { panic!("{id} runs on") };
            if let Some(struck) = tale.struck.get(&id.to_string()) {
                assert!(ended <= *struck + SLACK, "{id} was ended at {struck:?}, and runs until {ended:?}");
            }
            assert!(life.returned || tale.is_forced(*id, ended), "{id} is cut short at {ended:?} by nobody");
            let of_it = tale.exceptions.get(&id.to_string()).copied().unwrap_or(0);
            assert!(of_it <= life.thrown, "{id} threw {} times, and {of_it} were told", life.thrown);
            told += u64::from(of_it);
        }
        let named: BTreeSet<String> = books.lives.keys().map(ToString::to_string).collect();
        for id in tale.ready.keys() {
            assert!(named.contains(id), "{id} is ready, and was never begun");
        }
        books.lost.iter().for_each(|lost| books.account_for(lost, &tale));
        books.unanswered.iter().for_each(|asked| books.excuse(asked, &tale));
        let (boots, started) = (books.lives.len() as u64, tale.started.len() as u64);
        Counts {
            boots,
            unborn: started - boots,
            successors: books.lives.keys().filter(|id| id.incarnation().get() > 1).count() as u64,
            cut_short: books.lives.values().filter(|life| !life.returned).count() as u64,
            thrown: books.lives.values().map(|life| u64::from(life.thrown)).sum(),
            told,
            answered: books.answered,
            lost: books.lost.iter().filter(|lost| !lost.thrown).count() as u64,
            unanswered: books.unanswered.len() as u64,
        }
    }
}

impl Books {
    /// I10: what was lost was in the hands of somebody who was ended by force meanwhile.
    fn account_for(&self, lost: &Asked, tale: &Tale) {
        let Asked { number, from, to, thrown } = *lost;
        let is_ended_by_force = |id: MemberId| {
            let ended = self.lives.get(&id).and_then(|life| life.ended);
            ended.is_some_and(|at| (from..=to + SLACK).contains(&at) && tale.is_forced(id, at))
        };
        match self.begun.get(&number) {
            Some(id) if thrown => assert!(self.lives[id].thrown > 0, "request {number} was to throw in {id}"),
            Some(id) => assert!(is_ended_by_force(*id), "request {number} is lost by {id}, {from:?} to {to:?}"),
            // Accepted, and not read.
            None => {
                let mut workers = self.lives.keys().filter(|id| id.role() == Role::WORKER);
                let ended = workers.any(|id| is_ended_by_force(*id));
                assert!(ended, "request {number} is lost by nobody, {from:?} to {to:?}");
            }
        }
    }

    /// Nobody had it, and nobody was there who could have: an operator had wanted no worker.
    fn excuse(&self, asked: &Asked, tale: &Tale) {
        let Asked { number, from, to, .. } = *asked;
        assert_eq!(self.begun.get(&number), None, "request {number} is not answered, {from:?} to {to:?}");
        let workers = self.lives.keys().filter(|id| id.role() == Role::WORKER);
        let served: Vec<_> = workers.filter(|id| tale.serves(**id, from, to.saturating_sub(STILL))).collect();
        assert!(served.is_empty(), "nobody has request {number}, {from:?} to {to:?}, and {served:?} could have");
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Counts) {
        self.boots += other.boots;
        self.unborn += other.unborn;
        self.successors += other.successors;
        self.cut_short += other.cut_short;
        self.thrown += other.thrown;
        self.told += other.told;
        self.answered += other.answered;
        self.lost += other.lost;
        self.unanswered += other.unanswered;
    }
}

/// What the trace says, by the names of processes.
#[derive(Default)]
struct Tale {
    started: BTreeSet<String>,
    ready: BTreeMap<String, Duration>,
    /// When something happened to it, or it was told something, after which it does not accept.
    shut: BTreeMap<String, Duration>,
    /// When a fault ended it.
    struck: BTreeMap<String, Duration>,
    /// When the master killed it.
    killed: BTreeMap<String, Duration>,
    /// Those that ended themselves without waiting for their function: their link was lost, or they threw before the master
    /// had heard that they were ready.
    given_up: BTreeSet<String>,
    /// How many of its own exceptions were told.
    exceptions: BTreeMap<String, u32>,
}

impl Tale {
    fn of(trace: &Trace) -> Tale {
        let mut tale = Tale::default();
        // Those that stand still, and whether a deadly signal waits for them.
        let mut stopped = BTreeMap::<String, bool>::new();
        for (at, said) in trace.lines().map(timed) {
            let (is_fault, said) = match said.strip_prefix("fault: ") {
                Some(fault) => (true, fault),
                None => (false, said),
            };
            let Some((id, what)) = said.split_once(' ').filter(|(id, _)| id.contains('#')) else { continue };
            let id = id.to_owned();
            if !is_fault && SHUTS.iter().any(|word| what.starts_with(word)) {
                tale.shut.entry(id.clone()).or_insert(at);
            }
            if is_fault {
                if what == "is stopped" {
                    stopped.entry(id).or_insert(false);
                } else if is_deadly(what) {
                    match stopped.get_mut(&id).filter(|_| what != "gets signal 9" && what.starts_with("gets signal")) {
                        // It meets that when it goes on.
                        Some(waits) => *waits = true,
                        None => drop(tale.struck.entry(id).or_insert(at)),
                    }
                }
            } else if what == "goes on" {
                if stopped.remove(&id) == Some(true) {
                    tale.struck.entry(id).or_insert(at);
                }
            } else if what.starts_with("has started as process") {
                assert!(tale.started.insert(id), "started twice: {said}");
            } else if what == "is ready" {
                tale.ready.entry(id).or_insert(at);
            } else if what == "is killed" {
                tale.killed.entry(id).or_insert(at);
            } else if what.starts_with("exited with code 110")
                || what.starts_with("exited with code 70") && what.contains("before it was ready")
            {
                tale.given_up.insert(id);
            } else if what.starts_with("panicked") && what.contains("thrown by") {
                *tale.exceptions.entry(id).or_default() += 1;
            }
        }
        tale
    }

    /// Whether it accepted what came at any moment of these.
    fn serves(&self, id: MemberId, from: Duration, to: Duration) -> bool {
        let id = id.to_string();
        self.ready.get(&id).is_some_and(|ready| *ready < to) && self.shut.get(&id).is_none_or(|shut| *shut > from)
    }

    /// Whether somebody ended it at this moment, whatever it was about.
    fn is_forced(&self, id: MemberId, at: Duration) -> bool {
        let id = id.to_string();
        let struck = self.struck.get(&id).is_some_and(|struck| *struck <= at + SLACK && at <= *struck + SLACK);
        let killed = self.killed.get(&id).is_some_and(|killed| *killed <= at + SLACK);
        struck || killed || self.given_up.contains(&id)
    }
}

/// With what begins what the trace says of one who does not accept any more.
const SHUTS: [&str; 8] =
    ["is to drain", "is to stop", "link lost", "panicked", "reported", "exited", "killed", "is killed"];

/// Whether a fault ends its process, by what the trace says of it.
fn is_deadly(fault: &str) -> bool {
    const HARMLESS: [&str; 3] = ["gets signal 15", "gets signal 18", "gets signal 19"];
    let ends = ["exits with code", "gets signal", "is killed for lack of memory"];
    ends.iter().any(|end| fault.starts_with(end)) && !HARMLESS.contains(&fault)
}

/// A line of a trace: when, and what.
pub(crate) fn timed(line: &str) -> (Duration, &str) {
    let (at, what) = line.split_once(' ').expect("a line begins with its time");
    let at: f64 = at.trim_matches(['+', 's']).parse().expect("a number of seconds");
    (Duration::from_micros((at * 1e6).round() as u64), what)
}

/// Dropped with the last task of its process.
struct Last {
    census: Census,
    me: MemberId,
}

impl Drop for Last {
    fn drop(&mut self) {
        let now = self.census.sim.now();
        self.census.life(self.me, |life| life.ended = Some(now));
    }
}

/// What handlers of requests have.
#[derive(Clone)]
struct Shop {
    census: Census,
    cx: Context,
}

impl Shop {
    fn begin(&self, number: u64) {
        self.census.books().begun.insert(number, self.cx.id());
    }
}

async fn count(State(shop): State<Shop>, Path(number): Path<u64>) -> String {
    shop.begin(number);
    match shop.cx.messenger().call::<u64>(Slot::agent(), "count", &()).await {
        Ok(count) => count.to_string(),
        Err(error) => format!("failed: {error}"),
    }
}

async fn throw(State(shop): State<Shop>, Path(number): Path<u64>) -> String {
    shop.begin(number);
    let me = shop.cx.id();
    shop.census.life(me, |life| life.thrown += 1);
    if true {
        panic!("thrown by {me}")
    }
    String::new()
}
