//! The plan of a cluster, written down by its user, and what becomes of it: a master, or one of its members.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::{Blueprint, RoleBlueprint};
use crate::context::Context;
use crate::error::{BoxError, chain};
use crate::identity::Role;
use crate::listener::Sharing;
use crate::member::{self, Habits, Inside, RoleFn, RoleInside};
use crate::plan_error::PlanError;
use crate::process::{Address, settle};
use crate::role::RoleSettings;
use crate::run;
use crate::supervision::{Plan, RolePlan};
use crate::transport::{Directory, Limits, PAYLOAD_CEILING};

/// As many workers as this process may use cores: what the cpuset and the quota of its control group leave of the
/// machine's.
pub fn per_core() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The plan of a cluster: its roles, its listeners, its limits.
///
/// Declared in `main` before anything else of importance, and [`run`](Hatchery::run) last: every process of the cluster
/// is this program started again, comes along here, and finds out in `run` who it is.
#[must_use = "a plan does nothing until it is run"]
pub struct Hatchery {
    program: String,
    roles: Vec<Declared>,
    tuning: Vec<(String, Tune)>,
    listeners: Vec<(Option<String>, Address)>,
    sharing: Sharing,
    backlog: i32,
    orphan_grace: Duration,
    payload_limit: usize,
}

/// A role as it was declared.
struct Declared {
    name: String,
    count: usize,
    run: Box<RoleFn>,
}

type Tune = Box<dyn FnOnce(&mut RoleSettings)>;

/// A role as it will be run.
struct Settled {
    role: Role,
    settings: RoleSettings,
    run: Box<RoleFn>,
}

/// Longer than this nobody means.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// As many descriptors as can be lent without filling the socket that carries them.
const LISTENERS: usize = 64;

/// Ranks are a byte, and those before the workers are half of them.
const ROLES: usize = 100;

/// Connections that nobody has accepted yet. The kernel's own limit comes first where it is lower.
const BACKLOG: i32 = 1024;

impl Hatchery {
    /// An empty plan.
    pub fn new() -> Hatchery {
        let program = std::env::args_os().next().unwrap_or_default();
        // In a member this is its title, and nobody asks.
        let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Hatchery {
            program,
            roles: Vec::new(),
            tuning: Vec::new(),
            listeners: Vec::new(),
            sharing: Sharing::default(),
            backlog: BACKLOG,
            orphan_grace: Duration::from_secs(5),
            payload_limit: 1 << 20,
        }
    }

    /// The name of the program in `ps`, in front of the slot. Default: that of the file it was started as.
    pub fn program(mut self, name: impl Into<String>) -> Hatchery {
        self.program = name.into();
        self
    }

    /// Has the master bind an address, before anything is started, and lend it to the members: `host:port`, or
    /// `unix:/path`. With port 0, the port that is found is everybody's.
    pub fn listen(mut self, address: impl Into<Address>) -> Hatchery {
        self.listeners.push((None, address.into()));
        self
    }

    /// The same with a name, for when there are several.
    pub fn listen_named(mut self, name: impl Into<String>, address: impl Into<Address>) -> Hatchery {
        self.listeners.push((Some(name.into()), address.into()));
        self
    }

    /// How the workers share a port.
    pub fn sharing(mut self, sharing: Sharing) -> Hatchery {
        self.sharing = sharing;
        self
    }

    /// How many connections may wait to be accepted. Default 1024; the kernel's own limit comes first.
    pub fn backlog(mut self, backlog: i32) -> Hatchery {
        self.backlog = backlog;
        self
    }

    /// How long members may outlive a master that was killed. They finish what they can; then they end themselves, with
    /// their process groups. Default 5 s.
    pub fn orphan_grace(mut self, grace: Duration) -> Hatchery {
        self.orphan_grace = grace;
        self
    }

    /// The longest payload of a message, in bytes. Default 1 MiB, at most 16 MiB. Every queue has room for one.
    pub fn payload_limit(mut self, bytes: usize) -> Hatchery {
        self.payload_limit = bytes;
        self
    }

    /// Declares the agent: one process, started before all others and stopped after them.
    pub fn agent<F, Fut, E>(self, run: F) -> Hatchery
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + 'static,
        E: Into<BoxError>,
    {
        self.role(Role::AGENT.name(), 1, run)
    }

    /// Declares the workers.
    pub fn workers<F, Fut, E>(self, count: usize, run: F) -> Hatchery
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + 'static,
        E: Into<BoxError>,
    {
        self.role(Role::WORKER.name(), count, run)
    }

    /// Declares a role of its own. Roles are started in the order of their declaration, but the agent is always first.
    pub fn role<F, Fut, E>(mut self, name: impl Into<String>, count: usize, run: F) -> Hatchery
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + 'static,
        E: Into<BoxError>,
    {
        let run = move |inside: Inside| -> member::RoleFuture {
            let work = run(Context::new(inside));
            Box::pin(async move { work.await.map_err(|error| chain(&*error.into())) })
        };
        self.roles.push(Declared { name: name.into(), count, run: Box::new(run) });
        self
    }

    /// Changes settings of a role, in whatever order they are declared.
    pub fn tune(mut self, role: impl AsRef<str>, change: impl FnOnce(&mut RoleSettings) + 'static) -> Hatchery {
        self.tuning.push((role.as_ref().to_owned(), Box::new(change)));
        self
    }

    /// Runs the cluster, or the one member that this process is.
    ///
    /// In the master it returns when the cluster has ended: with 0 when it was asked to stop, 1 when it could not start,
    /// 2 when the plan or the way it was called is at fault, 3 when it gave up. Other than for 0 it has said why on
    /// stderr, in one sentence. In a member it does not return.
    ///
    /// TERM, INT and QUIT stop it in order; a second one kills. Not to be called from within a tokio runtime: members
    /// must be told apart before any thread exists.
    pub fn run(self) -> ExitCode {
        match self.try_run() {
            Ok(code) => code,
            Err(error) => {
                eprintln!("hatchery: {error}");
                ExitCode::from(2)
            }
        }
    }

    fn try_run(self) -> Result<ExitCode, RunError> {
        let argv0 = std::env::args_os().next().unwrap_or_default();
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(RunError::InsideRuntime);
        }
        let (program, sharing, backlog) = (self.program.clone(), self.sharing, self.backlog);
        let (orphan_grace, limits) = (self.orphan_grace, Limits { payload: self.payload_limit });
        let (roles, listeners) = self.settle()?;
        let directory = Directory::new(roles.iter().map(|settled| (settled.role, settled.settings.count as u16)));
        if settle::claimed(&argv0).is_some() {
            let roles = roles.into_iter().map(|settled| (settled.role, settled.inside()));
            member::enter(directory, roles.collect());
        }
        // One way of sharing, today: the sockets are lent as they are.
        let Sharing::OneSocket = sharing;
        let plan = Plan::new(roles.iter().map(Settled::plan).collect());
        let blueprint = Blueprint {
            program,
            directory: Arc::new(directory),
            limits,
            orphan_grace,
            listeners: Vec::new(),
            roles: roles.into_iter().map(Settled::blueprint).collect(),
        };
        Ok(run::master(plan, blueprint, &listeners, backlog))
    }

    /// The plan, checked and in order.
    fn settle(self) -> Result<(Vec<Settled>, Vec<(String, Address)>), PlanError> {
        time("orphan_grace", self.orphan_grace)?;
        number("payload_limit", self.payload_limit as i64, 1..=PAYLOAD_CEILING as i64, "1 byte to 16 MiB")?;
        number("backlog", self.backlog.into(), 1..=i32::MAX.into(), "at least 1")?;
        let listeners = name_listeners(self.listeners)?;
        let mut settled: Vec<Settled> = Vec::new();
        for (role, declared) in rank(self.roles)? {
            let settings = RoleSettings::of(role, declared.count);
            settled.push(Settled { role, settings, run: declared.run });
        }
        for (name, tune) in self.tuning {
            let found = settled.iter_mut().find(|settled| settled.role.name() == name);
            tune(&mut found.ok_or(PlanError::NoSuchRole(name))?.settings);
        }
        settled.iter().try_for_each(Settled::check)?;
        settled.sort_by_key(|settled| settled.role);
        match settled.is_empty() {
            true => Err(PlanError::Empty),
            false => Ok((settled, listeners)),
        }
    }
}

impl Default for Hatchery {
    fn default() -> Hatchery {
        Hatchery::new()
    }
}

impl fmt::Debug for Hatchery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<_> = self.roles.iter().map(|role| (&role.name, role.count)).collect();
        f.debug_struct("Hatchery").field("roles", &roles).field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error(
        "run() was called from within a tokio runtime: call it from a main that is not `#[tokio::main]`, \
         and move what needs a runtime into the role functions"
    )]
    InsideRuntime,
}

/// Gives each role its rank: the agent first, the others as they were declared, around the workers' fixed one.
fn rank(declared: Vec<Declared>) -> Result<Vec<(Role, Declared)>, PlanError> {
    let workers = declared.iter().position(|role| role.name == Role::WORKER.name());
    let mut ranked: Vec<(Role, Declared)> = Vec::new();
    for (position, declared) in declared.into_iter().enumerate() {
        let is_plain = declared.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_plain || declared.name.is_empty() || declared.name.len() > 64 {
            return Err(PlanError::BadName(declared.name));
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

/// Every listener has a name. The only one need not be given any.
fn name_listeners(declared: Vec<(Option<String>, Address)>) -> Result<Vec<(String, Address)>, PlanError> {
    if declared.len() > LISTENERS {
        return Err(PlanError::Listeners(format!("there are {}, and {LISTENERS} at most", declared.len())));
    }
    let mut named: Vec<(String, Address)> = Vec::new();
    for (name, address) in declared {
        let name = name.unwrap_or_else(|| address.to_string());
        if named.iter().any(|(other, _)| *other == name) {
            return Err(PlanError::Listeners(format!("two are called {name:?}")));
        }
        named.push((name, address));
    }
    Ok(named)
}

impl Settled {
    fn check(&self) -> Result<(), PlanError> {
        let role = || self.role.name().to_owned();
        let RoleSettings { count, ready_timeout, stop_timeout, give_up_after, .. } = self.settings;
        let allowed = match self.role {
            role if role == Role::AGENT && count != 1 => Some("there is one agent"),
            _ if count == 0 || count > usize::from(u16::MAX) => Some("1 to 65535"),
            _ => None,
        };
        if let Some(allowed) = allowed {
            return Err(PlanError::Count { role: role(), count, allowed });
        }
        for (setting, value) in
            [("ready_timeout", ready_timeout), ("stop_timeout", stop_timeout), ("give_up_after", give_up_after)]
        {
            time(&format!("{setting} of role {}", self.role), value)?;
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

    fn plan(&self) -> RolePlan {
        RolePlan {
            role: self.role,
            count: self.settings.count as u16,
            ready_timeout: self.settings.ready_timeout,
            stop_timeout: self.settings.stop_timeout,
            give_up_after: self.settings.give_up_after,
            strategy: self.settings.strategy_value(),
        }
    }

    fn blueprint(self) -> RoleBlueprint {
        let RoleSettings { executable, environment, .. } = self.settings;
        RoleBlueprint { role: self.role, executable, environment }
    }

    fn inside(self) -> RoleInside {
        let RoleSettings { runtime_threads, oom_score, capture_stderr, stop_timeout, stays, .. } = self.settings;
        let (habits, run) = (Habits { stays }, self.run);
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

    async fn role(_: Context) -> crate::Result<()> {
        Ok(())
    }

    fn plan() -> Hatchery {
        Hatchery::new().agent(role).workers(2, role)
    }

    fn complaint(plan: Hatchery) -> String {
        plan.settle().err().map(|error| error.to_string()).unwrap_or_else(|| "none".into())
    }

    #[test]
    fn a_plan_that_cannot_be_meant_is_refused_with_the_name_of_the_setting() {
        let secs = Duration::from_secs;
        let rows = [
            (plan(), "none"),
            (Hatchery::new().workers(1, role), "none"),
            (Hatchery::new(), "the plan has no roles"),
            (Hatchery::new().workers(0, role), "role worker has 0 members: 1 to 65535"),
            (Hatchery::new().workers(70_000, role), "role worker has 70000 members"),
            (
                plan().tune("agent", |agent| {
                    agent.count(2);
                }),
                "role agent has 2 members: there is one agent",
            ),
            (plan().agent(role), "role agent is declared twice"),
            (plan().role("a/b", 1, role), "role \"a/b\" cannot be called so"),
            (plan().role("", 1, role), "role \"\" cannot be called so"),
            (plan().tune("mailer", |_| {}), "there are settings for role mailer, which is not declared"),
            (plan().orphan_grace(Duration::ZERO), "orphan_grace is 0ns"),
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
            (plan().payload_limit(0), "payload_limit is 0"),
            (plan().payload_limit(17 << 20), "payload_limit is 17825792: it must be 1 byte to 16 MiB"),
            (plan().listen("a:1").listen("a:1"), "listeners: two are called \"a:1\""),
        ];
        for (plan, expected) in rows {
            let complaint = complaint(plan);
            assert!(complaint.contains(expected), "{complaint:?} does not say {expected:?}");
        }
        let own = plan().tune("worker", |worker| {
            worker.strategy(crate::supervision::OneForOne::worker()).restart_limit(None);
        });
        assert!(complaint(own).contains("restart_limit is a setting of the built-in strategy"));
    }

    #[test]
    fn the_agent_is_first_and_the_others_keep_the_order_of_their_declaration() {
        let plan = Hatchery::new()
            .role("cache", 1, role)
            .workers(2, role)
            .role("mailer", 1, role)
            .role("audit", 1, role)
            .agent(role);
        let (roles, _) = plan.settle().expect("a good plan");
        let names: Vec<_> = roles.iter().map(|settled| settled.role.name()).collect();
        assert_eq!(names, ["agent", "cache", "worker", "mailer", "audit"]);
    }
}
