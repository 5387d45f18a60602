//! What all parts of a member hold: who it is, the way to its master, and what has been registered.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tracing::Span;

use super::busy::Busy;
use super::calls::Calls;
use super::credit::{Credit, NoCredit};
use super::dispatch::Dispatch;
use super::gate::Gate;
use super::keep::Keep;
use super::life::Event;
use super::spawner::Spawner;
use super::topics::Topics;
use super::undelivered::Returns;
use crate::bulletin::Bulletin;
use crate::identity::MemberId;
use crate::process::Panicked;
use crate::roster::Roster;
use crate::transport::{Account, Directory, Header, Kind, Lane, Limits, Line, Report, What, charge, put_bare, window};

/// How many exceptions may wait to be dealt with: more than this at once are counted, not told one by one. Everything
/// else that can happen happens once, or as often as the master says.
const EXCEPTIONS: usize = 64;

/// A member, as its own code sees it.
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) directory: Arc<Directory>,
    pub(crate) limits: Limits,
    pub(crate) line: Arc<Line>,
    pub(crate) credit: Credit,
    /// Of answers that wait for credit, and nobody for them.
    late: Credit,
    pub(crate) calls: Calls,
    pub(crate) topics: Topics,
    pub(crate) dispatch: Dispatch,
    pub(crate) returns: Returns,
    pub(crate) gate: Gate,
    pub(crate) keep: Keep,
    pub(crate) busy: Busy,
    pub(crate) cluster_ready: Bulletin<bool>,
    pub(crate) stopping: Bulletin<bool>,
    /// The master asks whether it is there. Asked again before it has answered, it answers once.
    pub(crate) pinged: Notify,
    pub(crate) roster: Bulletin<Option<Roster>>,
    pub(crate) span: Span,
    pub(crate) spawner: Spawner,
    events: mpsc::UnboundedSender<Event>,
    /// Exceptions among the events.
    exceptions: AtomicUsize,
    unreported: AtomicU32,
    said_ready: AtomicBool,
    watching: AtomicBool,
}

impl Member {
    pub(crate) fn new(
        id: MemberId,
        directory: Arc<Directory>,
        limits: Limits,
        spawner: impl Into<Spawner>,
    ) -> (Arc<Member>, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let member = Member {
            id,
            directory,
            limits,
            line: Arc::default(),
            credit: Credit::new(window(limits)),
            late: Credit::new(window(limits)),
            calls: Calls::default(),
            topics: Topics::default(),
            dispatch: Dispatch::default(),
            returns: Returns::default(),
            gate: Gate::default(),
            keep: Keep::default(),
            busy: Busy::default(),
            cluster_ready: Bulletin::new(false),
            stopping: Bulletin::new(false),
            pinged: Notify::new(),
            roster: Bulletin::new(None),
            span: tracing::info_span!("member", id = %id),
            spawner: spawner.into(),
            events,
            exceptions: AtomicUsize::new(0),
            unreported: AtomicU32::new(0),
            said_ready: AtomicBool::new(false),
            watching: AtomicBool::new(false),
        };
        (Arc::new(member), receiver)
    }

    /// Something has happened. Never waits. From any thread.
    pub(crate) fn tell(&self, event: Event) {
        // Nobody listens any more: the member is on its way out.
        let _ = self.events.send(event);
    }

    /// Whether what happens in it is still heard: it is not on its way out.
    #[cfg(feature = "simulation")]
    pub(crate) fn listens(&self) -> bool {
        !self.events.is_closed()
    }

    /// Its code says that it is ready. Said again, it means nothing.
    pub(crate) fn ready(&self) {
        self.spawner.acts("says that it is ready");
        if !self.said_ready.swap(true, Ordering::Relaxed) {
            self.tell(Event::Ready);
        }
    }

    /// An exception, from any thread, also one that is panicking.
    pub(crate) fn exception(&self, what: What, text: String) {
        self.exception_from(what, text, String::new());
    }

    /// The same, with where it came from.
    pub(crate) fn exception_from(&self, what: What, text: String, backtrace: String) {
        self.spawner.acts("has an exception");
        self.gate.pause_at_once();
        if self.exceptions.fetch_add(1, Ordering::Relaxed) >= EXCEPTIONS {
            self.exceptions.fetch_sub(1, Ordering::Relaxed);
            return self.leave_unreported();
        }
        self.tell(Event::Exception(Report { what, leaving: false, text, backtrace }));
    }

    /// A panic was caught on its way out of user code.
    pub(crate) fn panicked(&self, panicked: Panicked) {
        if let Some(text) = panicked.untold {
            self.exception(What::Panic, text);
        }
        self.spawner.panic_told();
    }

    /// An exception is being dealt with: there is room for another.
    pub(crate) fn exception_taken(&self) {
        self.exceptions.fetch_sub(1, Ordering::Relaxed);
    }

    /// An exception is counted and no more.
    pub(crate) fn leave_unreported(&self) {
        self.unreported.fetch_add(1, Ordering::Relaxed);
    }

    /// How many exceptions were only counted since the last call.
    pub(crate) fn take_unreported(&self) -> u32 {
        self.unreported.swap(0, Ordering::Relaxed)
    }

    /// Asks the master for news of who is who, once.
    pub(crate) fn watch(&self) {
        if !self.watching.swap(true, Ordering::Relaxed) {
            self.line.control(|out| put_bare(Kind::Watch, out));
        }
    }

    /// Says that it is there, each time that the master asks. To be run where the role function is: what does not come to
    /// this is not there.
    pub(crate) async fn answer_pings(&self) -> Infallible {
        loop {
            self.pinged.notified().await;
            self.line.control(|out| put_bare(Kind::Pong, out));
        }
    }

    /// Sends an answer, when its receiver has room for it. There is nobody to tell if it cannot be sent: the master
    /// answers for a member that is gone.
    pub(crate) async fn answer(&self, header: Header, action: &str, payload: Bytes) {
        let sized = Header { action_len: action.len() as u16, payload_len: payload.len() as u32, ..header };
        let Some(account) = Account::of(Lane::Answers, header.to) else { return };
        if self.credit.take(account, charge(&sized)).await.is_ok() {
            self.line.frame(header, action, payload);
        }
    }

    /// The same for whoever does not wait. Bounded by what may be under way to a receiver: more of a sender that does not
    /// read what comes back to it is dropped, and counted.
    pub(crate) fn answer_later(self: Arc<Self>, header: Header, action: String, payload: Bytes) {
        let sized = Header { action_len: action.len() as u16, payload_len: payload.len() as u32, ..header };
        let (Some(account), cost) = (Account::of(Lane::Answers, header.to), charge(&sized)) else { return };
        match self.credit.try_take(account, cost) {
            Ok(()) => return self.line.frame(header, &action, payload),
            Err(NoCredit::Closed) => return,
            Err(NoCredit::Full) => {}
        }
        if self.late.try_take(account, cost).is_err() {
            tracing::warn!(to = ?account, "an answer is dropped: its receiver does not take those before");
            return;
        }
        let answering = self.busy.answer();
        // A runtime that is shutting down takes no tasks: then the end of the process answers.
        self.spawner.clone().spawn(async move {
            self.answer(header, &action, payload).await;
            self.late.give_back(account, cost);
            drop(answering);
        });
    }

    /// The link is lost: whoever waits for something from it stops waiting.
    pub(crate) fn disconnect(&self) {
        self.line.close();
        self.credit.close();
        self.calls.close();
        self.topics.close();
        self.keep.close();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id).finish_non_exhaustive()
    }
}
