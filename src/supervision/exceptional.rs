//! What follows an exception, whatever follows an end.

use super::answer::{Answer, Directive};
use super::dice::Dice;
use super::fact::Fact;
use super::one_for_one::OnException;
use super::restart_type::RestartType;
use super::strategy::{Misfit, Strategy};
use super::view::View;

/// Answers to exceptions by itself, and leaves everything else to `inner`. With [`OnException::Ignore`] nobody is ever
/// restarted for an exception.
#[derive(Clone, Debug)]
pub struct Exceptional<S> {
    inner: S,
    exception: OnException,
}

impl<S: Strategy> Exceptional<S> {
    /// `inner`, but for exceptions.
    pub fn new(inner: S, exception: OnException) -> Exceptional<S> {
        Exceptional { inner, exception }
    }
}

impl<S: Strategy> Strategy for Exceptional<S> {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        match (fact, self.exception) {
            (Fact::Exception(_), OnException::Ignore) => Directive::Ignore.into(),
            (Fact::Exception(_), OnException::Replace { drain }) => Directive::Replace { drain }.into(),
            (Fact::Exited(_) | Fact::BootFailed(_) | Fact::LinkLost(_) | Fact::Unresponsive(_), _) => {
                self.inner.decide(fact, view, dice)
            }
        }
    }

    fn restart_type(&self) -> Option<RestartType> {
        self.inner.restart_type()
    }

    fn is_significant(&self) -> bool {
        self.inner.is_significant()
    }

    fn check(&self) -> Result<(), Misfit> {
        match self.exception {
            OnException::Replace { drain } if drain.is_zero() => {
                Err(Misfit::new("the drain of on_exception", "it must be longer than nothing"))
            }
            OnException::Replace { .. } | OnException::Ignore => self.inner.check(),
        }
    }
}
