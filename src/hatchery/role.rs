//! What can be said of one role: how many, how patient, and who decides.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::Heartbeat;
use crate::identity::Role;
use crate::process::{Executable, contain};
use crate::supervision::{
    Answer, Backoff, Dice, Directive, Fact, Intensity, Misfit, OnException, OneForOne, Reason, RestartType, Strategy,
    View,
};

/// Settings of one role. See [`Hatchery::tune`](crate::Hatchery::tune).
pub struct RoleSettings {
    pub(crate) count: usize,
    pub(crate) ready_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) give_up_after: Duration,
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) strategy: Choice,
    pub(crate) environment: Vec<(OsString, Option<OsString>)>,
    pub(crate) executable: Executable,
    pub(crate) runtime_threads: usize,
    pub(crate) oom_score: i32,
    pub(crate) capture_stderr: bool,
    pub(crate) stays: bool,
    pub(crate) overlap: bool,
    /// Settings of the built-in strategy that were made although another one decides.
    pub(crate) idle: Vec<&'static str>,
}

/// Who decides: the built-in strategy, which has settings of its own, or the user's.
pub(crate) enum Choice {
    BuiltIn(OneForOne),
    Own(Arc<dyn Strategy>),
}

impl RoleSettings {
    pub(crate) fn of(role: Role, count: usize) -> RoleSettings {
        let is_agent = role == Role::AGENT;
        RoleSettings {
            count,
            ready_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
            heartbeat: None,
            strategy: Choice::BuiltIn(if is_agent { OneForOne::agent() } else { OneForOne::worker() }),
            environment: Vec::new(),
            executable: Executable::Running,
            runtime_threads: 1,
            oom_score: if is_agent { 250 } else { 500 },
            capture_stderr: false,
            stays: is_agent,
            overlap: !is_agent,
            idle: Vec::new(),
        }
    }

    pub(crate) fn strategy_value(&self, role: Role) -> Arc<dyn Strategy> {
        match &self.strategy {
            Choice::BuiltIn(strategy) => Arc::new(strategy.clone()),
            Choice::Own(strategy) => Arc::new(Guarded { strategy: strategy.clone(), role }),
        }
    }

    /// How many members the role has.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.count = count;
        self
    }

    /// How long a member may take from its start to [`ready`](crate::Context::ready). Then it is killed: before the
    /// cluster was ready the start has failed, later it counts as a young death. Default 60 s.
    pub fn ready_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.ready_timeout = timeout;
        self
    }

    /// How long a member may take to stop when the cluster does. Then it is killed, with its descendants. Default 5 s. No
    /// time at all is OTP's `brutal_kill`: it is killed as soon as it is to go, whatever it has begun.
    pub fn stop_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.stop_timeout = timeout;
        self
    }

    /// Nobody of the role ready for this long, and the cluster gives up: stopped in order, exit code 3. Being ready for
    /// less than a second does not count; whoever is starting when the time is over still has a chance. Default 60 s.
    pub fn give_up_after(&mut self, span: Duration) -> &mut Self {
        self.give_up_after = span;
        self
    }

    /// Has the members asked whether their runtime turns over, and replaced when it does not. Default `None`: nobody is
    /// asked, and a member that is stuck keeps its slot. A second is a good interval for those who serve a port; see
    /// [`Heartbeat`] for what is noticed and what is not.
    ///
    /// A member may block for as long as the timeout of this; one that is meant to block longer does it in
    /// `spawn_blocking`. Whoever works with a debugger has more peace without it.
    pub fn heartbeat(&mut self, heartbeat: impl Into<Option<Heartbeat>>) -> &mut Self {
        self.heartbeat = heartbeat.into();
        self
    }

    /// Sets a variable in the environment of the members.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable from the environment of the members.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Another program than the running one, which must be built on the same version of this crate and declare the same
    /// plan. It gets the same arguments.
    pub fn executable(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.executable = Executable::Path(path.into());
        self
    }

    /// Threads of the tokio runtime that a member's code runs on. Default 1: a current-thread runtime, since there are
    /// as many workers as cores. No more than that [in threads](crate::Hatchery::in_threads).
    pub fn runtime_threads(&mut self, threads: usize) -> &mut Self {
        self.runtime_threads = threads;
        self
    }

    /// By how much a member is the likelier victim of the kernel when memory runs out, 0 to 1000. Default 500, of the
    /// agent 250: the master goes last. Without effect in threads.
    pub fn oom_score(&mut self, by: i32) -> &mut Self {
        self.oom_score = by;
        self
    }

    /// Whether a member's stderr goes through the master for all of its life, so that the record of every end has its
    /// last lines. Otherwise only until it is ready. A reader of the master's stderr that stalls then costs lines, and
    /// never makes a member wait. Without effect in threads.
    pub fn capture_stderr(&mut self, capture: bool) -> &mut Self {
        self.capture_stderr = capture;
        self
    }

    /// Whether a member lives on for its handlers when its function has returned `Ok`, or panicked. Default of the agent
    /// yes, of all others no: it leaves, and its restart type decides.
    pub fn outlives_function(&mut self, outlives: bool) -> &mut Self {
        self.stays = outlives;
        self
    }

    /// Whether a restart that an operator asks for starts the successor while the old process drains. Default of the agent
    /// no, there is to be one of it at a time; of all others yes.
    pub fn overlap(&mut self, overlap: bool) -> &mut Self {
        self.overlap = overlap;
        self
    }

    /// When a member that ended is started again. Default permanent. Of the built-in strategy.
    pub fn restart(&mut self, restart: RestartType) -> &mut Self {
        self.built_in("restart", |strategy| strategy.restart(restart))
    }

    /// What follows an exception. Default of the agent [`OnException::Ignore`], of all others to replace it with 30 s
    /// to drain. Of the built-in strategy.
    pub fn on_exception(&mut self, exception: OnException) -> &mut Self {
        self.built_in("on_exception", |strategy| strategy.on_exception(exception))
    }

    /// From when on a member counts as having been of use, measured from its ready: its end is then followed by a
    /// restart without backoff, every time. Default 1 s. Of the built-in strategy.
    pub fn stable_after(&mut self, span: Duration) -> &mut Self {
        self.built_in("stable_after", |strategy| strategy.stable_after(span))
    }

    /// The delay before every restart. Default of the agent 1 s, of all others none. Of the built-in strategy.
    pub fn restart_delay(&mut self, delay: Duration) -> &mut Self {
        self.built_in("restart_delay", |strategy| strategy.delay(delay))
    }

    /// How restarts slow down while a member fails young. Of the built-in strategy.
    pub fn backoff(&mut self, backoff: Backoff) -> &mut Self {
        self.built_in("backoff", |strategy| strategy.backoff(backoff))
    }

    /// How many young failures of one slot are still restarted. One more within the period, and the slot is parked; its
    /// siblings serve. Default 5 in 30 s. `None`: no limit of any kind, and no backoff. Of the built-in strategy.
    pub fn restart_limit(&mut self, limit: impl Into<Option<Intensity>>) -> &mut Self {
        let limit = limit.into();
        self.built_in("restart_limit", |strategy| match limit {
            Some(limit) => strategy.intensity(limit),
            None => strategy.unlimited(),
        })
    }

    /// How long a parked slot waits for its next chance. Default 1 s, doubling to 30 s. Of the built-in strategy.
    pub fn probe(&mut self, probe: Backoff) -> &mut Self {
        self.built_in("probe", |strategy| strategy.probe(probe))
    }

    /// How many failures of the whole role, of any age, go without backoff. Default 60 in 60 s. Of the built-in strategy.
    pub fn role_restart_limit(&mut self, limit: Intensity) -> &mut Self {
        self.built_in("role_restart_limit", |strategy| strategy.role_intensity(limit))
    }

    /// Another strategy, in place of the built-in one; of a function, see [`from_fn`](crate::supervision::from_fn). It has
    /// no use for the settings of that: to make one of them afterwards is an error of the plan. If it panics, the cluster
    /// gives up, and names it: stopped in order, exit code 3.
    pub fn strategy(&mut self, strategy: impl Strategy) -> &mut Self {
        self.strategy = Choice::Own(Arc::new(strategy));
        self
    }

    fn built_in(&mut self, name: &'static str, change: impl FnOnce(OneForOne) -> OneForOne) -> &mut Self {
        match &self.strategy {
            Choice::BuiltIn(strategy) => self.strategy = Choice::BuiltIn(change(strategy.clone())),
            Choice::Own(_) => self.idle.push(name),
        }
        self
    }
}

/// A strategy of the user's. It is the one piece of the user's code that runs in the master: if it panics the cluster is
/// stopped in order, as when it gives up, rather than left without a master.
struct Guarded {
    strategy: Arc<dyn Strategy>,
    role: Role,
}

impl Strategy for Guarded {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, dice: &mut Dice) -> Answer {
        match contain(|| self.strategy.decide(fact, view, dice)) {
            Ok(answer) => answer,
            Err(text) => {
                let (name, role) = (self.strategy.name(), self.role);
                Directive::Escalate(Reason::new(format!("the strategy of role {role} panicked: {text} (in {name})")))
                    .into()
            }
        }
    }

    fn restart_type(&self) -> Option<RestartType> {
        self.strategy.restart_type()
    }

    fn is_significant(&self) -> bool {
        self.strategy.is_significant()
    }

    fn check(&self) -> Result<(), Misfit> {
        self.strategy.check()
    }

    fn name(&self) -> &'static str {
        self.strategy.name()
    }
}

impl fmt::Debug for RoleSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleSettings")
            .field("count", &self.count)
            .field("ready_timeout", &self.ready_timeout)
            .field("stop_timeout", &self.stop_timeout)
            .field("give_up_after", &self.give_up_after)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}
