//! The plans that cases are played with.

use std::time::Duration;

use hatchery::supervision::{Backoff, Intensity, OneForOne, RestForOne};
use hatchery::{BoxError, Context, Hatchery, Heartbeat, RoleSettings, Schedule, Slot, Tick};

use crate::puppet::{informant, informed, puppet};
use crate::registry::shared;
use crate::stage::Kind;

/// A plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// An agent and two workers on a port, all of whom do what they are told.
    Puppets,
    /// The same, with little time to stop.
    Hasty,
    /// The same, and a worker that fails twice is put aside for a moment.
    Touchy,
    /// The same, asked whether they are there, who may be silent for long.
    Beating,
    /// The same, who may not, and may fail once.
    Impatient,
    /// The same, and the workers go along with the agent.
    Grouped,
    /// The same, whose workers take their time to be ready.
    Slow,
    /// An agent that publishes what workers must know to be ready.
    Informed,
    /// The puppets, with schedules, and an agent that is back at once however often it goes. Only workers may publish.
    Scheduled,
    /// An agent that leads a connection, and is back at once however often it goes; workers that follow.
    Sharing,
    /// Workers that return before they are ready.
    Returning,
    /// Workers that return an error before they are ready.
    Failing,
    /// Workers that panic before they are ready.
    Throwing,
    /// Workers that exit before they are ready.
    Exiting,
    /// Workers that never are.
    Silent,
    /// Workers whose program is not there.
    Missing,
}

/// How long workers have to stop that have little time.
pub const HASTE: Duration = Duration::from_millis(200);

/// How often those are asked who are.
const BEAT: Duration = Duration::from_millis(50);

/// For how long those may be silent who may not for long: on a busy machine, longer than one that is merely slow.
pub const SILENCE: Duration = Duration::from_secs(3);

/// From one tick to the next.
const TICK: Duration = Duration::from_millis(10);

/// How long workers have to become ready that never are.
pub const BOOT: Duration = Duration::from_millis(300);

/// The code of workers that exit before they are ready.
pub const EARLY: i32 = 3;

impl Cast {
    pub const ALL: [Cast; 16] = [
        Cast::Puppets,
        Cast::Hasty,
        Cast::Touchy,
        Cast::Beating,
        Cast::Impatient,
        Cast::Grouped,
        Cast::Slow,
        Cast::Informed,
        Cast::Scheduled,
        Cast::Sharing,
        Cast::Returning,
        Cast::Failing,
        Cast::Throwing,
        Cast::Exiting,
        Cast::Silent,
        Cast::Missing,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Cast::Puppets => "puppets",
            Cast::Hasty => "hasty",
            Cast::Touchy => "touchy",
            Cast::Beating => "beating",
            Cast::Impatient => "impatient",
            Cast::Grouped => "grouped",
            Cast::Slow => "slow",
            Cast::Informed => "informed",
            Cast::Scheduled => "scheduled",
            Cast::Sharing => "sharing",
            Cast::Returning => "returning",
            Cast::Failing => "failing",
            Cast::Throwing => "throwing",
            Cast::Exiting => "exiting",
            Cast::Silent => "silent",
            Cast::Missing => "missing",
        }
    }

    pub fn plan(self, kind: Kind) -> Hatchery {
        let plan = Hatchery::new().listen_named("port", "127.0.0.1:0").agent(puppet);
        match self {
            Cast::Puppets => plan.workers(2, puppet),
            Cast::Hasty => plan.workers(2, puppet).tune("worker", |worker| {
                worker.stop_timeout(HASTE);
            }),
            Cast::Touchy => plan.workers(2, puppet).tune("worker", |worker| {
                let moment = Duration::from_millis(50);
                worker
                    .restart_limit(Intensity::new(1, Duration::from_secs(60)))
                    .backoff(Backoff::doubling(moment, moment))
                    .probe(Backoff::doubling(moment, moment))
                    .stable_after(Duration::from_secs(60));
            }),
            Cast::Beating => plan.workers(2, puppet).tune("worker", |worker| {
                worker.heartbeat(Heartbeat::every(BEAT));
            }),
            Cast::Impatient => plan.workers(2, puppet).tune("worker", |worker| {
                worker
                    .heartbeat(Heartbeat::every(BEAT).timeout(SILENCE))
                    .stop_timeout(HASTE)
                    .stable_after(Duration::from_secs(60))
                    .restart_limit(Intensity::new(1, Duration::from_secs(60)));
            }),
            Cast::Grouped => plan.workers(2, puppet).tune("agent", |agent| {
                agent.strategy(RestForOne::new(OneForOne::agent()));
            }),
            Cast::Slow => plan.workers(2, slow),
            // Another agent than everybody has.
            Cast::Informed => Hatchery::new()
                .listen_named("port", "127.0.0.1:0")
                .agent(informant)
                .workers(2, informed)
                .publishers(["agent"])
                .kept_value_limit(1_000)
                .kept_limit(2_000),
            Cast::Scheduled => plan
                .workers(2, puppet)
                .publishers(["worker"])
                .kept_limit(128)
                .tune("agent", back_at_once)
                .schedule("one", Schedule::every(TICK), ran)
                .schedule("all", Schedule::every(TICK).on_all("worker"), ran)
                .schedule("agent", Schedule::every(TICK).on_agent(), ran)
                .schedule("once", Schedule::once(), ran),
            Cast::Sharing => Hatchery::new().agent(shared).workers(2, shared).tune("agent", back_at_once),
            Cast::Returning => plan.workers(1, async |_: Context| Ok::<_, String>(())),
            Cast::Failing => plan.workers(1, async |_: Context| Err::<(), _>("no such table: users")),
            Cast::Throwing => plan.workers(1, throwing),
            Cast::Exiting => plan.workers(1, exiting),
            Cast::Silent => plan.workers(1, silent).tune("worker", |worker| {
                worker.ready_timeout(BOOT);
            }),
            Cast::Missing => plan.workers(1, puppet).tune("worker", move |worker| {
                if kind == Kind::Processes {
                    worker.executable("/no/such/program");
                }
            }),
        }
    }
}

fn back_at_once(agent: &mut RoleSettings) {
    agent.restart_delay(Duration::from_millis(1)).restart_limit(None);
}

/// Tells of a run that it has begun.
async fn ran(cx: Context, tick: Tick) -> Result<(), BoxError> {
    let told = (tick.schedule, tick.number, cx.id().to_string());
    Ok(cx.messenger().to(Slot::master(), "ran", &told).await?)
}

async fn slow(cx: Context) -> Result<(), BoxError> {
    tokio::time::sleep(2 * BOOT).await;
    puppet(cx).await
}

async fn throwing(_: Context) -> Result<(), String> {
    panic!("too early")
}

async fn exiting(_: Context) -> Result<(), String> {
    std::process::exit(EARLY)
}

async fn silent(_: Context) -> Result<(), String> {
    std::future::pending().await
}
