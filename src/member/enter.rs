//! How a process becomes a member, lives as one, and leaves.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tracing::Instrument;

use super::gate::Position;
use super::life::{Event, Failure, Habits, Life, MASTER_LOST, Step};
use super::link;
use super::shared::Member;
use crate::identity::{Incarnation, MemberId, Role};
use crate::process::settle::{self, SettleError, Settled};
use crate::process::signals::MemberSignals;
use crate::process::watch::{self, Watch};
use crate::process::{black_box, catch_future, clock, install_hook, say};
use crate::transport::{Directory, Hello, Limits, Order, Report, Welcome, WelcomeError, What, put_bare};

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
    pub(crate) run: Box<RoleFn>,
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
    pub(crate) listeners: Vec<(String, OwnedFd)>,
}

/// Why a process could not become the member that it says it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnterError {
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Welcome(#[from] WelcomeError),
    #[error("its plan is not its master's: what runs before `run` must declare the same roles in every process")]
    OtherPlan,
    #[error("{0}: {1}")]
    Os(&'static str, io::Error),
}

impl EnterError {
    /// `EX_USAGE` where somebody started it by hand, `EX_CONFIG` where the program is at fault: no restart mends either.
    fn code(&self) -> i32 {
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
    id: MemberId,
    directory: Arc<Directory>,
    limits: Limits,
    orphan_grace: Duration,
    listeners: Vec<(String, OwnedFd)>,
    role: RoleInside,
}

fn prepare(directory: Directory, roles: Vec<(Role, RoleInside)>) -> Result<Prepared, EnterError> {
    let mut settled = settle::settle()?;
    let welcome = Welcome::decode(&settled.boot.body)?;
    if welcome.roles != directory.imprint() {
        return Err(EnterError::OtherPlan);
    }
    welcome.growth.iter().for_each(|&growth| directory.grow(growth));
    let slot = directory.slot(welcome.rank, welcome.index).ok_or(EnterError::OtherPlan)?;
    let (_, role) = roles.into_iter().find(|(role, _)| *role == slot.role()).ok_or(EnterError::OtherPlan)?;
    if welcome.listeners.len() != settled.boot.listeners.len() {
        return Err(EnterError::OtherPlan);
    }
    settle::volunteer_for_oom(role.oom_score);
    settle::set_process_name(&std::env::args_os().next().unwrap_or_default());
    let listeners = welcome.listeners.into_iter().zip(settled.boot.listeners.drain(..)).collect();
    Ok(Prepared {
        id: slot.member(Incarnation::new(welcome.incarnation)),
        directory: Arc::new(directory),
        limits: Limits { payload: welcome.payload_limit as usize },
        orphan_grace: Duration::from_millis(welcome.orphan_grace_ms),
        settled,
        listeners,
        role,
    })
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
        let Prepared { settled, id, directory, limits, orphan_grace, listeners, role } = self;
        let Settled { link, boot, master } = settled;
        // The thread runs before any other, also before the runtime's.
        let orphaned = Arc::new(std::sync::OnceLock::<Arc<Member>>::new());
        let heard = orphaned.clone();
        let watch = Watch::start(master, orphan_grace, move || {
            if let Some(member) = heard.get() {
                member.tell(Event::Orphaned);
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
        let told = member.clone();
        // Nothing more comes over it in this mode of sharing; closed, it would say that nothing can.
        let _channel = boot.channel;
        let black_box = File::from(boot.black_box);
        let survived = black_box.try_clone().map_err(os("failed to copy the black box"))?;
        install_hook(black_box, move |message| told.exception(What::Panic, message));

        let body = async {
            let signals = MemberSignals::listen().map_err(os("failed to listen to signals"))?;
            link.set_nonblocking(true).map_err(os("failed to prepare the link"))?;
            let link = UnixStream::from_std(link).map_err(os("failed to register the link"))?;
            let (reader, writer) = link.into_split();
            member.line.control(|out: &mut BytesMut| Hello::of(id).put(out));
            tokio::spawn(link::listen(member.clone(), reader));
            let line = member.line.clone();
            let written = tokio::spawn(async move { line.write_to(writer).await });

            let (cancel, cancelled) = oneshot::channel();
            let stderr = (!role.capture_stderr).then_some(boot.stderr);
            let course = Course {
                life: Life::new(role.habits),
                member: member.clone(),
                watch,
                stderr,
                black_box: survived,
                cancel: Some(cancel),
                patience: role.stop_timeout,
                pending: Pending::default(),
            };
            let course = tokio::spawn(course.run(events, signals));
            let inside = Inside { member: member.clone(), listeners };
            perform(&member, role.run, inside, cancelled).await;
            let code = course.await.unwrap_or(super::life::EXCEPTION);
            // What was said last is still on its way out. A master that is alive takes it at once; an answer waits for
            // its caller, who may be stopped.
            let _ = tokio::time::timeout(LAST_WORDS, member.busy.answered()).await;
            member.line.close();
            let _ = tokio::time::timeout(LAST_WORDS, written).await;
            Ok(code)
        };
        let local = LocalSet::new();
        let code = local.block_on(&runtime, body);
        drop(local);
        // Blocking tasks may never end; whatever else there is has been told to.
        runtime.shutdown_timeout(Duration::from_millis(50));
        code
    }
}

/// How long the end waits for the link to take what was said last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the role function until it ends or is cancelled, and says how it ended.
async fn perform(member: &Arc<Member>, run: Box<RoleFn>, inside: Inside, cancelled: oneshot::Receiver<()>) {
    let work = async {
        // A panic before the first await is one of the function like any other.
        catch_future(Box::pin(async move { run(inside).await })).await
    };
    tokio::select! {
        biased;
        _ = cancelled => {}
        ended = work.instrument(member.span.clone()) => {
            let result = match ended {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::Error(error)),
                Err(panicked) => {
                    member.panicked(panicked);
                    Err(Failure::Panicked)
                }
            };
            member.tell(Event::Returned(result));
        }
    }
}

/// A life as it runs: what happens goes in, what follows is done.
struct Course {
    life: Life,
    member: Arc<Member>,
    watch: Watch,
    /// What to put in the place of the captured stderr, once ready.
    stderr: Option<OwnedFd>,
    black_box: File,
    cancel: Option<oneshot::Sender<()>>,
    patience: Duration,
    pending: Pending,
}

/// What the course waits for besides news.
#[derive(Default)]
struct Pending {
    quiet: bool,
    deadline: Option<tokio::time::Instant>,
    /// When the latest panic turns out not to have been the end.
    survived: Option<tokio::time::Instant>,
}

/// How many bytes of reports may wait for the master to read them. One who reports without pause is read when its turn
/// comes, and each report that waits will have an answer, after which more can be told.
const REPORTS: usize = 64 * 1024;

/// A process that dies of a panic does so within this time of it.
const SURVIVED: Duration = Duration::from_secs(1);

/// Ends at that moment; without one, never.
async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl Course {
    /// Runs until the end, and returns the exit code.
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>, mut signals: MemberSignals) -> i32 {
        loop {
            let busy = self.member.busy.clone();
            let Pending { quiet, deadline, survived } = self.pending;
            let event = tokio::select! {
                biased;
                Some(event) = events.recv() => event,
                () = signals.terminated() => Event::Terminated,
                () = at(deadline) => {
                    self.pending.deadline = None;
                    Event::Overdue
                }
                () = busy.quiet(), if quiet => {
                    self.pending.quiet = false;
                    Event::Quiet
                }
                () = at(survived) => {
                    self.pending.survived = None;
                    // It will not be the cause of another end.
                    black_box::write(&self.black_box, "");
                    continue;
                }
            };
            match event {
                Event::Orphaned => self.watch.ring(),
                Event::Order(Order::ClusterReady) => drop(self.member.cluster_ready.send_replace(true)),
                Event::Exception(_) => self.member.exception_taken(),
                Event::Ready
                | Event::Returned(_)
                | Event::Order(Order::Stay | Order::Drain(_) | Order::Stop(_))
                | Event::Terminated
                | Event::Quiet
                | Event::Overdue => {}
            }
            for step in self.life.handle(event) {
                if let Some(code) = self.take(step) {
                    return code;
                }
            }
            self.tell_unreported();
        }
    }

    fn take(&mut self, step: Step) -> Option<i32> {
        let member = &self.member;
        match step {
            Step::SayReady => {
                if let Some(stderr) = self.stderr.take() {
                    settle::restore_stderr(&stderr);
                }
                member.line.control(|out| put_bare(crate::transport::Kind::Ready, out));
            }
            Step::Report(report) => {
                if report.what == What::Panic {
                    self.pending.survived = Some(tokio::time::Instant::from(clock::now() + SURVIVED));
                }
                if !report.leaving && member.line.control_backlog() > REPORTS {
                    member.leave_unreported();
                } else {
                    tracing::error!(parent: &member.span, exception = report.text, "exception");
                    member.line.control(|out| report.put(out));
                }
            }
            Step::Pause => member.gate.pause_at_once(),
            Step::Resume => member.gate.resume(),
            Step::Close => member.gate.close(Position::Closed),
            Step::CloseAfterSweep => member.gate.close(Position::Sweeping),
            Step::AnnounceStop => {
                member.stopping.send_replace(true);
            }
            Step::Cancel => {
                self.cancel.take();
            }
            Step::ArmDeadline => self.pending.deadline = Some(tokio::time::Instant::from(clock::now() + self.patience)),
            Step::AwaitQuiet => self.pending.quiet = true,
            Step::Exit(code) => return Some(code),
        }
        None
    }

    /// Exceptions for which there was no room are told as one, when there is.
    fn tell_unreported(&self) {
        if self.member.line.control_backlog() > REPORTS {
            return;
        }
        let count = self.member.take_unreported();
        if count > 0 {
            let text = format!("and {count} more exceptions at the same time");
            self.member.line.control(|out| Report { what: What::Reported, leaving: false, text }.put(out));
        }
    }
}
