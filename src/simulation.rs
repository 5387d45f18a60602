//! A whole cluster in one test process, on a virtual clock and seeded dice (feature `simulation`).
//!
//! ```text
//!  explore ─► run: one world ── Simulation ──► your test: start, fault, chaos, client, elapse, eventually
//!                │                  │
//!                │   master: the same actors and core ─ Backend ─► Process: your role functions, within a border
//!                │        ├ trace, witness (what must hold), rumours (old news)     └ pipes, ports: loopback
//!                └─ ends with: nobody left, nothing violated, no panic of nobody's; twice the same trace
//! ```
//!
//! Only processes, listeners, the clock and the dice are exchanged. The production actors, codec, handshake, router and
//! core run, and your real role functions:
//!
//! ```
//! use std::time::Duration;
//! use hatchery::{Context, Hatchery, Role, Slot, simulation::{self, Fault}};
//!
//! async fn agent(cx: Context) -> hatchery::Result<()> {
//!     cx.ready();
//!     Ok(())
//! }
//!
//! async fn worker(cx: Context) -> hatchery::Result<()> {
//!     cx.ready();
//!     cx.stopping().await;
//!     Ok(())
//! }
//!
//! simulation::explore(0..20, |sim| async move {
//!     let cluster = sim.start(Hatchery::new().agent(agent).workers(4, worker)).await?;
//!     cluster.ready().await?;
//!     let kill = sim.fault(Slot::worker(2), Fault::Signal(9));
//!     assert!(kill.took_effect());
//!     sim.elapse(Duration::from_secs(1)).await; // virtual
//!     assert_eq!(cluster.status().ready(Role::WORKER), 4);
//!     cluster.shutdown().await?;
//!     sim.check_quiescent()
//! });
//! ```
//!
//! # The border of a member
//!
//! Its role function, what it starts with [`Context::spawn`](crate::Context::spawn) or `spawn_local`, its handlers, and
//! the connections of `hatchery::axum::serve`; and the actors that it serves with `host`, which end with their process (a
//! stop does not freeze their timers, and a panic of theirs ends them alone: ractor has started them). A kill drops these
//! and closes its link and its connections as the kernel does: what was written arrives. A stop freezes them; a panic in one
//! of them is an exception of that member. A bare `tokio::spawn` is outside: what such a task does after the end of its
//! process nobody hears, and [`Simulation::ghosts`] tells. No panic hook is set: a panic of such a task is known by what it
//! drops, and fails the run if that is something of a member's ([`Context`](crate::Context), [`Messenger`](crate::Messenger),
//! [`Listener`](crate::Listener)). If it holds nothing of the kind, only its `JoinHandle` knows.
//!
//! # What it cannot show
//!
//! Threads (`spawn_blocking` included), real sockets and files, the order of a `HashMap`, a `select!`
//! without `biased`: all these are outside of the seed. A loop that never awaits stops the whole world: a watchdog ends the
//! process then, and tells the seed ([`Explore::standstill_limit`]).

mod backend;
mod chaos;
mod checker;
mod client;
mod error;
mod explore;
mod fault;
#[cfg(feature = "axum")]
mod http;
mod mock;
mod process;
mod rumour;
mod run;
mod signals;
mod trace;
mod watchdog;
mod weather;
mod world;

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::chaos::{Chaos, ChaosHandle};
pub use self::client::{Client, ClientError, Connection};
pub use self::error::SimulationError;
pub use self::explore::{Explore, Explored, explore};
pub use self::fault::{Fault, Injection, Victim};
#[cfg(feature = "axum")]
pub use self::http::Response;
pub use self::mock::MockProcess;
pub use self::run::{Failure, Run};
pub use self::trace::Trace;
pub use self::world::Ghost;

use self::backend::{Backend, Program};
use self::checker::Witness;
use self::rumour::Rumour;
use self::trace::Scribe;
use self::world::World;
use crate::cluster::{ClusterHandle, Home, Launch, launch};
use crate::error::BoxError;
use crate::hatchery::{Hatchery, Simulated};
use crate::identity::Slot;
use crate::loopback::Port;
use crate::member::Stage as _;
use crate::process::{Address, Lent};

/// A world, for the test that runs in it. Cheap to clone; every clone is the same world.
#[derive(Clone)]
pub struct Simulation {
    world: Arc<World>,
}

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

impl Simulation {
    fn of(world: Arc<World>) -> Simulation {
        Simulation { world }
    }

    /// Runs one world, and returns what it came to.
    ///
    /// # Panics
    /// As [`explore`].
    #[track_caller]
    pub fn run<F, Fut, E>(seed: u64, test: F) -> Run
    where
        F: FnOnce(Simulation) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        match Simulation::try_run(seed, test) {
            Ok(run) => run,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// The same, for those who expect a failure.
    ///
    /// # Errors
    /// What [`explore`] panics for.
    pub fn try_run<F, Fut, E>(seed: u64, test: F) -> Result<Run, Box<Failure>>
    where
        F: FnOnce(Simulation) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        run::run(seed, run::Bounds::default(), Vec::new(), Box::new(run::attempt(test))).map_err(Box::new)
    }

    /// The seed of this world.
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// Starts a cluster, as [`Cluster::start`](crate::cluster::Cluster::start) does: with simulated processes, and ports
    /// that only [`client`](Simulation::client)s reach. One at a time; when it has ended, another.
    ///
    /// Cancellation: dropped before it resolves, nothing is left running, and another cluster can be started.
    ///
    /// # Errors
    /// [`SimulationError`]: the plan is at fault, or a cluster is running here.
    pub async fn start(&self, hatchery: Hatchery) -> Result<ClusterHandle, SimulationError> {
        let world = &self.world;
        if world.state().running {
            return Err(SimulationError::Running);
        }
        let Simulated { cluster, roles, built_in } = hatchery.simulated()?;
        let mut blueprint = cluster.blueprint;
        let mut ports = Vec::new();
        for (number, (name, address)) in cluster.listeners.iter().enumerate() {
            let mut dice = world.dice(0xacce);
            let chance = Box::new(move |below| dice.below(below));
            let port = Arc::new(Port::new(located(address, number), cluster.backlog.max(1) as usize, chance));
            blueprint.listeners.push((name.clone(), Lent::memory(port.clone())));
            ports.push((name.clone(), port));
        }
        {
            let mut state = world.state();
            state.ports.extend(ports);
            state.slots = cluster.plan.roles().iter().flat_map(|role| role.slots()).collect();
        }
        let directory = blueprint.directory.clone();
        let program = Arc::new(Program { directory, roles });
        // From here on it runs, and no longer than this is held: by nobody, if the start fails or is given up.
        let backend = Arc::new(Backend::new(world.clone(), program));
        let rumour = Arc::new(Rumour::new(world));
        let witness = Arc::new(Witness::new(world.clone(), &cluster.plan, &built_in));
        let seed = world::mix(world.seed ^ world::mix(world.spawned().into()));
        let (_, _, handle) = launch(
            Launch {
                plan: cluster.plan,
                blueprint,
                backend,
                seed,
                observers: vec![Arc::new(Scribe(world.clone())), witness, rumour.clone()],
                logbook: cluster.logbook,
                calendar: {
                    let world = world.clone();
                    Arc::new(move || world.calendar())
                },
                sockets: Vec::new(),
            },
            Home::Handle,
        )
        .await?;
        rumour.reaches(handle.repeater());
        Ok(handle)
    }

    /// Lets time pass, virtually: everything that is due happens meanwhile. Cancel-safe.
    pub async fn elapse(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// How much time has passed.
    pub fn now(&self) -> Duration {
        self.world.now()
    }

    /// What the calendar of this world shows: at first the first moment of 2026, in UTC. It goes with the virtual time.
    pub fn calendar(&self) -> SystemTime {
        self.world.calendar.get() + self.now()
    }

    /// Sets the calendar. Virtual time does not pass by that: what waits for a time of the calendar finds it nearer or farther.
    pub fn set_calendar(&self, at: SystemTime) {
        self.world.calendar.post(at - self.now());
    }

    /// Waits until `condition` holds. Looks every 10 ms, virtually. Cancel-safe.
    ///
    /// # Errors
    /// [`SimulationError::NotWithin`], when it has not after `time`.
    pub async fn eventually(&self, time: Duration, mut condition: impl FnMut() -> bool) -> Result<(), SimulationError> {
        let until = self.now() + time;
        while !condition() {
            if self.now() >= until {
                return Err(SimulationError::NotWithin(time));
            }
            tokio::time::sleep(LOOK.min(until - self.now())).await;
        }
        Ok(())
    }

    /// Has something go wrong: at once, or at the next start of the slot. What is returned says whether it did anything.
    pub fn fault(&self, victim: impl Into<Victim>, fault: Fault) -> Injection {
        let injection = Injection::new(fault, victim.into());
        fault::inject(&self.world, &injection);
        injection
    }

    /// Has things go wrong at random from now on, in slots of all roles of the cluster that was started last: those that
    /// there are now. One that is opened later, by `scale`, is struck by chaos that begins after that.
    pub fn chaos(&self, chaos: Chaos) -> ChaosHandle {
        let slots: Vec<Slot> = self.world.state().slots.clone();
        chaos::begin(&self.world, &chaos, slots)
    }

    /// A client of the listener of that name. (A listener without a name is called by its address.)
    pub fn client(&self, name: impl Into<String>) -> Client {
        Client { world: self.world.clone(), name: name.into() }
    }

    /// What has happened so far.
    pub fn trace(&self) -> Trace {
        self.world.trace()
    }

    /// Writes a line of one's own into the trace.
    pub fn note(&self, what: impl fmt::Display) {
        self.world.say(format_args!("note: {what}"));
    }

    /// What code of members did after their processes had ended. Nobody could notice; that it tried is worth knowing.
    pub fn ghosts(&self) -> Vec<Ghost> {
        self.world.ghosts()
    }

    /// Checks that nothing is left: no process, no link, no ghost; and, when the test has returned, no task.
    ///
    /// # Errors
    /// [`SimulationError::NotQuiet`], with what is left.
    pub fn check_quiescent(&self) -> crate::Result<()> {
        let mut state = self.world.state();
        state.quiet_wanted = true;
        let living: Vec<String> = state.living.keys().map(|id| format!("process {id}")).collect();
        drop(state);
        let links = self.world.open_links().into_iter().map(|id| format!("the link of {id}"));
        let ghosts = self.world.ghosts().into_iter().map(|ghost| ghost.to_string());
        let left: Vec<String> = living.into_iter().chain(links).chain(ghosts).collect();
        match left.is_empty() {
            true => Ok(()),
            false => Err(SimulationError::NotQuiet(left).into()),
        }
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.seed()).finish_non_exhaustive()
    }
}

/// Where a listener is, as far as members can tell. Nothing is looked up: a name is this machine.
fn located(address: &Address, number: usize) -> SocketAddr {
    const FIRST: u16 = 30_000;
    let free = FIRST + number as u16;
    match address {
        Address::Tcp(text) => {
            let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let host: IpAddr = host.parse().unwrap_or(Ipv4Addr::LOCALHOST.into());
            let port = port.parse().ok().filter(|&port| port != 0).unwrap_or(free);
            SocketAddr::new(host, port)
        }
        Address::Unix(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, free)),
    }
}
