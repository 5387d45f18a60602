//! I5: a slot has no more restarts in any window than the built-in strategy allows it, and one that was put aside is not
//! tried before its time. Counted here anew, from what the core was told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::identity::{Role, Slot};
use crate::supervision::{Directive, History, Intensity, Moment, OneForOne};

/// What every slot has spent.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    /// Of the roles for which the built-in strategy decides, and has limits.
    roles: BTreeMap<Role, Budget>,
    slots: BTreeMap<Slot, Past>,
}

#[derive(Clone, Copy, Debug)]
struct Budget {
    limit: Intensity,
    stable_after: Duration,
}

#[derive(Debug, Default)]
struct Past {
    /// When it failed young, as far as that still counts.
    young: VecDeque<Moment>,
    parked: Option<Parked>,
}

/// Put aside until then. `None`: until somebody asks for it.
#[derive(Clone, Copy, Debug)]
struct Parked(Option<Moment>);

impl Budgets {
    pub(super) fn new(built_in: &BTreeMap<Role, OneForOne>) -> Budgets {
        let budget = |(role, strategy): (&Role, &OneForOne)| {
            let (limit, stable_after) = strategy.budget()?;
            // The core remembers no more failures than these, so that a higher limit is none.
            let holds = limit.restarts <= History::REMEMBERED;
            holds.then_some((*role, Budget { limit, stable_after }))
        };
        Budgets { roles: built_in.iter().filter_map(budget).collect(), slots: BTreeMap::new() }
    }

    /// A failure of a process that had been ready for so long was answered by its strategy.
    pub(super) fn failed(
        &mut self,
        slot: Slot,
        ready_for: Option<Duration>,
        answer: &Directive,
        now: Moment,
    ) -> Option<String> {
        let past = self.slots.entry(slot).or_default();
        let restarts = match answer {
            Directive::Restart { .. } | Directive::Replace { .. } => true,
            Directive::Park { probe } => {
                past.parked = Some(Parked(probe.map(|probe| now + probe)));
                false
            }
            Directive::Ignore | Directive::Remove | Directive::Shutdown | Directive::Escalate(_) => false,
        };
        let Budget { limit, stable_after } = *self.roles.get(&slot.role())?;
        if ready_for.is_some_and(|ready_for| ready_for >= stable_after) {
            return None;
        }
        past.young.push_back(now);
        while past.young.front().is_some_and(|&oldest| now - oldest > limit.period) {
            past.young.pop_front();
        }
        let young = past.young.len();
        (restarts && young > limit.restarts).then(|| {
            let Intensity { restarts, period } = limit;
            format!("I5: {slot} is restarted after {young} young failures in {period:?}, and {restarts} are too many")
        })
    }

    /// A process is started in the slot; `asked`: an operator wants that.
    pub(super) fn started(&mut self, slot: Slot, asked: bool, now: Moment) -> Option<String> {
        let Parked(until) = self.slots.get_mut(&slot)?.parked.take()?;
        let early = until.is_none_or(|until| now < until);
        (early && !asked).then(|| match until {
            Some(until) => format!("I5: {slot} is parked, and tried {:?} before its time", until - now),
            None => format!("I5: {slot} is parked for good, and tried"),
        })
    }

    /// The slot is empty for another reason: it is parked no longer.
    pub(super) fn vacated(&mut self, slot: Slot) {
        if let Some(past) = self.slots.get_mut(&slot) {
            past.parked = None;
        }
    }

    /// The slot was scaled away. Should it come back, it begins anew.
    pub(super) fn closed(&mut self, slot: Slot) {
        self.slots.remove(&slot);
    }
}
