//! One run of a world, from its first moment to what is left of it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::Simulation;
use super::chaos::Stroke;
use super::trace::Trace;
use super::watchdog::Watchdog;
use super::world::{Job, World};
use crate::error::{BoxError, chain};

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// What happened.
    pub trace: Trace,
    /// How much time passed, virtually.
    pub virtual_time: Duration,
    /// How many facts the core was told.
    pub facts: u64,
    /// How many processes were started.
    pub starts: u64,
    /// How many faults took effect.
    pub faults: u64,
    /// How many faults were injected without one.
    pub idle_faults: u64,
    /// How often a task of a member was polled.
    pub polls: u64,
    /// How often dice were asked for.
    pub(super) throws: u64,
    /// The sum of all that went over links and connections.
    pub(super) traffic: u64,
}

impl Run {
    /// In what it differs from another of the same seed: the first line, or everything else that is not the same in both.
    pub(super) fn difference(&self, other: &Run) -> Option<String> {
        if let Some((one, two)) = self.trace.difference(&other.trace) {
            return Some(format!("The first line that does:\n  {one}\n  {two}"));
        }
        // Nanoseconds are below what a trace shows.
        let counts = [
            ("the virtual time in nanoseconds", self.virtual_time.as_nanos(), other.virtual_time.as_nanos()),
            ("the number of facts", self.facts.into(), other.facts.into()),
            ("the sum of what was sent over links and connections", self.traffic.into(), other.traffic.into()),
            ("how often dice were asked for", self.throws.into(), other.throws.into()),
            ("how often members were polled", self.polls.into(), other.polls.into()),
        ];
        let differ = counts.iter().filter(|(_, one, two)| one != two);
        let told: Vec<String> = differ.map(|(what, one, two)| format!("\n  {what}: {one}, then {two}")).collect();
        (!told.is_empty()).then(|| format!("Every line is the same, and not{}", told.concat()))
    }
}

/// A run that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Why.
    pub reason: String,
    /// The faults of chaos without which it would not have failed, as far as that was tried.
    pub faults: Vec<String>,
    /// What happened up to then.
    pub trace: Trace,
    /// Which faults of chaos were injected.
    pub(super) chaos: Vec<Stroke>,
}

impl Failure {
    /// Whether it is of the same kind as another: the first line of its reason is the same sentence. Words with a number in
    /// them say who, when and how many, and may be others.
    pub(super) fn is_like(&self, other: &Failure) -> bool {
        let sentence = |failure: &Failure| -> Vec<String> {
            let line = failure.reason.lines().next().unwrap_or_default();
            let words = line.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
            words.map(str::to_owned).collect()
        };
        sentence(self) == sentence(other)
    }
}

/// So much of a trace is shown with a failure.
const SHOWN: usize = 40;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} failed: {}", self.seed, self.reason)?;
        writeln!(f, "to see it again: HATCHERY_SEED={} and the same test", self.seed)?;
        if !self.faults.is_empty() {
            writeln!(f, "it needs these faults of chaos:")?;
            self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
        }
        write!(f, "what happened last:\n{}", self.trace.tail(SHOWN))
    }
}

impl std::error::Error for Failure {}

/// When a run that does not end is ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) virtual_time: Duration,
    pub(super) polls: u64,
    /// Of the wall's time, while no virtual time passes.
    pub(super) standstill: Duration,
}

/// What a test does in one world.
pub(super) type Attempt<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + 'a>>;

/// Begins it.
pub(super) fn attempt<'a, Fut, E>(test: impl FnOnce(Simulation) -> Fut + 'a) -> impl FnOnce(Simulation) -> Attempt<'a>
where
    Fut: Future<Output = Result<(), E>> + 'a,
    E: Into<BoxError>,
{
    move |simulation| {
        let test = test(simulation);
        Box::pin(async move { test.await.map_err(Into::into) })
    }
}

/// Runs one world. `omitted`: the faults of chaos that are left out. The test has lost its type: what runs it is compiled here,
/// and not in every test again.
pub(super) fn run<'a>(
    seed: u64,
    bounds: Bounds,
    omitted: Vec<Stroke>,
    test: Box<dyn FnOnce(Simulation) -> Attempt<'a> + 'a>,
) -> Result<Run, Failure> {
    if tokio::runtime::Handle::try_current().is_ok() {
        let reason =
            "a simulation brings its own runtime, and this thread is within another: take #[test] for #[tokio::test]";
        return Err(failure(seed, reason.to_owned(), None));
    }
    // No IO: what would touch a real socket says so at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Err(failure(seed, format!("no runtime: {error}"), None)),
    };
    let entered = runtime.enter();
    let (jobs, inbox) = mpsc::unbounded_channel();
    let world = World::new(seed, omitted, jobs, bounds.polls);
    let watchdog = match Watchdog::watch(world.clone(), runtime.handle().clone(), bounds.standstill) {
        Ok(watchdog) => watchdog,
        Err(error) => return Err(failure(seed, format!("no thread to watch it: {error}"), None)),
    };
    let local = LocalSet::new();
    let ended = catch_unwind(AssertUnwindSafe(|| local.block_on(&runtime, drive(&world, bounds, inbox, test))));
    let reason = match ended {
        Ok(Ok(())) => world.complaint(),
        Ok(Err(reason)) => Some(world.complaint().map_or(reason.clone(), |first| format!("{reason}; and {first}"))),
        Err(panic) => Some(format!("panicked: {}", text(&*panic))),
    };
    let result = match reason {
        None => Ok(report(&world)),
        Some(reason) => Err(failure(seed, reason, Some(&world))),
    };
    // What is left of the world ends while its clock is there.
    world.halt("the simulation is over".to_owned());
    drop(local);
    drop(entered);
    drop(runtime);
    drop(watchdog);
    result
}

async fn drive<'a>(
    world: &Arc<World>,
    bounds: Bounds,
    inbox: mpsc::UnboundedReceiver<Job>,
    test: Box<dyn FnOnce(Simulation) -> Attempt<'a> + 'a>,
) -> Result<(), String> {
    tokio::task::spawn_local(work(inbox));
    let mut halted = world.halted.subscribe();
    let mut test = test(Simulation::of(world.clone()));
    let test = std::future::poll_fn(move |context| {
        world.polls_test();
        test.as_mut().poll(context)
    });
    tokio::select! {
        biased;
        why = halted.wait_for(Option::is_some) => {
            return Err(why.ok().and_then(|why| why.clone()).unwrap_or_default());
        }
        () = tokio::time::sleep(bounds.virtual_time) => {
            return Err(format!("it has not ended after {:?} of virtual time", bounds.virtual_time));
        }
        result = test => result.map_err(|error| chain(&*error))?,
    }
    // The test has let go of everything it held.
    let living: Vec<String> = world.state().living.keys().map(ToString::to_string).collect();
    if !living.is_empty() {
        return Err(format!("the simulation is dropped with live processes: {}", living.join(", ")));
    }
    match world.state().quiet_wanted {
        true => {}
        false => return Ok(()),
    }
    quiet().await
}

/// Tasks that are about to end are let end, in so many turns.
const TURNS: usize = 1_000;

/// Waits until no task is left. Those that are belong to nobody.
async fn quiet() -> Result<(), String> {
    let metrics = tokio::runtime::Handle::current().metrics();
    for _ in 0..TURNS {
        if metrics.num_alive_tasks() == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    Err(format!(
        "{} tasks are left that no member owns: started with tokio::spawn in a role function they outlive their \
         process, which no real task does; use cx.spawn there, and await what the test itself has started",
        metrics.num_alive_tasks()
    ))
}

/// Does what belongs to no member.
async fn work(mut inbox: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = inbox.recv().await {
        tokio::task::spawn_local(job());
    }
}

fn report(world: &World) -> Run {
    let injections = world.state().injections.clone();
    let faults = injections.iter().filter(|injection| injection.took_effect()).count() as u64;
    Run {
        seed: world.seed,
        trace: world.trace(),
        virtual_time: world.now(),
        facts: world.facts(),
        starts: world.spawned().into(),
        faults,
        idle_faults: injections.len() as u64 - faults,
        polls: world.polls(),
        throws: world.throws(),
        traffic: world.traffic.sum(),
    }
}

pub(super) fn failure(seed: u64, reason: String, world: Option<&Arc<World>>) -> Failure {
    let trace = world.map(|world| world.trace()).unwrap_or_default();
    let injected = world.map(|world| world.state().chaos.clone()).unwrap_or_default();
    let chaos = injected.iter().map(|(stroke, _)| *stroke).collect();
    let faults = injected.iter().map(|(_, injection)| injection.to_string()).collect();
    Failure { seed, reason, faults, trace, chaos }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_differ_in_whatever_is_not_the_same_in_both_and_all_of_it_is_told() {
        let run = || Run {
            seed: 1,
            trace: Trace::default(),
            virtual_time: Duration::from_secs(1),
            facts: 2,
            starts: 3,
            faults: 4,
            idle_faults: 5,
            polls: 6,
            throws: 7,
            traffic: 8,
        };
        let told = |other: Run| run().difference(&other).unwrap_or_default();
        assert_eq!(told(run()), "");
        assert!(
            told(Run { virtual_time: Duration::from_nanos(9), ..run() }).contains("nanoseconds: 1000000000, then 9")
        );
        assert!(told(Run { facts: 9, ..run() }).contains("facts: 2, then 9"));
        assert!(told(Run { traffic: 9, ..run() }).contains("connections: 8, then 9"));
        let two = told(Run { polls: 9, throws: 10, ..run() });
        assert!(
            two.contains("members were polled: 6, then 9") && two.contains("dice were asked for: 7, then 10"),
            "{two}"
        );
    }
}
