//! What is wrong with a plan: found before anything is bound or started.

use std::time::Duration;

/// What is wrong with a plan. It names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No role has been declared.
    #[error("the plan has no roles: declare an agent or workers")]
    Empty,
    /// A role was declared twice.
    #[error("role {0} is declared twice")]
    Twice(String),
    /// The name of a role cannot be used: it is empty, too long, or has characters that addresses are made of.
    #[error("role {0:?} cannot be called so: use letters, digits, '-' and '_', 64 at most")]
    BadName(String),
    /// A role was given the name of the master.
    #[error("no role can be called {0:?}: that is the name of the process above them")]
    Reserved(String),
    /// The name of the cluster cannot be used, for the same reasons.
    #[error("a cluster {0:?} cannot be called so: use letters, digits, '-' and '_', 64 at most")]
    BadClusterName(String),
    /// A setting was made for a role that is not declared.
    #[error("there are settings for role {0}, which is not declared")]
    NoSuchRole(String),
    /// A role has no members, or too many.
    #[error("role {role} has {count} members: it must have {allowed}")]
    Count {
        /// Which.
        role: String,
        /// How many.
        count: usize,
        /// How many it may have.
        allowed: &'static str,
    },
    /// A time is zero, or longer than 30 days.
    #[error("{setting} is {} s: it must be longer than nothing and at most 30 days", value.as_secs_f64())]
    Time {
        /// Which.
        setting: String,
        /// How long.
        value: Duration,
    },
    /// A number is out of range.
    #[error("{setting} is {value}: it must be {allowed}")]
    Number {
        /// Which.
        setting: String,
        /// How much.
        value: i64,
        /// How much it may be.
        allowed: &'static str,
    },
    /// Something was asked for that members in threads cannot have: see [`Hatchery::in_threads`](crate::Hatchery::in_threads).
    #[error("{setting} cannot be had in threads: {why}")]
    InThreads {
        /// Which setting.
        setting: String,
        /// Why not.
        why: &'static str,
    },
    /// What is to be listened on is no address.
    #[error("cannot listen on {0:?}: an address is HOST:PORT, [HOST]:PORT or unix:PATH")]
    Address(String),
    /// Two listeners have the same name, or there are more than 64.
    #[error("listeners: {0}")]
    Listeners(String),
    /// The settings of a heartbeat do not fit together.
    #[error("{setting} of the heartbeat of role {role}: {why}")]
    Heartbeat {
        /// Which role.
        role: String,
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The settings of a strategy do not fit together.
    #[error("{setting} of the strategy of role {role}: {why}")]
    Strategy {
        /// Which role.
        role: String,
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A schedule cannot be meant.
    #[cfg(feature = "schedule")]
    #[error("schedule {name:?}: {error}")]
    Schedule {
        /// Which.
        name: String,
        /// What is wrong with it.
        error: crate::schedule::ScheduleError,
    },
    /// There are schedules, and no agent.
    #[cfg(feature = "schedule")]
    #[error("there are schedules, and the plan has no agent to keep them: declare one")]
    NoAgent,
    /// The logs cannot be meant.
    #[cfg(feature = "log")]
    #[error("logs: {0}")]
    Logs(crate::log::LogsError),
    /// There are logs, and no agent.
    #[cfg(feature = "log")]
    #[error("there are logs, and the plan has no agent to write them: declare one")]
    NoWriter,
    /// A setting of the built-in strategy was made although another one decides.
    #[error("role {role}: {setting} is a setting of the built-in strategy, and another one decides")]
    IdleSetting {
        /// Which role.
        role: String,
        /// Which setting.
        setting: &'static str,
    },
}
