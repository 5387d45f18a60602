//! Many seeds, one after the other or side by side: each proves something, and the one that fails is told, made smaller,
//! and can be seen again.

use std::env;
use std::ffi::OsStr;
use std::future::Future;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::Simulation;
use super::chaos::Stroke;
use super::run::{Attempt, Bounds, Failure, Run, attempt, run};
use super::trace::hash;
use crate::error::BoxError;

/// How seeds are explored. [`explore`] does with the defaults.
#[derive(Clone, Debug)]
#[must_use = "nothing is explored before it is run"]
pub struct Explore {
    seeds: Vec<u64>,
    every: usize,
    threads: usize,
    bounds: Bounds,
    shortens: bool,
}

/// What an exploration came to: the sum of its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// How many seeds were run.
    pub seeds: u64,
    /// How many of them twice, with the same trace.
    pub repeated: u64,
    /// How much time passed in all of them, virtually.
    pub virtual_time: Duration,
    /// How many facts their cores were told.
    pub facts: u64,
    /// How many processes were started.
    pub starts: u64,
    /// How many faults took effect.
    pub faults: u64,
    /// How many faults were injected without one.
    pub idle_faults: u64,
    /// A number that depends on every line of every trace, and on what was sent over links.
    pub trace_hash: u64,
}

/// Names a seed: only it is run then.
const SEED: &str = "HATCHERY_SEED";

/// So few seeds are all run twice.
const FEW: usize = 20;

/// How many runs it may take to make a failure smaller.
const ATTEMPTS: usize = 100;

/// A test that has lost its type.
type Test<'a> = &'a (dyn Fn(Simulation) -> Attempt<'a> + Sync + 'a);

/// Runs a test once for each seed, each time in a world of its own. With `HATCHERY_SEED` set, for that one only.
///
/// Every 20th seed is run twice, and has to be the same both times: its trace, how much time passed, what went over links,
/// how many bytes went over connections and in which portions, how often dice were asked for and members polled. Of up to
/// 20 seeds, every one is. The seeds are spread over as many threads as there are cores.
///
/// # Panics
/// When a seed fails: its test returns an error or panics, something that must always hold does not, a process is left,
/// a panic belongs to nobody (one of a bare task: known by what it drops, so only if it holds a `Context`, a `Messenger` or a
/// `Listener` of a member), a world does not end. The panic says which seed, how to see it again, without which faults
/// of chaos it would not have failed, and what happened last. And when `HATCHERY_SEED` is no number.
pub fn explore<F, Fut, E>(seeds: impl IntoIterator<Item = u64>, test: F) -> Explored
where
    F: Fn(Simulation) -> Fut + Sync,
    Fut: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    Explore::new(seeds).run(test)
}

impl Explore {
    /// These seeds, and the defaults.
    pub fn new(seeds: impl IntoIterator<Item = u64>) -> Explore {
        Explore {
            seeds: seeds.into_iter().collect(),
            every: 20,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            bounds: Bounds::default(),
            shortens: true,
        }
    }

    /// Which share of the seeds is run twice: one in so many. 0: none.
    pub fn repeat_every(mut self, every: usize) -> Explore {
        self.every = every;
        self
    }

    /// How many threads. Default one for each core.
    pub fn threads(mut self, threads: usize) -> Explore {
        self.threads = threads.max(1);
        self
    }

    /// A run that has not ended after this time, virtually, has failed. Default 30 days.
    pub fn virtual_time_limit(mut self, limit: Duration) -> Explore {
        self.bounds.virtual_time = limit;
        self
    }

    /// A run in which members are polled more often has failed. Default 1,000,000,000. Polls in a row without any time
    /// passing are limited to a million, those of members and those of the test itself. Those of tasks and actors that
    /// belong to neither are not counted: for them there is [`standstill_limit`](Explore::standstill_limit).
    pub fn step_limit(mut self, polls: u64) -> Explore {
        self.bounds.polls = polls;
        self
    }

    /// A run whose virtual time has not moved for this long, by the clock on the wall, has failed: a task yields for ever, an
    /// actor writes to itself, or some code blocks. Default 60 s; more for whoever stops a world in a debugger.
    ///
    /// What awaits now and then is dropped, and the failure is told like any other. What never does can be ended by nobody:
    /// after twice this time the seed and what happened last are written to stderr, and the process is aborted.
    pub fn standstill_limit(mut self, limit: Duration) -> Explore {
        self.bounds.standstill = limit;
        self
    }

    /// Whether a failing run is repeated with fewer faults of chaos, to find those that it needs. Default yes. A run with
    /// fewer counts if it fails for the same reason: the same first line, but for words with a number in them.
    pub fn shorten(mut self, shorten: bool) -> Explore {
        self.shortens = shorten;
        self
    }

    /// Runs them. See [`explore`].
    ///
    /// # Panics
    /// As [`explore`].
    #[track_caller]
    pub fn run<F, Fut, E>(self, test: F) -> Explored
    where
        F: Fn(Simulation) -> Fut + Sync,
        Fut: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        match self.try_run(test) {
            Ok(explored) => explored,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs them, and stops at the first that fails.
    ///
    /// # Errors
    /// The failure: of several, that of the seed which comes first.
    ///
    /// # Panics
    /// `HATCHERY_SEED` is set, and no number.
    #[track_caller]
    pub fn try_run<F, Fut, E>(self, test: F) -> Result<Explored, Box<Failure>>
    where
        F: Fn(Simulation) -> Fut + Sync,
        Fut: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        self.all(&|simulation| attempt(&test)(simulation))
    }

    #[track_caller]
    fn all(mut self, test: Test<'_>) -> Result<Explored, Box<Failure>> {
        if let Some(text) = env::var_os(SEED) {
            self.seeds = vec![named(&text).unwrap_or_else(|wrong| panic!("{wrong}"))];
        }
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let failed_at = AtomicUsize::new(usize::MAX);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                // Seeds before the one that failed are run all the same: the first failure is told, in every run.
                if at >= self.seeds.len() || at > failed_at.load(Ordering::Relaxed) {
                    return;
                }
                let result = self.seed(at, test);
                if result.is_err() {
                    failed_at.fetch_min(at, Ordering::Relaxed);
                }
                results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads.min(self.seeds.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(at, _)| *at);
        let mut explored = Explored { trace_hash: hash(0xcbf2_9ce4_8422_2325, &[]), ..Explored::default() };
        for (_, result) in results {
            match result {
                Ok((summary, repeated)) => explored.add(&summary, repeated),
                Err(failure) => return Err(Box::new(self.shortened(failure, test))),
            }
        }
        Ok(explored)
    }

    /// One seed, perhaps twice.
    fn seed(&self, at: usize, test: Test<'_>) -> Result<(Summary, bool), Failure> {
        let seed = self.seeds[at];
        let first = run(seed, self.bounds, Vec::new(), Box::new(test))?;
        let twice = self.every > 0 && (self.seeds.len() <= FEW || at.is_multiple_of(self.every));
        if twice {
            let second = run(seed, self.bounds, Vec::new(), Box::new(test))?;
            if let Some(difference) = first.difference(&second) {
                let reason = format!(
                    "two runs of it differ, and so does whatever it proves. {difference}\n\
                     Something in it depends on more than the seed: the order of a HashMap, the real clock, a thread, a \
                     real socket, a select! that is not biased"
                );
                return Err(Failure { seed, reason, faults: Vec::new(), trace: second.trace, chaos: Vec::new() });
            }
        }
        Ok((Summary::of(&first), twice))
    }

    /// Leaves out one fault of chaos after the other, for as long as it still fails in the same way. Another failure may be
    /// worth knowing, and is not what this seed was about.
    fn shortened(&self, failure: Failure, test: Test<'_>) -> Failure {
        let (mut smallest, mut omitted) = (failure, Vec::new());
        if !self.shortens {
            return smallest;
        }
        // The latest first: what came after the cause is most of it.
        let candidates: Vec<Stroke> = smallest.chaos.iter().rev().copied().collect();
        for candidate in candidates.into_iter().take(ATTEMPTS) {
            omitted.push(candidate);
            match run(smallest.seed, self.bounds, omitted.clone(), Box::new(test)) {
                Err(failure) if failure.is_like(&smallest) => smallest = failure,
                Ok(_) | Err(_) => drop(omitted.pop()),
            }
        }
        smallest
    }
}

/// The seed that the environment names. Whoever has mistyped it would otherwise see another one fail, or none.
fn named(text: &OsStr) -> Result<u64, String> {
    let seed = text.to_str().and_then(|text| text.parse().ok());
    seed.ok_or_else(|| format!("{SEED} is {text:?}, and a seed is a whole number from 0 to {}", u64::MAX))
}

/// What is kept of a run.
struct Summary {
    run: Run,
    hash: u64,
}

impl Summary {
    fn of(run: &Run) -> Summary {
        let hash = run.trace.hash();
        // The text of thousands of traces is not kept.
        Summary { run: Run { trace: Default::default(), ..run.clone() }, hash }
    }
}

impl Explored {
    fn add(&mut self, Summary { run, hash: trace }: &Summary, repeated: bool) {
        self.seeds += 1;
        self.repeated += u64::from(repeated);
        self.virtual_time += run.virtual_time;
        self.facts += run.facts;
        self.starts += run.starts;
        self.faults += run.faults;
        self.idle_faults += run.idle_faults;
        self.trace_hash = hash(hash(self.trace_hash, &trace.to_le_bytes()), &run.traffic.to_le_bytes());
    }
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            virtual_time: Duration::from_secs(30 * 24 * 60 * 60),
            polls: 1_000_000_000,
            standstill: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_of_the_environment_is_a_number_or_a_sentence() {
        assert_eq!(named("17".as_ref()), Ok(17));
        for wrong in ["", "seventeen", "-1", "17 ", "0x11", "18446744073709551616"] {
            let sentence = named(wrong.as_ref()).expect_err(wrong);
            assert!(sentence.starts_with(&format!("HATCHERY_SEED is {wrong:?}, and")), "{sentence}");
        }
    }
}
