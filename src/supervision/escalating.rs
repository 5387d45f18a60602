//! OTP's restart intensity: too many restarts, and the whole cluster is given up.

use super::answer::{Answer, Directive, Reason};
use super::dice::Dice;
use super::fact::Fact;
use super::history::Intensity;
use super::restart_type::RestartType;
use super::strategy::{Misfit, Strategy};
use super::view::View;

/// Whose failures are counted.
#[derive(Clone, Copy, Debug)]
enum Window {
    Slot,
    Role,
    Cluster,
}

/// Gives up when more restarts than `intensity` allows would come within its period, this one included: the cluster is
/// stopped in order, exit code 3. What is counted are failures that were not ignored; operators' restarts are none.
///
/// The window is that of the cluster, as in OTP. Where one bad slot should rather be put aside than end everyone, see
/// [`OneForOne::intensity`](super::OneForOne::intensity).
///
/// ```
/// use std::time::Duration;
/// use hatchery::Slot;
/// use hatchery::supervision::{Directive, Escalating, Exit, Fact, Intensity, OneForAll, OneForOne, View};
///
/// // OTP's default: the second failure within five seconds ends everything.
/// let strategy = OneForAll::new(OneForOne::worker().unlimited());
/// let strategy = Escalating::new(strategy, Intensity::new(1, Duration::from_secs(5)));
/// let view = View::table(Slot::worker(0)).restarts(1);
/// let answer = view.ask(&strategy, &Fact::exited(Exit::signal(9)));
/// assert!(matches!(answer.directive, Directive::Escalate(_)));
/// ```
#[derive(Clone, Debug)]
pub struct Escalating<S> {
    inner: S,
    intensity: Intensity,
    window: Window,
}

impl<S: Strategy> Escalating<S> {
    /// `inner`, within this intensity of the whole cluster.
    pub fn new(inner: S, intensity: Intensity) -> Escalating<S> {
        Escalating { inner, intensity, window: Window::Cluster }
    }

    /// Counts the failures of the member's role only.
    pub fn per_role(mut self) -> Escalating<S> {
        self.window = Window::Role;
        self
    }

    /// Counts the failures of the member's slot only.
    pub fn per_slot(mut self) -> Escalating<S> {
        self.window = Window::Slot;
        self
    }

    fn is_over(&self, view: &View<'_>) -> bool {
        let history = match self.window {
            Window::Slot => view.history,
            Window::Role => view.role_history,
            Window::Cluster => view.cluster_history,
        };
        history.count_within(self.intensity.period, view.now) >= self.intensity.restarts
    }
}

impl<S: Strategy> Strategy for Escalating<S> {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        let answer = self.inner.decide(fact, view, dice);
        match answer.directive {
            Directive::Restart { .. } | Directive::Replace { .. } if self.is_over(view) => {
                let Intensity { restarts, period } = self.intensity;
                let reason = format!("{} would be restart {} within {period:?}", view.slot, restarts + 1);
                Answer { directive: Directive::Escalate(Reason::new(reason)), memory: answer.memory }
            }
            Directive::Restart { .. }
            | Directive::Replace { .. }
            | Directive::Ignore
            | Directive::Park { .. }
            | Directive::Remove
            | Directive::Shutdown
            | Directive::Escalate(_) => answer,
        }
    }

    fn restart_type(&self) -> Option<RestartType> {
        self.inner.restart_type()
    }

    fn is_significant(&self) -> bool {
        self.inner.is_significant()
    }

    fn check(&self) -> Result<(), Misfit> {
        match self.intensity.period.is_zero() {
            true => Err(Misfit::new("the period of intensity", "it must be longer than nothing")),
            false => self.inner.check(),
        }
    }
}
