//! A view as a value: what a strategy is shown in a table test, without a supervisor, a process or a clock.

use std::time::Duration;

use super::answer::Answer;
use super::children::{Child, ChildState};
use super::dice::Dice;
use super::fact::OwnedFact;
use super::history::{Failure, History};
use super::moment::Moment;
use super::restart_type::RestartType;
use super::strategy::Strategy;
use super::view::{Around, View};
use crate::identity::Slot;

/// The past and the surroundings of a slot, to be asked about.
///
/// ```
/// use std::time::Duration;
/// use hatchery::Slot;
/// use hatchery::supervision::{Directive, Exit, Fact, OneForOne, Scope, View};
///
/// // A worker that had served for an hour is restarted at once, whatever was before.
/// let view = View::table(Slot::worker(0)).restarts(3).ready_for(Duration::from_secs(3600));
/// let at_once = Directive::Restart { scope: Scope::One, after: Duration::ZERO };
/// assert_eq!(view.ask(&OneForOne::worker(), &Fact::exited(Exit::signal(9))), at_once);
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    now: Moment,
    slot: Slot,
    restart_type: Option<RestartType>,
    ready_for: Option<Duration>,
    history: History,
    role_history: History,
    cluster_history: History,
    parked: usize,
    memory: u64,
    siblings: Vec<Child>,
    seed: u64,
}

impl Table {
    pub(super) fn new(slot: Slot) -> Table {
        Table {
            now: Moment::from_start(Duration::from_secs(3600)),
            slot,
            restart_type: None,
            ready_for: None,
            history: History::default(),
            role_history: History::default(),
            cluster_history: History::default(),
            parked: 0,
            memory: 0,
            siblings: Vec::new(),
            seed: 0,
        }
    }

    /// The present. What was said of the past so far moves with it.
    pub fn now(mut self, now: Moment) -> Table {
        for history in [&mut self.history, &mut self.role_history, &mut self.cluster_history] {
            *history = history.iter().map(|f| Failure { at: now.less(self.now - f.at), ..*f }).collect();
        }
        self.now = now;
        self
    }

    /// The one whom the fact is about had been ready for this long. Not said: it never was.
    pub fn ready_for(mut self, ready_for: Duration) -> Table {
        self.ready_for = Some(ready_for);
        self
    }

    /// Its slot failed `failures` times within the last second, each time before it was ready.
    pub fn restarts(mut self, failures: usize) -> Table {
        for nth in (0..failures).rev() {
            self = self.failure(Duration::from_secs(1) * nth as u32 / failures as u32, None);
        }
        self
    }

    /// Its slot failed this long ago, after having been ready for so long. `None`: it was not ready.
    pub fn failure(mut self, ago: Duration, ready_for: Option<Duration>) -> Table {
        let failure = Failure { at: self.now.less(ago), ready_for };
        self.history.insert(failure);
        self.role_history.insert(failure);
        self.cluster_history.insert(failure);
        self
    }

    /// Another slot of its role did.
    pub fn role_failure(mut self, ago: Duration, ready_for: Option<Duration>) -> Table {
        let failure = Failure { at: self.now.less(ago), ready_for };
        self.role_history.insert(failure);
        self.cluster_history.insert(failure);
        self
    }

    /// A slot of another role did.
    pub fn cluster_failure(mut self, ago: Duration, ready_for: Option<Duration>) -> Table {
        self.cluster_history.insert(Failure { at: self.now.less(ago), ready_for });
        self
    }

    /// It has been parked so often in a row.
    pub fn parked(mut self, times: usize) -> Table {
        self.parked = times;
        self
    }

    /// What the strategy remembers of it.
    pub fn memory(mut self, memory: u64) -> Table {
        self.memory = memory;
        self
    }

    /// The restart type of its role.
    pub fn restart_type(mut self, restart: RestartType) -> Table {
        self.restart_type = Some(restart);
        self
    }

    /// There is another slot, and it stands like this.
    pub fn sibling(self, slot: Slot, state: ChildState) -> Table {
        self.child(Child::new(slot, state))
    }

    /// There is another slot, with all that can be said of it.
    pub fn child(mut self, child: Child) -> Table {
        self.siblings.push(child);
        self.siblings.sort_by_key(|child| child.slot);
        self
    }

    /// The dice that the strategy is given follow from this. Default 0.
    pub fn seed(mut self, seed: u64) -> Table {
        self.seed = seed;
        self
    }

    /// What is shown to a strategy.
    pub fn view(&self) -> View<'_> {
        View {
            now: self.now,
            slot: self.slot,
            restart_type: self.restart_type,
            failure: Failure { at: self.now, ready_for: self.ready_for },
            history: &self.history,
            role_history: &self.role_history,
            cluster_history: &self.cluster_history,
            parked: self.parked,
            memory: self.memory,
            around: Around { roles: &[], table: &self.siblings },
        }
    }

    /// What `strategy` answers to `fact`.
    pub fn ask(&self, strategy: &impl Strategy, fact: &OwnedFact) -> Answer {
        strategy.decide(&fact.as_fact(), &self.view(), &mut Dice::seeded(self.seed))
    }
}
