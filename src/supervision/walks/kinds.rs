//! The plans of the walks: who decides, and about how many.

use super::super::tables::{millis, plan, role};
use super::super::*;
use crate::identity::Role;

/// Who decides in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The built-in strategies, and no operator: when it gives up can be told to the second.
    Usual,
    /// The same, and operators.
    Operated,
    /// Groups, and operators.
    RestForOne,
    OneForAll,
    OneForRole,
    /// OTP's: temporary workers, all significant, and a limit for the whole cluster.
    Mortal,
    /// Any answer, by the dice.
    Whimsical,
}

pub(super) const KINDS: [Kind; 7] =
    [Kind::Usual, Kind::Operated, Kind::RestForOne, Kind::OneForAll, Kind::OneForRole, Kind::Mortal, Kind::Whimsical];

impl Kind {
    pub(super) fn plan(self, workers: u16) -> Plan {
        let groups = |agent: std::sync::Arc<dyn Strategy>, worker: std::sync::Arc<dyn Strategy>| {
            let cache = role(Role::new(1, "cache"), 2, worker.clone());
            Plan::new(vec![role(Role::AGENT, 1, agent), cache, role(Role::WORKER, workers, worker)])
        };
        let (agent, worker) = (OneForOne::agent, OneForOne::worker);
        match self {
            Kind::Usual | Kind::Operated => plan(workers),
            Kind::RestForOne => {
                groups(std::sync::Arc::new(RestForOne::new(agent())), std::sync::Arc::new(RestForOne::new(worker())))
            }
            Kind::OneForAll => {
                groups(std::sync::Arc::new(OneForAll::new(agent())), std::sync::Arc::new(OneForAll::new(worker())))
            }
            Kind::OneForRole => {
                groups(std::sync::Arc::new(agent()), std::sync::Arc::new(OneForAll::new(worker()).within_role()))
            }
            Kind::Mortal => {
                let intensity = Intensity::new(5, millis(30_000));
                let mortal = worker().restart(RestartType::Temporary);
                groups(
                    std::sync::Arc::new(Escalating::new(OneForAll::new(agent()), intensity)),
                    std::sync::Arc::new(Significant::all(mortal)),
                )
            }
            Kind::Whimsical => {
                let whim = std::sync::Arc::new(from_fn(whim));
                groups(whim.clone(), whim)
            }
        }
    }
}

/// Any answer. What it remembers is how often it was asked.
pub(super) fn whim(_: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
    let after = millis([0, 100, 4_000][dice.below(3)]);
    let scope = [Scope::One, Scope::Rest, Scope::Role, Scope::All][dice.below(4)];
    let directive = match dice.below(40) {
        0..=25 => Directive::Restart { scope, after },
        26..=29 => Directive::Replace { drain: after },
        30..=32 => Directive::Park { probe: Some(after) },
        33 | 34 => Directive::Ignore,
        35 => Directive::Park { probe: None },
        36 | 37 => Directive::Remove,
        38 => Directive::Shutdown,
        _ => Directive::Escalate(Reason::new("on a whim")),
    };
    directive.remember(view.memory + 1)
}
