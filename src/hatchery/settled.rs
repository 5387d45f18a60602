//! The plan of a cluster, checked before anything is bound or started.

mod checks;
#[cfg(feature = "log")]
mod logs;
#[cfg(feature = "schedule")]
mod schedules;
#[cfg(test)]
mod tests;

#[cfg(feature = "simulation")]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::checks::{fit_for_threads, is_plain, name_listeners, number, rank, time};
#[cfg(feature = "schedule")]
use self::schedules::schedule;
use super::ContextFn;
use super::Hatchery;
use super::plan_error::PlanError;
use super::role::{Choice, RoleSettings};
use crate::actors::{Blueprint, RoleBlueprint};
use crate::cluster::{Cluster, Logbook};
use crate::context::Context;
use crate::identity::Role;
use crate::listener::Sharing;
use crate::member::{self, Habits, Inside, RoleInside};
use crate::process::Address;
#[cfg(feature = "simulation")]
use crate::supervision::OneForOne;
use crate::supervision::{Plan, RolePlan};
use crate::threads::Program;
use crate::transport::{Directory, Limits, PAYLOAD_CEILING, ShelfRules};

/// A plan that can be carried out: its roles in their order, its listeners with their names, and what holds for all.
pub(super) struct Settlement {
    pub(super) roles: Vec<Settled>,
    pub(super) listeners: Vec<(String, Address)>,
    pub(super) name: Option<String>,
    program: String,
    adopt: bool,
    threads: bool,
    sharing: Sharing,
    backlog: i32,
    orphan_grace: Duration,
    limits: Limits,
    shelf: ShelfRules,
    logbook: Option<Arc<dyn Logbook>>,
}

impl Settlement {
    fn directory(&self) -> Directory {
        Directory::new(self.roles.iter().map(|settled| (settled.role, settled.settings.count as u16)))
    }

    /// What becomes of it in a member.
    pub(super) fn become_member(self) -> ! {
        let directory = self.directory();
        let roles = self.roles.into_iter().map(|settled| (settled.role, settled.inside()));
        member::enter(directory, roles.collect())
    }

    /// How long a start takes at most, until all are ready or nobody is left: what orphans hold its address; each role its time to
    /// come, its time to leave and what those take who were killed and do not go; and what is neither.
    #[cfg(feature = "cli")]
    pub(super) fn longest_start(&self) -> Duration {
        const KILLED: Duration = Duration::from_secs(5);
        // To look up a name, to start processes on a machine that has no time.
        const REST: Duration = Duration::from_secs(20);
        let of_role = |settled: &Settled| settled.settings.ready_timeout + settled.settings.stop_timeout + KILLED;
        self.orphan_grace + self.roles.iter().map(of_role).sum::<Duration>() + REST
    }

    /// What becomes of it in a simulation: the master's part, the members', and for whom the built-in strategy decides.
    #[cfg(feature = "simulation")]
    pub(super) fn simulated(self) -> Simulated {
        let roles = self.roles.iter().map(|settled| (settled.role, settled.inside())).collect();
        let built_in = |settled: &Settled| match &settled.settings.strategy {
            Choice::BuiltIn(strategy) => Some((settled.role, strategy.clone())),
            Choice::Own(_) => None,
        };
        let built_in = self.roles.iter().filter_map(built_in).collect();
        Simulated { roles, built_in, cluster: self.cluster() }
    }

    /// What becomes of it in the master.
    pub(super) fn cluster(self) -> Cluster {
        // One way of sharing, today: the sockets are lent as they are.
        let Sharing::OneSocket = self.sharing;
        let directory = Arc::new(self.directory());
        let roles = self.roles.iter().map(|settled| (settled.role, settled.inside()));
        let in_threads = self.threads.then(|| Arc::new(Program::new(self.directory(), roles.collect())));
        let plan = Plan::new(self.roles.iter().map(Settled::plan).collect());
        let Settlement {
            roles, listeners, name, program, adopt, backlog, orphan_grace, limits, shelf, logbook, ..
        } = self;
        let blueprint = Blueprint {
            program,
            cluster: name,
            directory,
            limits,
            shelf,
            orphan_grace,
            listeners: Vec::new(),
            roles: roles.into_iter().map(Settled::blueprint).collect(),
            // Each start has one of its own.
            clerk: None,
        };
        Cluster { plan, blueprint, listeners, backlog, adopt, program: in_threads, logbook }
    }
}

/// A plan as a simulation has it.
#[cfg(feature = "simulation")]
pub(crate) struct Simulated {
    pub(crate) cluster: Cluster,
    pub(crate) roles: BTreeMap<Role, RoleInside>,
    /// The roles for which the built-in strategy decides, and how it is set.
    pub(crate) built_in: BTreeMap<Role, OneForOne>,
}

/// A role as it will be run.
pub(super) struct Settled {
    pub(super) role: Role,
    pub(super) settings: RoleSettings,
    run: Arc<ContextFn>,
    /// Somebody writes down where its panics came from.
    backtraces: bool,
}

impl Hatchery {
    /// The plan, checked and in order.
    pub(super) fn settle(self) -> Result<Settlement, PlanError> {
        time("orphan_grace", self.orphan_grace)?;
        number("payload_limit", self.payload_limit as i64, 1..=PAYLOAD_CEILING as i64, "1 byte to 16 MiB")?;
        let value = self.kept_value_limit.unwrap_or(self.payload_limit);
        number("kept_value_limit", value as i64, 1..=self.payload_limit as i64, "1 byte to the payload limit")?;
        number("kept_limit", self.kept_limit.min(i64::MAX as usize) as i64, 128..=i64::MAX, "at least 128 bytes")?;
        number("backlog", self.backlog.into(), 1..=i32::MAX.into(), "at least 1")?;
        if let Some(name) = self.name.as_ref().filter(|name| !is_plain(name)) {
            return Err(PlanError::BadClusterName(name.clone()));
        }
        let mut roles: Vec<Settled> = Vec::new();
        for (role, declared) in rank(self.roles)? {
            let mut settings = RoleSettings::of(role, declared.count);
            if let Some(strategy) = &self.strategy {
                settings.strategy = Choice::Own(strategy.clone());
            }
            roles.push(Settled { role, settings, run: declared.run, backtraces: false });
        }
        for (name, tune) in self.tuning {
            let found = roles.iter_mut().find(|settled| settled.role.name() == name);
            tune(&mut found.ok_or(PlanError::NoSuchRole(name))?.settings);
        }
        roles.iter().try_for_each(Settled::check)?;
        if self.threads {
            fit_for_threads(&roles, self.adopt)?;
        }
        let named = |name: String| {
            let found = roles.iter().find(|settled| settled.role.name() == name);
            found.map(|settled| settled.role).ok_or(PlanError::NoSuchRole(name))
        };
        let publishers =
            self.publishers.map(|names| names.into_iter().map(named).collect::<Result<_, _>>()).transpose()?;
        #[cfg(feature = "schedule")]
        schedule(&mut roles, self.schedules, self.payload_limit)?;
        #[cfg(feature = "log")]
        let logbook = logs::logs(&mut roles, self.logs, self.payload_limit)?;
        #[cfg(not(feature = "log"))]
        let logbook = None;
        let shelf = ShelfRules { value, total: self.kept_limit, publishers };
        let listeners = name_listeners(self.listeners)?;
        roles.sort_by_key(|settled| settled.role);
        if roles.is_empty() {
            return Err(PlanError::Empty);
        }
        Ok(Settlement {
            roles,
            listeners,
            name: self.name,
            program: self.program,
            adopt: self.adopt,
            threads: self.threads,
            sharing: self.sharing,
            backlog: self.backlog,
            orphan_grace: self.orphan_grace,
            limits: Limits { payload: self.payload_limit },
            shelf,
            logbook,
        })
    }
}

impl Settled {
    pub(super) fn plan(&self) -> RolePlan {
        RolePlan {
            role: self.role,
            count: self.settings.count as u16,
            max_count: if self.role == Role::AGENT { 1 } else { u16::MAX },
            overlap: self.settings.overlap,
            ready_timeout: self.settings.ready_timeout,
            stop_timeout: self.settings.stop_timeout,
            give_up_after: self.settings.give_up_after,
            strategy: self.settings.strategy_value(self.role),
        }
    }

    pub(super) fn blueprint(self) -> RoleBlueprint {
        let RoleSettings { executable, environment, heartbeat, .. } = self.settings;
        RoleBlueprint { role: self.role, executable, environment, heartbeat }
    }

    pub(super) fn inside(&self) -> RoleInside {
        let RoleSettings { runtime_threads, oom_score, capture_stderr, stop_timeout, stays, .. } = self.settings;
        let (run, backtraces) = (self.run.clone(), self.backtraces);
        let (habits, run) = (
            Habits { stays },
            Arc::new(move |inside: Inside| {
                let cx = Context::new(inside);
                #[cfg(feature = "control")]
                crate::control::install(&cx);
                run(cx)
            }),
        );
        RoleInside { habits, runtime_threads, oom_score, capture_stderr, stop_timeout, backtraces, run }
    }
}
