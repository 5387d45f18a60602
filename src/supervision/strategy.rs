//! The question that every failure puts, and the answers that there are.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use super::fact::Fact;
use super::history::{Failure, History};
use super::moment::Moment;
use crate::identity::Slot;

/// Decides what follows a fact about one member.
///
/// A pure function: the same fact, view and dice give the same answer, so a table tests it. What must hold whatever
/// it answers (one live process per slot outside of a replacement, the order of start and stop, stop wins over
/// restart) is kept by the [`Supervisor`](super::Supervisor).
///
/// Before the cluster was ready for the first time it is asked about panics and reported exceptions of members that are
/// ready, and about nothing else: every other failure ends the start. It is never asked about the end of a process that
/// was asked to go.
pub trait Strategy: Send + Sync + 'static {
    /// What is to be done.
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Directive;
}

/// A strategy made of a function.
///
/// ```
/// use std::time::Duration;
/// use hatchery::Hatchery;
/// use hatchery::supervision::{Directive, Fact, Reason, from_fn};
///
/// // Whoever dies is back after a second; whoever throws is replaced and has ten to finish; nobody gets a fourth chance
/// // within the same minute.
/// let patient = from_fn(|fact, view, _dice| {
///     if view.history.within(Duration::from_secs(60), view.now).count() >= 3 {
///         return Directive::Escalate(Reason::new("the third failure in a minute"));
///     }
///     match fact {
///         Fact::Exception(_) => Directive::Replace { drain: Duration::from_secs(10) },
///         _ => Directive::Restart { after: Duration::from_secs(1) },
///     }
/// });
/// # async fn worker(cx: hatchery::Context) -> hatchery::Result<()> { Ok(()) }
/// let plan = Hatchery::new().workers(2, worker).tune("worker", |role| {
///     role.strategy(patient);
/// });
/// ```
pub fn from_fn<F>(decide: F) -> FromFn<F>
where
    F: Fn(&Fact<'_>, &View<'_>, &mut Dice) -> Directive + Send + Sync + 'static,
{
    FromFn(decide)
}

/// See [`from_fn`].
pub struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

impl<F> Strategy for FromFn<F>
where
    F: Fn(&Fact<'_>, &View<'_>, &mut Dice) -> Directive + Send + Sync + 'static,
{
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Directive {
        (self.0)(fact, view, dice)
    }
}

/// What a strategy sees of the cluster when it decides.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct View<'a> {
    /// The present.
    pub now: Moment,
    /// Whom the fact is about.
    pub slot: Slot,
    /// The fact as it will be remembered, should the answer be anything but [`Directive::Ignore`].
    pub failure: Failure,
    /// The failures of this slot before this one.
    pub history: &'a History,
    /// The failures of all slots of the role before this one.
    pub role_history: &'a History,
    /// How often in a row this slot has been parked.
    pub parked: usize,
}

/// What is to be done about a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Directive {
    /// Nothing. A member that is alive stays in service; a slot whose process ended stays empty.
    Ignore,
    /// A new process, `after` this long. One that is still alive is stopped first.
    Restart {
        /// The delay, counted from the end of the old process.
        after: Duration,
    },
    /// A new process at once, while the old one finishes what it has begun and leaves. For one that has already ended
    /// the same as a restart without delay.
    Replace {
        /// How long the old one has. Then it is killed, with its descendants.
        drain: Duration,
    },
    /// No new process for now; the others of its role carry on. What waits for the slot goes back to its senders.
    Park {
        /// When to try again. `None`: not by itself.
        probe: Option<Duration>,
    },
    /// No new process, ever. One that is still alive finishes and leaves.
    Remove,
    /// Stop the whole cluster in order, and say why.
    Escalate(Reason),
}

/// Why a strategy, or the supervisor, gave up. One sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// A reason in these words.
    pub fn new(words: impl Into<String>) -> Reason {
        Reason(words.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Directive::Ignore => f.write_str("carry on"),
            Directive::Restart { after } if after.is_zero() => f.write_str("restart at once"),
            Directive::Restart { after } => write!(f, "restart in {after:.1?}"),
            Directive::Replace { drain } => write!(f, "replace at once, drain for up to {drain:?}"),
            Directive::Park { probe: Some(probe) } => write!(f, "park, try again in {probe:?}"),
            Directive::Park { probe: None } => f.write_str("park for good"),
            Directive::Remove => f.write_str("do not restart"),
            Directive::Escalate(reason) => write!(f, "give up: {reason}"),
        }
    }
}
