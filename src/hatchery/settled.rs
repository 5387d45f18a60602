//! The plan of a cluster, checked before anything is bound or started.

use std::sync::Arc;
use std::time::Duration;

use super::plan_error::PlanError;
use super::role::{Choice, RoleSettings};
use super::{Declared, Hatchery};
use crate::actors::{Blueprint, RoleBlueprint};
use crate::cluster::Cluster;
use crate::identity::Role;
use crate::listener::Sharing;
use crate::member::{self, Habits, RoleFn, RoleInside};
use crate::process::{Address, Executable};
use crate::supervision::{Misfit, Plan, RolePlan};
use crate::threads::Program;
use crate::transport::{Directory, Limits, PAYLOAD_CEILING};

/// Longer than this nobody means.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// As many descriptors as can be lent without filling the socket that carries them.
const LISTENERS: usize = 64;

/// Ranks are a byte, and those before the workers are half of them.
const ROLES: usize = 100;

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

    /// What becomes of it in a simulation: the master's part, and the members'.
    #[cfg(feature = "simulation")]
    pub(super) fn simulated(self) -> (Cluster, Vec<(Role, RoleInside)>) {
        let roles = self.roles.iter().map(|settled| (settled.role, settled.inside())).collect();
        (self.cluster(), roles)
    }

    /// What becomes of it in the master.
    pub(super) fn cluster(self) -> Cluster {
        // One way of sharing, today: the sockets are lent as they are.
        let Sharing::OneSocket = self.sharing;
        let directory = Arc::new(self.directory());
        let roles = self.roles.iter().map(|settled| (settled.role, settled.inside()));
        let in_threads = self.threads.then(|| Arc::new(Program::new(self.directory(), roles.collect())));
        let plan = Plan::new(self.roles.iter().map(Settled::plan).collect());
        let Settlement { roles, listeners, name, program, adopt, backlog, orphan_grace, limits, .. } = self;
        let blueprint = Blueprint {
            program,
            cluster: name,
            directory,
            limits,
            orphan_grace,
            listeners: Vec::new(),
            roles: roles.into_iter().map(Settled::blueprint).collect(),
        };
        Cluster { plan, blueprint, listeners, backlog, adopt, program: in_threads }
    }
}

/// A role as it will be run.
pub(super) struct Settled {
    pub(super) role: Role,
    pub(super) settings: RoleSettings,
    run: Arc<RoleFn>,
}

impl Hatchery {
    /// The plan, checked and in order.
    pub(super) fn settle(self) -> Result<Settlement, PlanError> {
        time("orphan_grace", self.orphan_grace)?;
        number("payload_limit", self.payload_limit as i64, 1..=PAYLOAD_CEILING as i64, "1 byte to 16 MiB")?;
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
            roles.push(Settled { role, settings, run: declared.run });
        }
        for (name, tune) in self.tuning {
            let found = roles.iter_mut().find(|settled| settled.role.name() == name);
            tune(&mut found.ok_or(PlanError::NoSuchRole(name))?.settings);
        }
        roles.iter().try_for_each(Settled::check)?;
        if self.threads {
            fit_for_threads(&roles, self.adopt)?;
        }
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
        })
    }
}

/// Gives each role its rank: the agent first, the others as they were declared, around the workers' fixed one.
fn rank(declared: Vec<Declared>) -> Result<Vec<(Role, Declared)>, PlanError> {
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
fn is_plain(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    plain && !name.is_empty() && name.len() <= 64
}

/// Every listener has a name. The only one need not be given any.
fn name_listeners(declared: Vec<(Option<String>, Address)>) -> Result<Vec<(String, Address)>, PlanError> {
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
fn fit_for_threads(roles: &[Settled], adopt: bool) -> Result<(), PlanError> {
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
    fn check(&self) -> Result<(), PlanError> {
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
        let patience =
            [("ready_timeout", ready_timeout), ("stop_timeout", stop_timeout), ("give_up_after", give_up_after)];
        let beats = heartbeat.map(|beat| {
            [("the interval of the heartbeat", beat.interval), ("the timeout of the heartbeat", beat.timeout)]
        });
        for (setting, value) in patience.into_iter().chain(beats.into_iter().flatten()).chain(strategy) {
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
        let (habits, run) = (Habits { stays }, self.run.clone());
        RoleInside { habits, runtime_threads, oom_score, capture_stderr, stop_timeout, run }
    }
}

fn time(setting: &str, value: Duration) -> Result<(), PlanError> {
    match value.is_zero() || value > LONGEST {
        true => Err(PlanError::Time { setting: setting.to_owned(), value }),
        false => Ok(()),
    }
}

fn number(
    setting: impl Into<String>,
    value: i64,
    range: std::ops::RangeInclusive<i64>,
    allowed: &'static str,
) -> Result<(), PlanError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(PlanError::Number { setting: setting.into(), value, allowed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::Heartbeat;
    use crate::Slot;
    use crate::supervision::{
        Answer, Backoff, Dice, Directive, Exit, Fact, Intensity, OnException, OneForAll, OneForOne, RestForOne,
        RestartType, Significant, Strategy, View,
    };

    async fn role(_: Context) -> crate::Result<()> {
        Ok(())
    }

    fn plan() -> Hatchery {
        Hatchery::new().agent(role).workers(2, role)
    }

    fn complaint(plan: Hatchery) -> String {
        plan.settle().err().map(|error| error.to_string()).unwrap_or_else(|| "none".into())
    }

    fn beating(heartbeat: Heartbeat) -> Hatchery {
        plan().tune("worker", move |worker| {
            worker.heartbeat(heartbeat);
        })
    }

    #[test]
    fn a_plan_that_cannot_be_meant_is_refused_with_the_name_of_the_setting() {
        let secs = Duration::from_secs;
        let rows = [
            (plan(), "none"),
            (Hatchery::new().workers(1, role), "none"),
            (Hatchery::new(), "the plan has no roles"),
            (Hatchery::new().workers(0, role), "role worker has 0 members: it must have 1 to 65535"),
            (Hatchery::new().workers(70_000, role), "role worker has 70000 members"),
            (
                plan().tune("agent", |agent| {
                    agent.count(2);
                }),
                "role agent has 2 members: it must have one",
            ),
            (plan().agent(role), "role agent is declared twice"),
            (plan().role("a/b", 1, role), "role \"a/b\" cannot be called so"),
            (plan().role("", 1, role), "role \"\" cannot be called so"),
            (plan().role("master", 1, role), "no role can be called \"master\""),
            (plan().tune("mailer", |_| {}), "there are settings for role mailer, which is not declared"),
            (plan().orphan_grace(Duration::ZERO), "orphan_grace is 0 s"),
            (
                plan().tune("worker", |worker| {
                    worker.ready_timeout(Duration::ZERO);
                }),
                "ready_timeout of role worker",
            ),
            (
                plan().tune("worker", |worker| {
                    worker.stop_timeout(Duration::MAX);
                }),
                "stop_timeout of role worker",
            ),
            (
                plan().tune("agent", move |agent| {
                    agent.give_up_after(secs(90 * 86_400));
                }),
                "give_up_after of role agent",
            ),
            (
                plan().tune("worker", |worker| {
                    worker.runtime_threads(0);
                }),
                "runtime_threads of role worker is 0",
            ),
            (
                plan().tune("worker", |worker| {
                    worker.restart_delay(Duration::ZERO);
                }),
                "none",
            ),
            (
                plan().tune("worker", |worker| {
                    worker.restart_delay(Duration::MAX);
                }),
                "restart_delay of role worker",
            ),
            (
                plan().tune("worker", |worker| {
                    worker.on_exception(OnException::Replace { drain: Duration::MAX });
                }),
                "the drain of on_exception of role worker",
            ),
            (
                plan().tune("worker", |worker| {
                    worker.stable_after(Duration::ZERO);
                }),
                "stable_after of role worker is 0 s",
            ),
            (
                plan().tune("worker", move |worker| {
                    worker
                        .restart_limit(Intensity::new(5, Duration::ZERO))
                        .backoff(Backoff::doubling(secs(1), secs(2)));
                }),
                "the period of restart_limit of role worker is 0 s",
            ),
            (
                plan().tune("worker", |worker| {
                    worker.role_restart_limit(Intensity::new(5, Duration::MAX));
                }),
                "the period of role_restart_limit of role worker",
            ),
            (
                plan().tune("agent", move |agent| {
                    agent.backoff(Backoff::doubling(Duration::ZERO, secs(2)));
                }),
                "the base of backoff of role agent is 0 s",
            ),
            (
                plan().tune("agent", move |agent| {
                    agent.probe(Backoff::doubling(secs(1), Duration::MAX));
                }),
                "the max of probe of role agent",
            ),
            (beating(Heartbeat::default()), "none"),
            (beating(Heartbeat::every(secs(1)).missed(30)), "none"),
            (beating(Heartbeat::every(Duration::ZERO)), "the interval of the heartbeat of role worker is 0 s"),
            (beating(Heartbeat::default().timeout(Duration::MAX)), "the timeout of the heartbeat of role worker"),
            (
                beating(Heartbeat::every(Duration::from_millis(9))),
                "interval of the heartbeat of role worker: 9ms is shorter than 10ms",
            ),
            (beating(Heartbeat::default().missed(0)), "missed of the heartbeat of role worker: 0 is not 1 to 1000"),
            (
                beating(Heartbeat::default().missed(31)),
                "timeout of the heartbeat of role worker: 30s is shorter than 31 intervals of 1s",
            ),
            (
                beating(Heartbeat::default().missed(1).timeout(secs(1))),
                "timeout of the heartbeat of role worker: 1s is shorter than 2 intervals of 1s",
            ),
            (plan().in_threads(), "none"),
            (
                plan().in_threads().tune("worker", |worker| {
                    worker.runtime_threads(2);
                }),
                "runtime_threads of role worker cannot be had in threads: each member is one thread",
            ),
            (
                plan().in_threads().tune("agent", |agent| {
                    agent.env("A", "1");
                }),
                "the environment of role agent cannot be had in threads",
            ),
            (
                plan().in_threads().tune("worker", |worker| {
                    worker.executable("/bin/true");
                }),
                "executable of role worker cannot be had in threads",
            ),
            (plan().in_threads().adopt_descendants(true), "adopt_descendants cannot be had in threads"),
            (plan().payload_limit(0), "payload_limit is 0"),
            (plan().payload_limit(17 << 20), "payload_limit is 17825792: it must be 1 byte to 16 MiB"),
            (plan().listen("a:1").listen("a:1"), "listeners: two are called \"a:1\""),
        ];
        for (plan, expected) in rows {
            let complaint = complaint(plan);
            assert!(complaint.contains(expected), "{complaint:?} does not say {expected:?}");
        }
        let significant = |strategy: OneForOne| {
            complaint(plan().tune("worker", move |worker| {
                worker.strategy(RestForOne::new(Significant::any(strategy)));
            }))
        };
        let permanent = "significant of the strategy of role worker: a permanent member never ends by itself";
        assert!(significant(OneForOne::worker()).contains(permanent));
        assert_eq!(significant(OneForOne::worker().restart(RestartType::Transient)), "none");
        let own = plan().tune("worker", |worker| {
            worker.strategy(crate::supervision::OneForOne::worker()).restart_limit(None);
        });
        assert!(complaint(own).contains("restart_limit is a setting of the built-in strategy"));
    }

    #[test]
    fn a_strategy_for_all_roles_is_that_of_each_that_has_none_of_its_own() {
        let decides = |plan: Hatchery| {
            let Settlement { roles, .. } = plan.settle().expect("a good plan");
            roles.iter().map(|settled| settled.plan().strategy.restart_type()).collect::<Vec<_>>()
        };
        let temporary = || OneForOne::worker().restart(RestartType::Temporary);
        let (permanent, temporary_type) = (Some(RestartType::Permanent), Some(RestartType::Temporary));
        assert_eq!(decides(plan()), [permanent, permanent]);
        assert_eq!(decides(plan().strategy(temporary())), [temporary_type, temporary_type]);
        let own = plan().strategy(temporary()).tune("agent", |agent| {
            agent.strategy(OneForOne::agent());
        });
        assert_eq!(decides(own), [permanent, temporary_type]);
    }

    #[test]
    fn a_strategy_that_panics_gives_up_and_is_named_whether_it_is_for_one_role_or_for_all() {
        struct Hesitant;
        impl Strategy for Hesitant {
            fn decide(&self, _: &Fact<'_>, _: &View<'_>, _: &mut Dice) -> Answer {
                panic!("no idea")
            }
        }
        let one = plan().tune("worker", |worker| {
            worker.strategy(OneForAll::new(Hesitant));
        });
        for plan in [one, plan().strategy(Hesitant)] {
            let Settlement { roles, .. } = plan.settle().expect("a good plan");
            let worker = roles.last().expect("there are workers").plan();
            let answer = View::table(Slot::worker(0)).ask(&worker.strategy, &Fact::exited(Exit::signal(9)));
            let Directive::Escalate(reason) = answer.directive else { panic!("{answer:?}") };
            let reason = reason.to_string();
            assert!(reason.starts_with("the strategy of role worker panicked: "), "{reason}");
            assert!(reason.contains("no idea (in ") && reason.contains("Hesitant"), "{reason}");
        }
    }

    #[test]
    fn the_agent_is_first_and_the_others_keep_the_order_of_their_declaration() {
        let plan = Hatchery::new()
            .role("cache", 1, role)
            .workers(2, role)
            .role("mailer", 1, role)
            .role("audit", 1, role)
            .agent(role);
        let Settlement { roles, .. } = plan.settle().expect("a good plan");
        let names: Vec<_> = roles.iter().map(|settled| settled.role.name()).collect();
        assert_eq!(names, ["agent", "cache", "worker", "mailer", "audit"]);
    }
}
