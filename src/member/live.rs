//! The life of a member in its process, whatever that is: greets the master, reads and writes the link, runs the role
//! function, does what [`Life`] says, and leaves with a code.
//!
//! One body of code for processes, threads and simulated processes. What differs between them is the [`Vessel`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::enter::{Inside, RoleFn, RoleInside};
use super::gate::Position;
use super::life::{EXCEPTION, Event, Failure, Life, Step};
use super::link;
use super::shared::Member;
use crate::process::{catch_future, clock};
use crate::transport::{Hello, Order, Report, What, put_bare};

/// What a member's process is to the member.
pub(crate) trait Vessel: Send + 'static {
    /// It is ready: its stderr need not be captured any longer.
    fn ready(&mut self);

    /// The link is lost, which is as good as the master: it has no longer than the grace.
    fn orphaned(&mut self);

    /// The latest panic was not its end, and will not be the cause of another.
    fn survived(&mut self);

    /// Resolves when somebody wants this one process to end. Cancel-safe.
    fn terminated(&mut self) -> impl Future<Output = ()> + Send;

    /// Resolves when a process that was asked to end, and is about to, may. Only a simulated one can be made to stay.
    fn let_go(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Lives until the end, and returns the exit code. What is left of it then ends with the process.
pub(crate) async fn live(
    member: Arc<Member>,
    events: mpsc::UnboundedReceiver<Event>,
    role: &RoleInside,
    inside: Inside,
    (reader, writer): (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
    vessel: impl Vessel,
) -> i32 {
    let id = member.id;
    member.line.control(|out: &mut BytesMut| Hello::of(id).put(out));
    member.spawner.spawn(link::listen(member.clone(), reader));
    let line = member.line.clone();
    let written = member.spawner.spawn(async move { line.write_to(writer).await });
    let (cancel, cancelled) = oneshot::channel();
    let course = Course {
        life: Life::new(role.habits),
        member: member.clone(),
        vessel,
        cancel: Some(cancel),
        patience: role.stop_timeout,
        asked: false,
        pending: Pending::default(),
    };
    let course = member.spawner.spawn(course.run(events));
    let lived = async {
        perform(&member, role.run.clone(), inside, cancelled).await;
        let code = course.await.unwrap_or(EXCEPTION);
        // What was said last is still on its way out. A master that is alive takes it at once; an answer waits for its
        // caller, who may be stopped.
        let _ = tokio::time::timeout(LAST_WORDS, member.busy.answered()).await;
        code
    };
    // In the one task with the role function. The link may be read by another thread of the runtime, which would answer
    // while this one is stuck.
    let code = tokio::select! {
        biased;
        never = member.answer_pings() => match never {},
        code = lived => code,
    };
    member.line.close();
    let _ = tokio::time::timeout(LAST_WORDS, written).await;
    code
}

/// How long the end waits for the link to take what was said last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the role function until it ends or is cancelled, and says how it ended.
async fn perform(member: &Arc<Member>, run: Arc<RoleFn>, inside: Inside, cancelled: oneshot::Receiver<()>) {
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
struct Course<V> {
    life: Life,
    member: Arc<Member>,
    vessel: V,
    cancel: Option<oneshot::Sender<()>>,
    patience: Duration,
    /// Somebody wants it to end.
    asked: bool,
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

/// By what whoever writes down exceptions by other means knows this event.
pub(crate) const EXCEPTION_TARGET: &str = "hatchery::exception";

/// A process that dies of a panic does so within this time of it.
const SURVIVED: Duration = Duration::from_secs(1);

/// Ends at that moment; without one, never.
async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl<V: Vessel> Course<V> {
    /// Runs until the end, and returns the exit code.
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) -> i32 {
        loop {
            let busy = self.member.busy.clone();
            let Pending { quiet, deadline, survived } = self.pending;
            let event = tokio::select! {
                biased;
                Some(event) = events.recv() => event,
                () = self.vessel.terminated() => Event::Terminated,
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
                    self.vessel.survived();
                    continue;
                }
            };
            match event {
                Event::Orphaned | Event::MasterGone => self.vessel.orphaned(),
                Event::Order(Order::ClusterReady) => self.member.cluster_ready.post(true),
                Event::Exception(_) => self.member.exception_taken(),
                Event::Order(Order::Drain(_) | Order::Stop(_)) | Event::Terminated => self.asked = true,
                Event::Ready | Event::Returned(_) | Event::Order(Order::Stay) | Event::Quiet | Event::Overdue => {}
            }
            for step in self.life.handle(event) {
                if let Some(code) = self.take(step) {
                    // Whatever happens to it from here on is heard by nobody.
                    drop(events);
                    if self.asked {
                        self.vessel.let_go().await;
                    }
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
                self.vessel.ready();
                member.line.control(|out| put_bare(crate::transport::Kind::Ready, out));
            }
            Step::Report(report) => {
                if report.what == What::Panic {
                    self.pending.survived = Some(tokio::time::Instant::from(clock::now() + SURVIVED));
                }
                let waiting = member.line.control_backlog();
                if !report.leaving && waiting > REPORTS {
                    member.leave_unreported();
                } else {
                    // So many at once have one cause, as a rule: rather all of their texts than the backtraces of a few.
                    let backtrace = if waiting > REPORTS / 4 { String::new() } else { report.backtrace };
                    let report = Report { backtrace, ..report };
                    tracing::error!(target: EXCEPTION_TARGET, parent: &member.span, exception = report.text, "exception");
                    member.line.control(|out| report.put(out));
                }
            }
            Step::Pause => member.gate.pause_at_once(),
            Step::Resume => member.gate.resume(),
            Step::Close => member.gate.close(Position::Closed),
            Step::CloseAfterQueue => member.gate.close(Position::Emptying),
            Step::CloseAfterSweep => member.gate.close(Position::Sweeping),
            Step::AnnounceStop => {
                member.stopping.post(true);
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
            let report = Report { what: What::Reported, leaving: false, text, backtrace: String::new() };
            self.member.line.control(|out| report.put(out));
        }
    }
}
