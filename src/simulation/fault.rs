//! What can go wrong, by its real name, and whether it did.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::process::Process;
use super::world::World;
use crate::identity::{MemberId, Role, Slot};
use crate::loopback::Spoil;
use crate::process::ExitStatus;
use crate::transport::What;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The process exits with this code, in the middle of whatever it does.
    Exit(i32),
    /// The process gets this signal, and does what a real member does. INT, QUIT and TERM (2, 3, 15) ask it to end, which
    /// takes effect when it has heard that; STOP, TSTP, TTIN and TTOU (19 to 22) stop it, CONT (18) lets it go on. HUP (1),
    /// which a member handles, PIPE (13), which a Rust program ignores, and CHLD, URG and WINCH (17, 23, 28), which the kernel
    /// does, are without effect, as are numbers that are no signal. All others end it. One that is stopped meets those that ask or
    /// end, but for KILL (9), when it goes on.
    Signal(i32),
    /// The kernel kills the process for lack of memory.
    Oom,
    /// Code of the member panics, on some thread of its. Without effect on one that stands still, or that is about to end:
    /// none of its code runs.
    Panic,
    /// Code of the member reports an exception. Without effect where [`Panic`](Fault::Panic) is.
    ReportException,
    /// The member's runtime waits for something for ever: nothing of it runs. Noticed by
    /// [heartbeats](crate::Heartbeat) alone.
    Hang,
    /// The member's runtime is busy for ever: nothing else of it runs. To everybody else the same as a hang, since a
    /// simulation has no processor to take from others.
    BusyLoop,
    /// The member's runtime is blocked for this long: nothing of it runs, and then it goes on. Without effect on one that
    /// stands still already.
    Block(Duration),
    /// The process is stopped by SIGSTOP.
    Stop,
    /// A stopped process goes on.
    Continue,
    /// Asked to end, by its master or by a signal, the member finishes what it has begun, and stays until it is killed. It
    /// takes effect when it would have ended: one that dies before, or ends unasked, has ignored nothing.
    IgnoreTerm,
    /// The next process of the slot takes so much longer to run its role function. Of several faults that wait for the next
    /// start in one slot the latest counts, and those before it never have an effect.
    SlowBoot(Duration),
    /// The next process of the slot never says that it is ready. The latest counts, as of
    /// [`SlowBoot`](Fault::SlowBoot).
    NeverReady,
    /// The link breaks, and what is on its way is lost.
    LinkReset,
    /// Nothing moves on the link for this long, in either direction. Where several overlap, until the last of them ends.
    LinkStall(Duration),
    /// What the member writes next arrives otherwise than it was sent.
    LinkCorrupt,
    /// What the member writes next arrives in part, and nothing after it.
    LinkTruncate,
    /// The next process of the slot cannot be started, for this reason (a number of `errno`). The latest counts, as
    /// of [`SlowBoot`](Fault::SlowBoot).
    SpawnError(i32),
    /// The whole host is suspended for this long, a year at most: the monotonic clock goes on, nothing else does.
    ClockJump(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Exit(code) => write!(f, "exits with code {code}"),
            Fault::Signal(number) => write!(f, "gets signal {number}"),
            Fault::Oom => f.write_str("is killed for lack of memory"),
            Fault::Panic => f.write_str("panics"),
            Fault::ReportException => f.write_str("reports an exception"),
            Fault::Hang => f.write_str("hangs"),
            Fault::BusyLoop => f.write_str("is busy for ever"),
            Fault::Block(span) => write!(f, "is blocked for {span:?}"),
            Fault::Stop => f.write_str("is stopped"),
            Fault::Continue => f.write_str("goes on"),
            Fault::IgnoreTerm => f.write_str("will not go when it is asked to"),
            Fault::SlowBoot(delay) => write!(f, "boots {delay:?} slower"),
            Fault::NeverReady => f.write_str("never becomes ready"),
            Fault::LinkReset => f.write_str("has its link reset"),
            Fault::LinkStall(span) => write!(f, "has its link stalled for {span:?}"),
            Fault::LinkCorrupt => f.write_str("has its link corrupted"),
            Fault::LinkTruncate => f.write_str("has its link truncated"),
            Fault::SpawnError(errno) => write!(f, "cannot be started, errno {errno}"),
            Fault::ClockJump(span) => write!(f, "is suspended with its host for {span:?}"),
        }
    }
}

/// What a fault makes of the next start in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Omen {
    /// It does not come about, for this reason.
    Refused(i32),
    /// The role function runs so much later.
    Slow(Duration),
    /// It never runs.
    Never,
}

impl Fault {
    /// What it makes of the next start, if it is about that.
    fn omen(self) -> Option<Omen> {
        match self {
            Fault::SpawnError(errno) => Some(Omen::Refused(errno)),
            Fault::SlowBoot(delay) => Some(Omen::Slow(delay)),
            Fault::NeverReady => Some(Omen::Never),
            Fault::Exit(_)
            | Fault::Signal(_)
            | Fault::Oom
            | Fault::Panic
            | Fault::ReportException
            | Fault::Hang
            | Fault::BusyLoop
            | Fault::Block(_)
            | Fault::Stop
            | Fault::Continue
            | Fault::IgnoreTerm
            | Fault::LinkReset
            | Fault::LinkStall(_)
            | Fault::LinkCorrupt
            | Fault::LinkTruncate
            | Fault::ClockJump(_) => None,
        }
    }
}

/// Whom a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Victim {
    /// Whoever is in this slot.
    Slot(Slot),
    /// This process and no other.
    Member(MemberId),
    /// Somebody of this role, by the dice.
    AnyOf(Role),
}

impl From<Slot> for Victim {
    fn from(slot: Slot) -> Victim {
        Victim::Slot(slot)
    }
}

impl From<MemberId> for Victim {
    fn from(member: MemberId) -> Victim {
        Victim::Member(member)
    }
}

impl From<Role> for Victim {
    fn from(role: Role) -> Victim {
        Victim::AnyOf(role)
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Victim::Slot(slot) => write!(f, "{slot}"),
            Victim::Member(member) => write!(f, "{member}"),
            Victim::AnyOf(role) => write!(f, "any {role}"),
        }
    }
}

/// A fault that was injected. It says whether it did anything: one that did not has not been survived.
#[derive(Clone, Debug)]
pub struct Injection(Arc<Injected>);

#[derive(Debug)]
struct Injected {
    fault: Fault,
    victim: Victim,
    at: Mutex<Option<Duration>>,
}

impl Injection {
    pub(super) fn new(fault: Fault, victim: Victim) -> Injection {
        Injection(Arc::new(Injected { fault, victim, at: Mutex::new(None) }))
    }

    /// What was injected.
    pub fn fault(&self) -> Fault {
        self.0.fault
    }

    /// For whom.
    pub fn victim(&self) -> Victim {
        self.0.victim
    }

    /// When it took effect, since the simulation began. `None`: it has not; one for the next start, the next write or the
    /// next request to stop still may.
    pub fn effect(&self) -> Option<Duration> {
        *self.0.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it took effect.
    pub fn took_effect(&self) -> bool {
        self.effect().is_some()
    }

    pub(super) fn took_effect_at(&self, at: Duration) {
        self.0.at.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(at);
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.victim, self.0.fault)
    }
}

/// Injects a fault, now or for the next start. Returns the process on which it took effect at once.
pub(super) fn inject(world: &Arc<World>, injection: &Injection) -> Option<Arc<Process>> {
    let (fault, victim) = (injection.fault(), injection.victim());
    world.state().injections.push(injection.clone());
    if let Fault::ClockJump(span) = fault {
        world.say(format_args!("fault: the host is suspended for {span:?}"));
        injection.took_effect_at(world.now());
        // What is further away than a clock reaches would be a panic of the test's own.
        const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
        world.run(move || Box::pin(tokio::time::advance(span.min(LONGEST))));
        return None;
    }
    let process = find(world, victim);
    if let Some(omen) = fault.omen() {
        let slot = match victim {
            Victim::Slot(slot) => Some(slot),
            Victim::Member(member) => Some(member.slot()),
            Victim::AnyOf(_) => process.map(|process| process.id.slot()),
        };
        if let Some(slot) = slot {
            world.state().awaited.insert(slot, (omen, injection.clone()));
        }
        return None;
    }
    let Some(process) = process else {
        world.say(format_args!("fault: {injection}: nobody is there"));
        return None;
    };
    world.say(format_args!("fault: {} {fault}", process.id));
    let took_effect = strike(world, &process, fault, injection);
    if took_effect {
        injection.took_effect_at(world.now());
    }
    took_effect.then_some(process)
}

fn find(world: &World, victim: Victim) -> Option<Arc<Process>> {
    let state = world.state();
    let mut found = state.living.iter().rev().filter(|(id, _)| match victim {
        Victim::Slot(slot) => id.slot() == slot,
        Victim::Member(member) => **id == member,
        Victim::AnyOf(role) => id.role() == role,
    });
    match victim {
        // The latest of its slot: that is the one which serves.
        Victim::Slot(_) | Victim::Member(_) => found.next().map(|(_, process)| process.clone()),
        Victim::AnyOf(_) => {
            let all: Vec<_> = found.map(|(_, process)| process.clone()).collect();
            drop(state);
            (!all.is_empty()).then(|| all[world.dice(0xfa17).below(all.len())].clone())
        }
    }
}

/// Has it happen to a process that is there. `true`: it has.
fn strike(world: &Arc<World>, process: &Arc<Process>, fault: Fault, injection: &Injection) -> bool {
    const KILL: i32 = 9;
    const CONT: i32 = 18;
    const STOP: i32 = 19;
    match fault {
        Fault::Exit(code) => process.end(ExitStatus::Code(code), false),
        Fault::Signal(number) => process.signal(number, Some(injection)),
        Fault::Oom => process.end(ExitStatus::Signal { number: KILL, core_dumped: false }, true),
        Fault::Panic => process.border.raise(What::Panic, "a panic that was injected"),
        Fault::ReportException => process.border.raise(What::Reported, "an exception that was injected"),
        Fault::Hang | Fault::BusyLoop => process.hang(),
        Fault::Block(span) => {
            let took_effect = process.block();
            if took_effect {
                let process = process.clone();
                world.after(span, move || process.unblock());
            }
            took_effect
        }
        Fault::Stop => process.signal(STOP, Some(injection)),
        Fault::Continue => process.signal(CONT, Some(injection)),
        // When it is asked to end.
        Fault::IgnoreTerm => {
            process.stay(Some(injection));
            false
        }
        Fault::LinkReset => {
            let was_open = process.from_member.is_open();
            process.from_member.reset();
            process.to_member.reset();
            was_open
        }
        Fault::LinkStall(span) => {
            let pipes = [process.to_member.clone(), process.from_member.clone()];
            let was_open = process.from_member.is_open();
            pipes.iter().for_each(|pipe| pipe.stall());
            world.after(span, move || pipes.iter().for_each(|pipe| pipe.flow()));
            was_open
        }
        Fault::LinkCorrupt | Fault::LinkTruncate => {
            let struck = injection.clone();
            let clock = Arc::downgrade(world);
            let done = Box::new(move || {
                if let Some(world) = clock.upgrade() {
                    struck.took_effect_at(world.now());
                }
            });
            process.from_member.spoil(if fault == Fault::LinkCorrupt { Spoil::Garble } else { Spoil::Truncate }, done);
            false
        }
        // For the next start, or for the whole host.
        Fault::SlowBoot(_) | Fault::NeverReady | Fault::SpawnError(_) | Fault::ClockJump(_) => false,
    }
}
