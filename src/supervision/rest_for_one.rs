//! OTP's `rest_for_one`: those that were started after one that fails depend on it, and start afresh with it.

use super::answer::{Answer, Scope};
use super::dice::Dice;
use super::fact::Fact;
use super::restart_type::RestartType;
use super::strategy::{Misfit, Strategy};
use super::view::View;

/// Restarts the member that failed, and all that are started after it: the later slots of its role and all later roles.
/// When, and whether at all, is what `inner` says.
///
/// For all roles it is what OTP calls so. For the agent alone it means that the workers are replaced, in order, when the
/// agent dies, and that the death of a worker is its own. The agent's successor is started when the workers have gone: a
/// request that waits for an answer of the agent is cut off at the `stop_timeout` of its worker.
///
/// ```
/// use hatchery::Hatchery;
/// use hatchery::supervision::{OneForOne, RestForOne};
/// # async fn agent(cx: hatchery::Context) -> hatchery::Result<()> { Ok(()) }
/// # async fn worker(cx: hatchery::Context) -> hatchery::Result<()> { Ok(()) }
///
/// let plan = Hatchery::new().agent(agent).workers(4, worker).tune("agent", |agent| {
///     agent.strategy(RestForOne::new(OneForOne::agent()));
/// });
/// ```
#[derive(Clone, Debug)]
pub struct RestForOne<S> {
    inner: S,
}

impl<S: Strategy> RestForOne<S> {
    /// `inner`, with everyone that is started later.
    pub fn new(inner: S) -> RestForOne<S> {
        RestForOne { inner }
    }
}

impl<S: Strategy> Strategy for RestForOne<S> {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        self.inner.decide(fact, view, dice).widened(Scope::Rest)
    }

    fn restart_type(&self) -> Option<RestartType> {
        self.inner.restart_type()
    }

    fn is_significant(&self) -> bool {
        self.inner.is_significant()
    }

    fn check(&self) -> Result<(), Misfit> {
        self.inner.check()
    }
}
