//! The answers that there are to a failure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a strategy answers: what is to be done, and what it wants to remember of it.
///
/// A value of its own, and made of a [`Directive`] by `into()`: most strategies have nothing to remember, and those who do
/// hand it back beside their directive instead of keeping it in themselves. What is in `self` would be lost to a replay,
/// and be shared by all slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is to be done.
    pub directive: Directive,
    /// From now on the [`memory`](super::View::memory) of this slot. `None`: as it was.
    pub memory: Option<u64>,
}

impl Answer {
    /// The same, with `scope` in place of nobody else. A replacement with overlap becomes a restart: a group
    /// starts afresh when all of it have gone.
    pub(super) fn widened(self, scope: Scope) -> Answer {
        let directive = match self.directive {
            Directive::Restart { scope: Scope::One, after } => Directive::Restart { scope, after },
            Directive::Replace { .. } => Directive::Restart { scope, after: Duration::ZERO },
            Directive::Restart { scope: Scope::Rest | Scope::Role | Scope::All, .. }
            | Directive::Ignore
            | Directive::Park { .. }
            | Directive::Remove
            | Directive::Shutdown
            | Directive::Escalate(_) => self.directive,
        };
        Answer { directive, memory: self.memory }
    }
}

impl From<Directive> for Answer {
    fn from(directive: Directive) -> Answer {
        Answer { directive, memory: None }
    }
}

/// The same directive, and nothing to remember.
impl PartialEq<Directive> for Answer {
    fn eq(&self, directive: &Directive) -> bool {
        self.memory.is_none() && self.directive == *directive
    }
}

/// What is to be done about a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Directive {
    /// Nothing. A member that is alive stays in service; a slot whose process ended stays empty.
    Ignore,
    /// A new process, `after` this long. One that is still alive is stopped first. Whoever is in `scope` goes along.
    Restart {
        /// Who is stopped, and started again with it.
        scope: Scope,
        /// The delay. Of one alone it is counted from the end of its old process. A group is started when this has
        /// passed since the fact and the last of it has gone.
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
    /// The cluster has done what it was for: stop it in order, as if somebody had asked. No failure, exit code 0.
    Shutdown,
    /// Stop the whole cluster in order, and say why. Exit code 3.
    Escalate(Reason),
}

impl Directive {
    /// This, and `memory` to be shown to the strategy when it is asked about the same slot again.
    pub fn remember(self, memory: u64) -> Answer {
        Answer { directive: self, memory: Some(memory) }
    }
}

/// Who is restarted with a member. The order is that of the start: role by role, slot by slot.
///
/// Those who go along are stopped in reverse order, a role at a time, each with the stop timeout of its role. When the
/// last has gone they are started in order, each role when those of it before are ready. Temporary ones are not started
/// again. Who is parked, was stopped by an operator or has ended for good is left as it is: a group gives nobody back a
/// chance that was taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Scope {
    /// Nobody else. OTP's `one_for_one`.
    One,
    /// Those that are started after it: the later slots of its role, and all later roles. OTP's `rest_for_one`.
    Rest,
    /// All of its role, and nobody else: what OTP would have a supervisor of its own for.
    Role,
    /// Everyone. OTP's `one_for_all`.
    All,
}

/// Why a strategy, or the supervisor, gave up. One sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::One => "",
            Scope::Rest => " with all after it",
            Scope::Role => " with all of its role",
            Scope::All => " with everyone",
        })
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Directive::Ignore => f.write_str("carry on"),
            Directive::Restart { scope, after } if after.is_zero() => write!(f, "restart at once{scope}"),
            Directive::Restart { scope, after } => write!(f, "restart in {after:.1?}{scope}"),
            Directive::Replace { drain } => write!(f, "replace at once, drain for up to {drain:?}"),
            Directive::Park { probe: Some(probe) } => write!(f, "park, try again in {probe:?}"),
            Directive::Park { probe: None } => f.write_str("park for good"),
            Directive::Remove => f.write_str("do not restart"),
            Directive::Shutdown => f.write_str("all is done: stop the cluster"),
            Directive::Escalate(reason) => write!(f, "give up: {reason}"),
        }
    }
}
