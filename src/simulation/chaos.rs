//! Faults at random, by rates. What comes when depends on the seed alone, not on what the cluster does: so one of them can
//! be left out, and the others stay as they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::fault::{Fault, Injection, Victim, inject};
use super::world::World;
use crate::identity::Slot;
use crate::supervision::Dice;

/// How often what goes wrong. Every rate is a mean for the whole cluster, in each hour of virtual time.
#[derive(Clone, Debug, Default)]
#[must_use = "chaos does nothing until a simulation has it"]
pub struct Chaos {
    rates: BTreeMap<Kind, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Crash,
    Panic,
    Exception,
    Freeze,
    LinkStall,
    LinkReset,
    LinkCorruption,
    LinkTruncation,
    SlowBoot,
    SpawnError,
    Stubbornness,
    Suspension,
    Block,
    Hang,
}

impl Chaos {
    /// One each millisecond: more than that and a world would do nothing else.
    const MOST: f64 = 3_600_000.0;

    /// None at all.
    pub fn new() -> Chaos {
        Chaos::default()
    }

    #[track_caller]
    fn rate(mut self, kind: Kind, rate: f64) -> Chaos {
        assert!((0.0..=Chaos::MOST).contains(&rate), "a rate is from 0 to {} per hour, and not {rate}", Chaos::MOST);
        self.rates.insert(kind, rate);
        self
    }

    /// A process exits, is killed, dies of a signal of its own, or for lack of memory.
    #[track_caller]
    pub fn crashes_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Crash, rate)
    }

    /// Code of a member panics.
    #[track_caller]
    pub fn panics_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Panic, rate)
    }

    /// Code of a member reports an exception.
    #[track_caller]
    pub fn exceptions_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Exception, rate)
    }

    /// A process is stopped, for up to 20 s.
    #[track_caller]
    pub fn freezes_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Freeze, rate)
    }

    /// Nothing moves on a link, for up to 10 s.
    #[track_caller]
    pub fn link_stalls_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::LinkStall, rate)
    }

    /// A link breaks.
    #[track_caller]
    pub fn link_resets_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::LinkReset, rate)
    }

    /// A member writes to its link what it did not mean to.
    #[track_caller]
    pub fn link_corruptions_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::LinkCorruption, rate)
    }

    /// A link ends within a frame.
    #[track_caller]
    pub fn link_truncations_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::LinkTruncation, rate)
    }

    /// The next start in a slot takes up to 30 s longer.
    #[track_caller]
    pub fn slow_boots_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::SlowBoot, rate)
    }

    /// The next process of a slot cannot be started.
    #[track_caller]
    pub fn spawn_errors_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::SpawnError, rate)
    }

    /// A member will not go when it is asked to.
    #[track_caller]
    pub fn ignored_stops_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Stubbornness, rate)
    }

    /// The host is suspended, for up to an hour.
    #[track_caller]
    pub fn suspensions_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Suspension, rate)
    }

    /// A member's runtime is blocked, for up to 20 s.
    #[track_caller]
    pub fn blocks_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Block, rate)
    }

    /// A member's runtime hangs, or is busy, for ever.
    #[track_caller]
    pub fn hangs_per_hour(self, rate: f64) -> Chaos {
        self.rate(Kind::Hang, rate)
    }

    /// Something of everything that a cluster gets over as it is, so often: a share of `rate` for each kind. Not among it are
    /// hangs, which nobody notices without [heartbeats](crate::Heartbeat), and suspensions.
    #[track_caller]
    pub fn of_all_kinds(rate: f64) -> Chaos {
        const KINDS: [Kind; 12] = [
            Kind::Crash,
            Kind::Panic,
            Kind::Exception,
            Kind::Freeze,
            Kind::LinkStall,
            Kind::LinkReset,
            Kind::LinkCorruption,
            Kind::LinkTruncation,
            Kind::SlowBoot,
            Kind::SpawnError,
            Kind::Stubbornness,
            Kind::Block,
        ];
        KINDS.into_iter().fold(Chaos::new(), |chaos, kind| chaos.rate(kind, rate / KINDS.len() as f64))
    }
}

/// Chaos that goes on.
#[derive(Clone, Debug)]
pub struct ChaosHandle {
    world: Arc<World>,
    /// Which chaos of its world.
    chaos: u64,
    stopped: Arc<AtomicBool>,
}

impl ChaosHandle {
    /// No more of it, from now on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// What it has injected so far, in order.
    pub fn injections(&self) -> Vec<Injection> {
        let state = self.world.state();
        let own = state.chaos.iter().filter(|(stroke, _)| stroke.chaos == self.chaos);
        own.map(|(_, injection)| injection.clone()).collect()
    }

    /// How many of them took effect.
    pub fn took_effect(&self) -> usize {
        self.injections().iter().filter(|injection| injection.took_effect()).count()
    }
}

/// A fault of chaos, by its place: the same in every run of a seed, whichever others are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    /// Which chaos of its world.
    chaos: u64,
    number: usize,
}

/// A sequence of faults of one kind.
struct Source {
    kind: Kind,
    rate: f64,
    dice: Dice,
    due: Duration,
}

impl Source {
    /// Of which chaos: two at once have dice of their own.
    fn new(world: &World, chaos: u64, kind: Kind, rate: f64) -> Source {
        let dice = world.dice_of_fate(chaos << 8 | (0xc0 + kind as u64));
        let mut source = Source { kind, rate, dice, due: world.now() };
        source.next();
        source
    }

    /// The time between two that have nothing to do with each other.
    fn next(&mut self) {
        const GRAIN: usize = 1 << 30;
        let throw = (self.dice.below(GRAIN) + 1) as f64 / GRAIN as f64;
        self.due += Duration::from_secs_f64((-throw.ln() * 3600.0 / self.rate).min(1e9));
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64((1 + self.dice.below(1000)) as f64 / 1000.0)
    }

    fn fault(&mut self) -> Fault {
        const EAGAIN: i32 = 11;
        const ENOMEM: i32 = 12;
        const EMFILE: i32 = 24;
        let secs = Duration::from_secs;
        match self.kind {
            Kind::Crash => match self.dice.below(6) {
                0 => Fault::Exit(0),
                1 => Fault::Exit(1),
                2 => Fault::Oom,
                3 => Fault::Signal(11),
                4 => Fault::Signal(6),
                _ => Fault::Signal(9),
            },
            Kind::Panic => Fault::Panic,
            Kind::Exception => Fault::ReportException,
            Kind::Freeze => Fault::Stop,
            Kind::LinkStall => Fault::LinkStall(self.up_to(secs(10))),
            Kind::LinkReset => Fault::LinkReset,
            Kind::LinkCorruption => Fault::LinkCorrupt,
            Kind::LinkTruncation => Fault::LinkTruncate,
            Kind::SlowBoot => Fault::SlowBoot(self.up_to(secs(30))),
            Kind::SpawnError => Fault::SpawnError([EAGAIN, ENOMEM, EMFILE][self.dice.below(3)]),
            Kind::Stubbornness => Fault::IgnoreTerm,
            Kind::Suspension => Fault::ClockJump(self.up_to(secs(3600))),
            Kind::Block => Fault::Block(self.up_to(secs(20))),
            Kind::Hang => [Fault::Hang, Fault::BusyLoop][self.dice.below(2)],
        }
    }
}

/// Begins chaos among `slots`.
pub(super) fn begin(world: &Arc<World>, rates: &Chaos, slots: Vec<Slot>) -> ChaosHandle {
    let stopped = Arc::new(AtomicBool::new(false));
    let chaos = world.next_chaos();
    let handle = ChaosHandle { world: world.clone(), chaos, stopped: stopped.clone() };
    let sources = rates.rates.iter().filter(|(_, rate)| **rate > 0.0 && rate.is_finite());
    let mut sources: Vec<Source> = sources.map(|(&kind, &rate)| Source::new(world, chaos, kind, rate)).collect();
    if sources.is_empty() || slots.is_empty() {
        return handle;
    }
    // It does not keep the world alive.
    let weak = Arc::downgrade(world);
    world.run(move || {
        Box::pin(async move {
            for number in 0.. {
                let Some(source) = sources.iter_mut().min_by_key(|source| source.due) else { return };
                let Some(world) = weak.upgrade() else { return };
                let wait = source.due.saturating_sub(world.now());
                drop(world);
                tokio::time::sleep(wait).await;
                // Thrown whether or not it is used.
                let (slot, fault) = (slots[source.dice.below(slots.len())], source.fault());
                let lasts = source.up_to(Duration::from_secs(20));
                source.next();
                let Some(world) = weak.upgrade() else { return };
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let stroke = Stroke { chaos, number };
                if !world.omitted.contains(&stroke) {
                    visit(&world, stroke, fault, Victim::Slot(slot), lasts);
                }
            }
        })
    });
    handle
}

fn visit(world: &Arc<World>, stroke: Stroke, fault: Fault, victim: Victim, lasts: Duration) {
    let injection = Injection::new(fault, victim);
    world.state().chaos.push((stroke, injection.clone()));
    if let (Some(process), Fault::Stop) = (inject(world, &injection), fault) {
        let weak = Arc::downgrade(world);
        // That process, whoever is in its slot by then. It is the end of a fault, and none of its own.
        world.after(lasts, move || {
            if let (true, Some(world)) = (process.proceed(), weak.upgrade()) {
                world.say(format_args!("{} goes on", process.id));
            }
        });
    }
}
