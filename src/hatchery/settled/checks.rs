//! What a plan may say: names, numbers and times that can be meant, each complaint with the setting that it is about.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::Declared;
use super::super::plan_error::PlanError;
use super::super::role::{Choice, RoleSettings};
use super::Settled;
use crate::identity::Role;
use crate::process::{Address, Executable};
use crate::supervision::Misfit;

/// Longer than this nobody means.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// As many descriptors as can be lent without filling the socket that carries them.
const LISTENERS: usize = 64;

/// Ranks are a byte, and those before the workers are half of them.
const ROLES: usize = 100;

/// Gives each role its rank: the agent first, the others as they were declared, around the workers' fixed one.
pub(super) fn rank(declared: Vec<Declared>) -> Result<Vec<(Role, Declared)>, PlanError> {
    let workers = declared.iter().position(|role| role.name == Role::WORKER.name());
    let mut ranked: Vec<(Role, Declared)> = Vec::new();
    for (position, declared) in declared.into_iter().enumerate() {
        if !is_plain(&declared.name) {
            return Err(PlanError::BadName(declared.name));
        }
        if declared.name == Role::MASTER.name() {
            return Err(PlanError::Reserved(declared.name));
        }
        if ranked.iter().any(|(role, _)| role.name() == declared.name) {
            return Err(PlanError::Twice(declared.name));
        }
        let role = match declared.name.as_str() {
            name if name == Role::AGENT.name() => Role::AGENT,
            name if name == Role::WORKER.name() => Role::WORKER,
            name => {
                let base = if workers.is_some_and(|workers| position > workers) { Role::WORKER } else { Role::AGENT };
                let rank = u8::try_from(usize::from(base.rank()) + 1 + position).unwrap_or(u8::MAX);
                // Names live as long as the process: they are few, and a role is copied everywhere.
                Role::new(rank, Box::leak(name.to_owned().into_boxed_str()))
            }
        };
        ranked.push((role, declared));
    }
    match ranked.len() > ROLES {
        true => Err(PlanError::Number {
            setting: "the number of roles".into(),
            value: ranked.len() as i64,
            allowed: "at most 100",
        }),
        false => Ok(ranked),
    }
}

/// Whether it can stand in an address without being taken for something else.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    plain && !name.is_empty() && name.len() <= 64
}

/// Every listener has a name. The only one need not be given any.
pub(super) fn name_listeners(declared: Vec<(Option<String>, Address)>) -> Result<Vec<(String, Address)>, PlanError> {
    if declared.len() > LISTENERS {
        return Err(PlanError::Listeners(format!("there are {}, and {LISTENERS} at most", declared.len())));
    }
    let mut named: Vec<(String, Address)> = Vec::new();
    for (name, address) in declared {
        if !address.is_whole() {
            return Err(PlanError::Address(address.to_string()));
        }
        let name = name.unwrap_or_else(|| address.to_string());
        if named.iter().any(|(other, _)| *other == name) {
            return Err(PlanError::Listeners(format!("two are called {name:?}")));
        }
        named.push((name, address));
    }
    Ok(named)
}

/// Settings that would change what a member finds, and cannot be had in a thread.
pub(super) fn fit_for_threads(roles: &[Settled], adopt: bool) -> Result<(), PlanError> {
    let refuse = |setting: String, why| Err(PlanError::InThreads { setting, why });
    if adopt {
        return refuse("adopt_descendants".into(), "what a thread leaves behind is this process's own already");
    }
    for Settled { role, settings, .. } in roles {
        if settings.executable != Executable::Running {
            return refuse(format!("executable of role {role}"), "a thread runs this program and no other");
        }
        if !settings.environment.is_empty() {
            return refuse(format!("the environment of role {role}"), "there is one for the whole process");
        }
        if settings.runtime_threads > 1 {
            return refuse(format!("runtime_threads of role {role}"), "each member is one thread");
        }
    }
    Ok(())
}

impl Settled {
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let role = || self.role.name().to_owned();
        let RoleSettings { count, ready_timeout, stop_timeout, give_up_after, heartbeat, .. } = self.settings;
        let strategy = match &self.settings.strategy {
            Choice::BuiltIn(strategy) => strategy.times(),
            // What it answers may be any time: the core knows those that never come.
            Choice::Own(strategy) => {
                strategy.check().map_err(|Misfit { setting, why }| PlanError::Strategy {
                    role: role(),
                    setting,
                    why,
                })?;
                Vec::new()
            }
        };
        let allowed = match self.role {
            role if role == Role::AGENT && count != 1 => Some("one"),
            _ if count == 0 || count > usize::from(u16::MAX) => Some("1 to 65535"),
            _ => None,
        };
        if let Some(allowed) = allowed {
            return Err(PlanError::Count { role: role(), count, allowed });
        }
        let patience = [("ready_timeout", ready_timeout), ("give_up_after", give_up_after)];
        // No time at all can be meant.
        let stop = Some(("stop_timeout", stop_timeout)).filter(|(_, time)| !time.is_zero());
        let beats = heartbeat.map(|beat| {
            [("the interval of the heartbeat", beat.interval), ("the timeout of the heartbeat", beat.timeout)]
        });
        for (setting, value) in patience.into_iter().chain(stop).chain(beats.into_iter().flatten()).chain(strategy) {
            time(&format!("{setting} of role {}", self.role), value)?;
        }
        if let Some(Err((setting, why))) = heartbeat.map(|heartbeat| heartbeat.check()) {
            return Err(PlanError::Heartbeat { role: role(), setting, why });
        }
        let RoleSettings { runtime_threads, oom_score, .. } = self.settings;
        let setting = |name: &str| format!("{name} of role {}", self.role);
        number(setting("runtime_threads"), runtime_threads as i64, 1..=1024, "1 to 1024")?;
        number(setting("oom_score"), oom_score.into(), 0..=1000, "0 to 1000")?;
        match self.settings.idle.first() {
            Some(setting) => Err(PlanError::IdleSetting { role: role(), setting }),
            None => Ok(()),
        }
    }
}

pub(super) fn time(setting: &str, value: Duration) -> Result<(), PlanError> {
    match value.is_zero() || value > LONGEST {
        true => Err(PlanError::Time { setting: setting.to_owned(), value }),
        false => Ok(()),
    }
}

pub(super) fn number(
    setting: impl Into<String>,
    value: i64,
    range: RangeInclusive<i64>,
    allowed: &'static str,
) -> Result<(), PlanError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(PlanError::Number { setting: setting.into(), value, allowed }),
    }
}
