//! OTP's `one_for_all`: members that cannot do without each other start afresh together.

use super::answer::{Answer, Scope};
use super::dice::Dice;
use super::fact::Fact;
use super::restart_type::RestartType;
use super::strategy::{Misfit, Strategy};
use super::view::View;

/// Restarts everyone when one member fails. When, and whether at all, is what `inner` says.
#[derive(Clone, Debug)]
pub struct OneForAll<S> {
    inner: S,
    scope: Scope,
}

impl<S: Strategy> OneForAll<S> {
    /// `inner`, with everyone in the cluster.
    pub fn new(inner: S) -> OneForAll<S> {
        OneForAll { inner, scope: Scope::All }
    }

    /// With all of its role, and nobody else.
    pub fn within_role(mut self) -> OneForAll<S> {
        self.scope = Scope::Role;
        self
    }
}

impl<S: Strategy> Strategy for OneForAll<S> {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        self.inner.decide(fact, view, dice).widened(self.scope)
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
