//! How a real process becomes a member, and leaves. How it lives in between stands in [`live`](super::live).

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::LocalSet;

use super::life::{Event, Habits, MASTER_LOST};
use super::live::{Vessel, live};
use super::shared::Member;
use crate::identity::{Incarnation, MemberId, Role};
use crate::process::settle::{self, SettleError, Settled};
use crate::process::signals::MemberSignals;
use crate::process::watch::{self, Watch};
use crate::process::{Alarm, Lent, black_box, install_hook, say};
use crate::transport::{Directory, Limits, Welcome, WelcomeError, What};

/// What a program declares of one role, as far as its members are concerned.
pub(crate) struct RoleInside {
    pub(crate) habits: Habits,
    /// Threads of the runtime. One: everything on the thread of `main`.
    pub(crate) runtime_threads: usize,
    /// By how much it is the likelier victim when memory runs out.
    pub(crate) oom_score: i32,
    /// Its stderr stays with the master also when it is ready.
    pub(crate) capture_stderr: bool,
    /// How long it has to become quiet when nobody else counts.
    pub(crate) stop_timeout: Duration,
    /// Somebody wants to know where its panics came from.
    pub(crate) backtraces: bool,
    pub(crate) run: Arc<RoleFn>,
}

#[cfg(feature = "simulation")]
impl RoleInside {
    /// The same with another function.
    pub(crate) fn running(&self, run: Arc<RoleFn>) -> RoleInside {
        let RoleInside { habits, runtime_threads, oom_score, capture_stderr, stop_timeout, backtraces, .. } = *self;
        RoleInside { habits, runtime_threads, oom_score, capture_stderr, stop_timeout, backtraces, run }
    }
}

/// A role function whose types have been forgotten.
pub(crate) type RoleFn = dyn Fn(Inside) -> RoleFuture + Send + Sync;

/// What a role function is doing.
pub(crate) type RoleFuture = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// What a role function is given.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) member: Arc<Member>,
    /// The sockets that it is lent, by name.
    pub(crate) listeners: Vec<(String, Lent)>,
}

/// Why a process could not become the member that it says it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnterError {
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Welcome(#[from] WelcomeError),
    #[error(
        "its plan is not its master's: what runs before `run` or `enter` must declare the same roles in every process"
    )]
    OtherPlan,
    #[error("{0}: {1}")]
    Os(&'static str, io::Error),
}

impl EnterError {
    /// `EX_USAGE` where somebody started it by hand, `EX_CONFIG` where the program is at fault: no restart mends either.
    pub(crate) fn code(&self) -> i32 {
        const USAGE: i32 = 2;
        const OS_ERROR: i32 = 71;
        const CONFIG: i32 = 78;
        match self {
            EnterError::Settle(SettleError::MasterLost) => MASTER_LOST,
            EnterError::Settle(SettleError::NoLink | SettleError::Boot(_)) => USAGE,
            EnterError::Settle(SettleError::Os(..)) | EnterError::Os(..) => OS_ERROR,
            EnterError::Welcome(_) | EnterError::OtherPlan => CONFIG,
        }
    }
}

/// Becomes a member and lives as one.
pub(crate) fn enter(directory: Directory, roles: Vec<(Role, RoleInside)>) -> ! {
    match prepare(directory, roles) {
        Ok(prepared) => prepared.live(),
        Err(error) => {
            if !matches!(error, EnterError::Settle(SettleError::MasterLost)) {
                say(&format!("a member cannot start: {error}"));
            }
            watch::exit(error.code())
        }
    }
}

/// A member that has everything but a runtime.
struct Prepared {
    settled: Settled,
    admission: Admission,
    directory: Arc<Directory>,
    role: RoleInside,
}

/// What the first words say to a member about itself, found to be of its own plan.
pub(crate) struct Admission {
    pub(crate) id: MemberId,
    pub(crate) limits: Limits,
    pub(crate) orphan_grace: Duration,
    pub(crate) listeners: Vec<(String, Lent)>,
}

impl Admission {
    /// Reads the first words, with the sockets that came along.
    pub(crate) fn read(boot: &[u8], lent: Vec<Lent>, directory: &Directory) -> Result<Admission, EnterError> {
        let welcome = Welcome::decode(boot)?;
        if welcome.roles != directory.imprint() || welcome.listeners.len() != lent.len() {
            return Err(EnterError::OtherPlan);
        }
        welcome.growth.iter().for_each(|&growth| directory.grow(growth));
        let slot = directory.slot(welcome.rank, welcome.index).ok_or(EnterError::OtherPlan)?;
        Ok(Admission {
            id: slot.member(Incarnation::new(welcome.incarnation)),
            limits: Limits { payload: welcome.payload_limit as usize },
            orphan_grace: Duration::from_millis(welcome.orphan_grace_ms),
            listeners: welcome.listeners.into_iter().zip(lent).collect(),
        })
    }
}

fn prepare(directory: Directory, roles: Vec<(Role, RoleInside)>) -> Result<Prepared, EnterError> {
    let mut settled = settle::settle()?;
    let lent = settled.boot.listeners.drain(..).map(Lent::from).collect();
    let admission = Admission::read(&settled.boot.body, lent, &directory)?;
    let role = roles.into_iter().find(|(role, _)| *role == admission.id.role());
    let (_, role) = role.ok_or(EnterError::OtherPlan)?;
    settle::volunteer_for_oom(role.oom_score);
    settle::set_process_name(&std::env::args_os().next().unwrap_or_default());
    Ok(Prepared { settled, admission, directory: Arc::new(directory), role })
}

impl Prepared {
    fn live(self) -> ! {
        let code = self.run().unwrap_or_else(|error| {
            say(&format!("a member cannot start: {error}"));
            error.code()
        });
        match code {
            MASTER_LOST => watch::leave_orphaned(),
            code => watch::exit(code),
        }
    }

    fn run(self) -> Result<i32, EnterError> {
        let os = |step| move |error| EnterError::Os(step, error);
        let Prepared { settled, admission, directory, role } = self;
        let Admission { id, limits, orphan_grace, listeners } = admission;
        let Settled { link, boot, master } = settled;
        // The thread runs before any other, also before the runtime's.
        let orphaned = Arc::new(std::sync::OnceLock::<Arc<Member>>::new());
        let heard = orphaned.clone();
        let watch = Watch::start(master, orphan_grace, move || {
            if let Some(member) = heard.get() {
                member.tell(Event::MasterGone);
            }
        })
        .map_err(os("failed to start the watch thread"))?;
        let runtime = match role.runtime_threads {
            0 | 1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
        };
        let runtime = runtime.map_err(os("failed to start the runtime"))?;
        let (member, events) = Member::new(id, directory, limits, runtime.handle().clone());
        let _ = orphaned.set(member.clone());
        // Nothing more comes over it in this mode of sharing; closed, it would say that nothing can.
        let _channel = boot.channel;
        let black_box = File::from(boot.black_box);
        let survived = black_box.try_clone().map_err(os("failed to copy the black box"))?;
        install_hook(black_box, role.backtraces, Told(member.clone()));

        let body = async {
            let signals = MemberSignals::listen().map_err(os("failed to listen to signals"))?;
            link.set_nonblocking(true).map_err(os("failed to prepare the link"))?;
            let link = UnixStream::from_std(link).map_err(os("failed to register the link"))?;
            let stderr = (!role.capture_stderr).then_some(boot.stderr);
            let vessel = Real { watch, stderr, black_box: survived, signals };
            let inside = Inside { member: member.clone(), listeners };
            Ok(live(member.clone(), events, &role, inside, link.into_split(), vessel).await)
        };
        let local = LocalSet::new();
        let code = local.block_on(&runtime, body);
        drop(local);
        // Blocking tasks may never end; whatever else there is has been told to.
        runtime.shutdown_timeout(Duration::from_millis(50));
        code
    }
}

/// A member that hears of the panics of its process.
struct Told(Arc<Member>);

impl Alarm for Told {
    fn begins(&self) {
        self.0.gate.pause_at_once();
    }

    fn told(&self, text: String, backtrace: String) {
        self.0.exception_from(What::Panic, text, backtrace);
    }
}

/// A process of its own.
struct Real {
    watch: Watch,
    /// What to put in the place of the captured stderr, once ready.
    stderr: Option<OwnedFd>,
    black_box: File,
    signals: MemberSignals,
}

impl Vessel for Real {
    fn ready(&mut self) {
        if let Some(stderr) = self.stderr.take() {
            settle::restore_stderr(&stderr);
        }
    }

    fn orphaned(&mut self) {
        self.watch.ring();
    }

    fn survived(&mut self) {
        black_box::write(&self.black_box, "", "");
    }

    async fn terminated(&mut self) {
        self.signals.terminated().await;
    }
}
