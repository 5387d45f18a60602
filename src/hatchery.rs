//! The plan of a cluster, written down by its user, and what becomes of it: a master, or one of its members.

mod enter;
mod plan_error;
mod role;
mod settled;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::error::{BoxError, chain};
use crate::identity::Role;
use crate::listener::Sharing;
#[cfg(feature = "log")]
use crate::log::Logs;
use crate::member::RoleFuture;
use crate::process::{self, Address};
use crate::run::{self, Services};
#[cfg(feature = "schedule")]
use crate::schedule::{Job, Schedule, Tick, job};
use crate::supervision::Strategy;

/// As many workers as this process may use cores: what the cpuset and the quota of its control group leave of the
/// machine's.
pub fn per_core() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub use self::enter::{EnterError, enter, is_member};
pub use self::plan_error::PlanError;
pub use self::role::RoleSettings;
#[cfg(feature = "simulation")]
pub(crate) use self::settled::Simulated;

/// The plan of a cluster: its roles, its listeners, its limits.
///
/// Declared in `main` before anything else of importance, and [`run`](Hatchery::run) last: every process of the cluster
/// is this program started again, comes along here, and finds out in `run` who it is.
#[must_use = "a plan does nothing until it is run"]
pub struct Hatchery {
    program: String,
    name: Option<String>,
    adopt: bool,
    threads: bool,
    roles: Vec<Declared>,
    tuning: Vec<(String, Tune)>,
    strategy: Option<Arc<dyn Strategy>>,
    listeners: Vec<(Option<String>, Address)>,
    sharing: Sharing,
    backlog: i32,
    orphan_grace: Duration,
    payload_limit: usize,
    kept_value_limit: Option<usize>,
    kept_limit: usize,
    publishers: Option<Vec<String>>,
    services: Services,
    #[cfg(feature = "schedule")]
    schedules: Vec<(String, Schedule, Arc<Job>)>,
    #[cfg(feature = "log")]
    logs: Option<Logs>,
}

/// A role as it was declared.
struct Declared {
    name: String,
    count: usize,
    run: Arc<ContextFn>,
}

/// A role function whose types have been forgotten.
type ContextFn = dyn Fn(Context) -> RoleFuture + Send + Sync;

type Tune = Box<dyn FnOnce(&mut RoleSettings)>;

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
            name: None,
            adopt: false,
            threads: false,
            roles: Vec::new(),
            tuning: Vec::new(),
            strategy: None,
            listeners: Vec::new(),
            sharing: Sharing::default(),
            backlog: BACKLOG,
            orphan_grace: Duration::from_secs(5),
            payload_limit: 1 << 20,
            kept_value_limit: None,
            kept_limit: 64 << 20,
            publishers: None,
            services: Services::default(),
            #[cfg(feature = "schedule")]
            schedules: Vec::new(),
            #[cfg(feature = "log")]
            logs: None,
        }
    }

    /// The name of the program in `ps`, in front of the slot. Default: that of the file it was started as.
    pub fn program(mut self, name: impl Into<String>) -> Hatchery {
        self.program = name.into();
        self
    }

    /// The name of the cluster, for programs that have several: see [`enter`]. Its members read `web: worker/2@name` in
    /// `ps`. Letters, digits, `-` and `_`, 64 at most.
    pub fn name(mut self, name: impl Into<String>) -> Hatchery {
        self.name = Some(name.into());
        self
    }

    /// Has the kernel hand to this process what members leave behind when they end (`PR_SET_CHILD_SUBREAPER`), when the
    /// cluster is started by an embedding program. Under [`run`](Hatchery::run) that is so anyway.
    ///
    /// Off by default, since it is a property of the whole process: orphans of *other* children of the program would be
    /// handed to it too, and are its own to reap. Without it those who left a member's process group are searched for on
    /// the whole machine when the member has died, and ended; that costs a reading of `/proc`, and can miss one that
    /// forks all the time.
    pub fn adopt_descendants(mut self, adopt: bool) -> Hatchery {
        self.adopt = adopt;
        self
    }

    /// Runs all members as threads of the one process, each with a runtime of its own, instead of as processes: to step
    /// through a cluster with a debugger, or for a deployment that has no room for more than one process.
    ///
    /// Supervision, messages, listeners and the order of things are the same. What is lost is what processes are for: a
    /// thread that never comes back to its runtime cannot be killed, and memory, environment, panic hook and
    /// [`std::process::exit`] are everybody's. docs/lifecycle.md has the list ("One process").
    pub fn in_threads(mut self) -> Hatchery {
        self.threads = true;
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

    /// The longest value that is [kept](crate::Messenger::publish), in bytes. Default: the [payload
    /// limit](Hatchery::payload_limit), which is also the most.
    pub fn kept_value_limit(mut self, bytes: usize) -> Hatchery {
        self.kept_value_limit = Some(bytes);
        self
    }

    /// How much is kept in all, in bytes: the values and the names of their topics, at least 128 bytes for each, which is about
    /// half of what a short one takes in memory. What would be over it is refused. Default 64 MiB.
    pub fn kept_limit(mut self, bytes: usize) -> Hatchery {
        self.kept_limit = bytes;
        self
    }

    /// The roles whose members may [publish](crate::Messenger::publish) and retract. The program in which the master runs
    /// always may. Default: everybody.
    pub fn publishers(mut self, roles: impl IntoIterator<Item = impl AsRef<str>>) -> Hatchery {
        self.publishers = Some(roles.into_iter().map(|role| role.as_ref().to_owned()).collect());
        self
    }

    /// Has the master keep its number in a file while it [runs](Hatchery::run): in decimal, with an end of line. The file
    /// is taken before anything is bound, locked for as long as the master lives, and removed by it, unless it has been
    /// replaced meanwhile. A program that [`enter`](Hatchery::enter)s keeps its own.
    ///
    /// A second start with the same file is refused, with exit code 1, and does not touch it. One that nobody holds, as a
    /// killed master leaves it behind, is taken over, whatever stands in it up to 64 bytes; a longer one, or what is no
    /// file, is left alone.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Hatchery {
        self.services.pid_file = Some(path.into());
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
        let run = move |cx: Context| -> RoleFuture {
            let work = run(cx);
            Box::pin(async move { work.await.map_err(|error| chain(&*error.into())) })
        };
        self.roles.push(Declared { name: name.into(), count, run: Arc::new(run) });
        self
    }

    /// Has something done at times: `work`, which runs where the schedule says, with the context of the member that runs it.
    /// The trigger lives in the agent, which the plan must declare. See [`schedule`](crate::schedule).
    ///
    /// A panic in `work` is an exception of the member that runs it, and a failed run; an error that it returns is a failed run.
    /// Dropped at the run's deadline, and with its member: it may stop at any `await`.
    #[cfg(feature = "schedule")]
    pub fn schedule<F, Fut, E>(mut self, name: impl Into<String>, schedule: Schedule, work: F) -> Hatchery
    where
        F: Fn(Context, Tick) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.schedules.push((name.into(), schedule, job(work)));
        self
    }

    /// Has the agent, which the plan must declare, write what members log: those that [initialize](crate::log::init) it. What goes
    /// wrong in a member that cannot tell is written, too: its exceptions, with backtraces, and how it ended. Said again, the last
    /// counts.
    #[cfg(feature = "log")]
    pub fn logs(mut self, logs: Logs) -> Hatchery {
        self.logs = Some(logs);
        self
    }

    /// Changes settings of a role, in whatever order they are declared.
    pub fn tune(mut self, role: impl AsRef<str>, change: impl FnOnce(&mut RoleSettings) + 'static) -> Hatchery {
        self.tuning.push((role.as_ref().to_owned(), Box::new(change)));
        self
    }

    /// Who decides what follows a failure, for all roles, in place of the built-in strategies. What
    /// [`RoleSettings::strategy`] says of a role holds for that role.
    pub fn strategy(mut self, strategy: impl Strategy) -> Hatchery {
        self.strategy = Some(Arc::new(strategy));
        self
    }

    /// Has [`run`](Hatchery::run) serve a control socket for operators in this directory, once the members are being started: see
    /// [`control`](crate::control). That it cannot be served is logged as an error, and the cluster runs without one.
    ///
    /// A program that embeds the cluster serves it by [`ClusterHandle::serve_control`](crate::ClusterHandle::serve_control); there,
    /// this does nothing.
    #[cfg(feature = "control")]
    pub fn control(mut self, control: impl Into<crate::control::Control>) -> Hatchery {
        self.services.control = Some(control.into());
        self
    }

    /// Runs the cluster, or the one member that this process is.
    ///
    /// In the master it returns when the cluster has ended: with 0 when it was asked to stop, 1 when it could not start,
    /// 2 when the plan or the way it was called is at fault, 3 when it gave up. Other than for 0 it has said why on
    /// stderr, in one sentence. In a member it does not return.
    ///
    /// TERM, INT and QUIT stop it in order; a second one, if it does not come at once, kills. Not to be called from within
    /// a tokio runtime: members must be told apart before any thread exists. A program that has a runtime, and other
    /// things to do, [`enter`](Hatchery::enter)s instead.
    pub fn run(self) -> ExitCode {
        match self.try_run() {
            Ok(code) => code,
            Err(error) => {
                process::say(&error.to_string());
                ExitCode::from(2)
            }
        }
    }

    /// The plan, taken apart for a simulation: the master's part, and the members'.
    #[cfg(feature = "simulation")]
    pub(crate) fn simulated(self) -> Result<Simulated, PlanError> {
        Ok(self.settle()?.simulated())
    }

    /// How long it takes at most until a cluster of this plan is ready, or has failed and nobody is left.
    #[cfg(feature = "cli")]
    pub(crate) fn longest_start(self) -> Result<Duration, PlanError> {
        Ok(self.settle()?.longest_start())
    }

    fn try_run(mut self) -> Result<ExitCode, RunError> {
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(RunError::InsideRuntime);
        }
        let services = std::mem::take(&mut self.services);
        let settlement = self.settle()?;
        if enter::claim().is_some() {
            settlement.become_member();
        }
        Ok(run::master(&settlement.cluster(), services))
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
