//! One world: its clock, its dice, who lives in it, and what it has to tell. Nothing of it is shared with another.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};

use super::chaos::Stroke;
use super::fault::{Injection, Omen};
use super::process::Process;
use super::trace::{Pen, Trace};
use super::weather::Traffic;
use crate::bulletin::Bulletin;
#[cfg(feature = "schedule")]
use crate::bulletin::Reader;
use crate::identity::{MemberId, Slot};
use crate::loopback::{Pipe, Port};
use crate::member::{Deed, Stage};
use crate::process::{ExitStatus, clock};
use crate::supervision::Dice;

/// Something to be done on the thread of the world.
pub(super) type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// What many things in a simulation hold.
pub(super) struct World {
    pub(super) seed: u64,
    started: Instant,
    pen: Pen,
    jobs: mpsc::UnboundedSender<Job>,
    /// Why everything has come to a halt.
    pub(super) halted: watch::Sender<Option<String>>,
    most_polls: u64,
    /// All that goes over links and connections.
    pub(super) traffic: Arc<Traffic>,
    /// What the calendar showed when the world began; set since, what it would have shown.
    pub(super) calendar: Bulletin<SystemTime>,
    /// Chaos leaves these out.
    pub(super) omitted: Vec<Stroke>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    polled: Option<MemberId>,
    /// Of members.
    polls: Polls,
    /// Of the test itself.
    test_polls: Polls,
    facts: u64,
    /// Processes that live, by who they are.
    pub(super) living: BTreeMap<MemberId, Arc<Process>>,
    pub(super) ports: BTreeMap<String, Arc<Port>>,
    /// Links that nobody had given up when they were last looked at, both ways.
    links: Vec<(MemberId, Pipe, Pipe)>,
    /// The fault that waits for the next start in a slot.
    pub(super) awaited: BTreeMap<Slot, (Omen, Injection)>,
    pub(super) injections: Vec<Injection>,
    /// Faults of chaos, in the order in which they came.
    pub(super) chaos: Vec<(Stroke, Injection)>,
    /// How often chaos was begun.
    chaoses: u64,
    ghosts: Vec<Ghost>,
    strays: Vec<MemberId>,
    pub(super) violations: Vec<String>,
    spawned: u32,
    throws: u64,
    callers: u16,
    pub(super) quiet_wanted: bool,
    /// Of the cluster that runs, or ran last.
    pub(super) slots: Vec<Slot>,
    /// It has not ended.
    pub(super) running: bool,
}

/// How often something was polled, and whether the clock moves meanwhile.
#[derive(Default)]
struct Polls {
    count: u64,
    /// When they were last looked at, and how often the clock had not moved since.
    looked: Option<(Instant, u32)>,
}

impl Polls {
    /// One more. `true`: it is one of very many, and the time does not pass.
    fn stand_still(&mut self) -> bool {
        self.count += 1;
        if !self.count.is_multiple_of(LOOK) {
            return false;
        }
        let now = clock::now();
        let stood = match self.looked {
            Some((then, stood)) if then == now => stood + 1,
            Some(_) | None => 0,
        };
        self.looked = Some((now, stood));
        stood >= STANDS
    }
}

/// Something that code of a member did after its process had ended: nobody could notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ghost {
    /// Whose code it was.
    pub member: MemberId,
    /// What it did.
    pub deed: &'static str,
    /// When, since the simulation began.
    pub at: Duration,
}

impl fmt::Display for Ghost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a ghost of {} {}", self.member, self.deed)
    }
}

/// Between two looks at the clock.
const LOOK: u64 = 1 << 12;

/// So many looks at a clock that stands: with [`LOOK`], a million polls in no time.
const STANDS: u32 = 256;

/// What a process of a simulation has for a master.
pub(super) const MASTER_PID: u32 = 1;

/// Where the calendar begins: the first moment of 2026, in UTC.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);

impl World {
    pub(super) fn new(
        seed: u64,
        omitted: Vec<Stroke>,
        jobs: mpsc::UnboundedSender<Job>,
        most_polls: u64,
    ) -> Arc<World> {
        Arc::new(World {
            seed,
            started: clock::now(),
            pen: Pen::default(),
            jobs,
            most_polls,
            traffic: Arc::default(),
            halted: watch::Sender::new(None),
            calendar: Bulletin::new(UNIX_EPOCH + NEW_YEAR),
            omitted,
            state: Mutex::default(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has existed.
    pub(super) fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.started)
    }

    /// Writes a line.
    pub(super) fn say(&self, what: impl fmt::Display) {
        self.pen.line(self.now(), what);
    }

    pub(super) fn trace(&self) -> Trace {
        self.pen.trace()
    }

    /// Dice of one's own. Asked for in the same order, they are the same in every run of a seed.
    pub(super) fn dice(&self, purpose: u64) -> Dice {
        let mut state = self.state();
        state.throws += 1;
        Dice::seeded(mix(self.seed ^ mix(purpose ^ mix(state.throws))))
    }

    /// Dice for what happens whatever else does: the same in every run of a seed.
    pub(super) fn dice_of_fate(&self, purpose: u64) -> Dice {
        Dice::seeded(mix(self.seed ^ mix(purpose)))
    }

    /// A number for each chaos that is begun.
    pub(super) fn next_chaos(&self) -> u64 {
        let mut state = self.state();
        state.chaoses += 1;
        state.chaoses - 1
    }

    /// Has something done on this world's thread, as a task that belongs to no member.
    pub(super) fn run(&self, job: impl FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send + 'static) {
        // A world that ends does nothing any more.
        let _ = self.jobs.send(Box::new(job));
    }

    /// The same, later.
    pub(super) fn after(&self, delay: Duration, deed: impl FnOnce() + Send + 'static) {
        self.run(move || {
            Box::pin(async move {
                tokio::time::sleep(delay).await;
                deed();
            })
        });
    }

    /// Nothing goes on: why is told to whoever runs the world.
    pub(super) fn halt(&self, why: String) {
        self.halted.send_if_modified(|halted| {
            let first = halted.is_none();
            if first {
                *halted = Some(why);
            }
            first
        });
    }

    /// The test is about to be polled. One that is always ready to go on keeps the clock where it is.
    pub(super) fn polls_test(&self) {
        let stands = self.state().test_polls.stand_still();
        if stands {
            let why =
                "the test itself is polled again and again, and the time does not pass: wait with elapse or eventually";
            self.halt(why.to_owned());
        }
    }

    pub(super) fn count_fact(&self) {
        self.state().facts += 1;
    }

    pub(super) fn facts(&self) -> u64 {
        self.state().facts
    }

    pub(super) fn polls(&self) -> u64 {
        self.state().polls.count
    }

    /// How often dice were asked for.
    pub(super) fn throws(&self) -> u64 {
        self.state().throws
    }

    pub(super) fn spawned(&self) -> u32 {
        self.state().spawned
    }

    pub(super) fn next_pid(&self) -> u32 {
        let mut state = self.state();
        state.spawned += 1;
        MASTER_PID + state.spawned
    }

    /// A process has a link: to it, and from it.
    pub(super) fn linked(&self, id: MemberId, to: Pipe, from: Pipe) {
        let mut state = self.state();
        // Now and then, so that the list is about as long as it has to be.
        if state.links.len() == state.links.capacity() {
            state.links.retain(|(_, to, from)| to.is_open() || from.is_open());
        }
        state.links.push((id, to, from));
    }

    /// Whose links are open.
    pub(super) fn open_links(&self) -> Vec<MemberId> {
        let state = self.state();
        state.links.iter().filter(|(_, to, from)| to.is_open() || from.is_open()).map(|(id, ..)| *id).collect()
    }

    /// A port of its own for each client.
    pub(super) fn next_caller(&self) -> u16 {
        let mut state = self.state();
        state.callers = state.callers.wrapping_add(1);
        40_000 + state.callers % 20_000
    }

    pub(super) fn ghosts(&self) -> Vec<Ghost> {
        self.state().ghosts.clone()
    }

    /// Something that must hold does not.
    pub(super) fn violated(&self, what: String) {
        self.say(format_args!("VIOLATED: {what}"));
        self.state().violations.push(what);
    }

    /// What would be wrong with calling this run a success.
    pub(super) fn complaint(&self) -> Option<String> {
        let state = self.state();
        if let Some(violation) = state.violations.first() {
            return Some(format!("{} violated, the first: {violation}", state.violations.len()));
        }
        let stray = state.strays.first()?;
        Some(format!(
            "a panic belongs to nobody: a task outside of every member's border panicked while it held something of {stray}. \
             Started with tokio::spawn it is not that member's: start it with cx.spawn"
        ))
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Stage for World {
    fn enter(&self, id: MemberId) -> bool {
        let mut state = self.state();
        if state.polls.stand_still() {
            drop(state);
            self.halt(format!("{id} is polled again and again, and the time does not pass"));
            return false;
        }
        if state.polls.count > self.most_polls {
            drop(state);
            self.halt(format!("members were polled {} times", self.most_polls));
            return false;
        }
        if self.halted.borrow().is_some() {
            return false;
        }
        state.polled = Some(id);
        true
    }

    fn leave(&self) {
        self.state().polled = None;
    }

    fn polled(&self) -> Option<MemberId> {
        self.state().polled
    }

    fn ghost(&self, member: MemberId, deed: &'static str) {
        let ghost = Ghost { member, deed, at: self.now() };
        self.say(&ghost);
        self.state().ghosts.push(ghost);
    }

    fn does(&self, id: MemberId, deed: Deed) {
        let process = self.state().living.get(&id).cloned();
        let Some(process) = process else { return };
        match deed {
            Deed::Exit(code) => drop(process.end(ExitStatus::Code(code), false)),
            Deed::Signal(number) => drop(process.signal(number, None)),
            Deed::Hang => drop(process.hang()),
            Deed::Stay => process.stay(None),
        }
    }

    fn calendar(&self) -> SystemTime {
        self.calendar.get() + self.now()
    }

    #[cfg(feature = "schedule")]
    fn calendar_sets(&self) -> Reader<SystemTime> {
        self.calendar.reader()
    }

    #[cfg(any(feature = "log", feature = "schedule"))]
    fn random(&self) -> u64 {
        const MEMBERS: u64 = 0x5a17;
        self.dice(MEMBERS).below(usize::MAX) as u64
    }

    fn stray_panic(&self, id: MemberId) {
        self.say(format_args!("a panic outside of every border drops something of {id}"));
        self.state().strays.push(id);
    }
}

/// Spreads the bits of a number (splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
