//! The question that every failure puts, and who answers it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::answer::Answer;
use super::dice::Dice;
use super::fact::Fact;
use super::restart_type::RestartType;
use super::view::View;

/// Decides what follows a fact about one member.
///
/// A pure function: the same fact, view and dice give the same answer, so a table tests it (see [`View::table`]). What
/// must hold whatever it answers (one live process per slot outside of a replacement, the order of start and stop, stop
/// wins over restart) is kept by the [`Supervisor`](super::Supervisor).
///
/// Before the cluster was ready for the first time it is asked about panics and reported exceptions of members that are
/// ready, and about nothing else: every other failure ends the start, and so does an answer that others than the member
/// itself would have to go along with. It is never asked about the end of a process that was asked to go.
///
/// ```
/// use std::time::Duration;
/// use hatchery::Slot;
/// use hatchery::supervision::{Answer, Dice, Directive, Exit, Fact, Reason, Scope, Strategy, View};
///
/// /// Restarts; gives up when one slot fails for the third time, however long that takes.
/// struct ThreeStrikes;
///
/// impl Strategy for ThreeStrikes {
///     fn decide(&self, _: &Fact<'_>, view: &View<'_>, _: &mut Dice) -> Answer {
///         match view.memory + 1 {
///             3 => Directive::Escalate(Reason::new("three strikes")).into(),
///             strikes => Directive::Restart { scope: Scope::One, after: Duration::ZERO }.remember(strikes),
///         }
///     }
/// }
///
/// let killed = Fact::exited(Exit::signal(9));
/// let again = Directive::Restart { scope: Scope::One, after: Duration::ZERO };
/// assert_eq!(View::table(Slot::worker(0)).ask(&ThreeStrikes, &killed), again.remember(1));
/// assert_eq!(
///     View::table(Slot::worker(0)).memory(2).ask(&ThreeStrikes, &killed),
///     Directive::Escalate(Reason::new("three strikes")),
/// );
/// ```
pub trait Strategy: Send + Sync + 'static {
    /// What is to be done, and what is to be remembered.
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer;

    /// When the members are started again, where that is one of OTP's three. It is shown to others, and a temporary one
    /// is not started again with its group. `None`: that cannot be said in one word. Who wraps another strategy passes
    /// its word on.
    fn restart_type(&self) -> Option<RestartType> {
        None
    }

    /// Whether the cluster may end when such a member has ended by itself. See [`Significant`](super::Significant).
    fn is_significant(&self) -> bool {
        false
    }

    /// Whether its settings fit together. Asked before anything is started.
    ///
    /// # Errors
    /// [`Misfit`] names the setting. It becomes an error of the plan.
    fn check(&self) -> Result<(), Misfit> {
        Ok(())
    }

    /// What it is called in a cause. Default: the name of its type.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

impl<S: Strategy + ?Sized> Strategy for Arc<S> {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        (**self).decide(fact, view, dice)
    }

    fn restart_type(&self) -> Option<RestartType> {
        (**self).restart_type()
    }

    fn is_significant(&self) -> bool {
        (**self).is_significant()
    }

    fn check(&self) -> Result<(), Misfit> {
        (**self).check()
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}

/// A setting of a strategy that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which.
    pub setting: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Misfit {
    /// `setting` is wrong, and why.
    pub fn new(setting: &'static str, why: impl Into<String>) -> Misfit {
        Misfit { setting, why: why.into() }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.why)
    }
}

/// A strategy made of a function that gives a [`Directive`](super::Directive), or an [`Answer`] if it has something to
/// remember.
///
/// ```
/// use std::time::Duration;
/// use hatchery::Hatchery;
/// use hatchery::supervision::{Directive, Fact, Reason, Scope, from_fn};
///
/// // Whoever dies is back after a second; whoever throws is replaced and has ten to finish; nobody gets a fourth chance
/// // within the same minute.
/// let patient = from_fn(|fact, view, _dice| {
///     if view.history.count_within(Duration::from_secs(60), view.now) >= 3 {
///         return Directive::Escalate(Reason::new("the fourth failure in a minute"));
///     }
///     match fact {
///         Fact::Exception(_) => Directive::Replace { drain: Duration::from_secs(10) },
///         _ => Directive::Restart { scope: Scope::One, after: Duration::from_secs(1) },
///     }
/// });
/// # async fn worker(cx: hatchery::Context) -> hatchery::Result<()> { Ok(()) }
/// let plan = Hatchery::new().workers(2, worker).tune("worker", |role| {
///     role.strategy(patient);
/// });
/// ```
pub fn from_fn<F, R>(decide: F) -> FromFn<F, R>
where
    F: Fn(&Fact<'_>, &View<'_>, &mut Dice) -> R + Send + Sync + 'static,
    R: Into<Answer> + 'static,
{
    FromFn { decide, answers: PhantomData }
}

/// See [`from_fn`].
pub struct FromFn<F, R> {
    decide: F,
    answers: PhantomData<fn() -> R>,
}

impl<F, R> fmt::Debug for FromFn<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

impl<F, R> Strategy for FromFn<F, R>
where
    F: Fn(&Fact<'_>, &View<'_>, &mut Dice) -> R + Send + Sync + 'static,
    R: Into<Answer> + 'static,
{
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        (self.decide)(fact, view, dice).into()
    }

    fn name(&self) -> &'static str {
        std::any::type_name::<F>()
    }
}
