//! OTP's significant children and auto-shutdown: a cluster that has done what it was for stops by itself.

use super::answer::{Answer, Directive};
use super::children::ChildState;
use super::dice::Dice;
use super::fact::Fact;
use super::restart_type::RestartType;
use super::strategy::{Misfit, Strategy};
use super::view::View;

/// Ends the cluster, in order and with exit code 0, when a member has ended by itself and is not to be started again: a
/// transient one that exited with code 0, a temporary one however it ended, or whatever `inner` answers with
/// [`Directive::Remove`]. Whom an operator stops, or a group takes along, does not end it.
#[derive(Clone, Debug)]
pub struct Significant<S> {
    inner: S,
    all: bool,
}

impl<S: Strategy> Significant<S> {
    /// The first significant member that ends, ends the cluster. OTP's `any_significant`.
    pub fn any(inner: S) -> Significant<S> {
        Significant { inner, all: false }
    }

    /// The last significant member that ends, of whatever role, ends the cluster. OTP's `all_significant`.
    pub fn all(inner: S) -> Significant<S> {
        Significant { inner, all: true }
    }
}

impl<S: Strategy> Strategy for Significant<S> {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        let Answer { directive, memory } = self.inner.decide(fact, view, dice);
        let directive = match directive {
            Directive::Remove if !self.all || is_last(view) => Directive::Shutdown,
            Directive::Remove
            | Directive::Ignore
            | Directive::Restart { .. }
            | Directive::Replace { .. }
            | Directive::Park { .. }
            | Directive::Shutdown
            | Directive::Escalate(_) => directive,
        };
        Answer { directive, memory }
    }

    fn restart_type(&self) -> Option<RestartType> {
        self.inner.restart_type()
    }

    fn is_significant(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), Misfit> {
        match self.inner.restart_type() {
            Some(RestartType::Permanent) => Err(Misfit::new(
                "significant",
                "a permanent member never ends by itself: make it transient or temporary",
            )),
            Some(RestartType::Transient | RestartType::Temporary) | None => self.inner.check(),
        }
    }
}

/// Whether no other significant member is there, or to come. OTP counts those that an operator stopped as ended, too.
fn is_last(view: &View<'_>) -> bool {
    view.siblings().filter(|child| child.significant).all(|child| match child.state {
        ChildState::Vacant | ChildState::Stopped => true,
        ChildState::Unstarted
        | ChildState::Starting
        | ChildState::Ready
        | ChildState::Leaving
        | ChildState::Restarting { .. }
        | ChildState::Parked { .. } => false,
    })
}
