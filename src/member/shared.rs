//! What all parts of a member hold: who it is, the way to its master, and what has been registered.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tracing::Span;

use super::busy::Busy;
use super::calls::Calls;
use super::credit::Credit;
use super::dispatch::Dispatch;
use super::gate::Gate;
use super::life::Event;
use super::undelivered::Returns;
use crate::identity::MemberId;
use crate::roster::Roster;
use crate::transport::{Account, Directory, Header, Kind, Lane, Limits, Line, Report, What, charge, put_bare, window};

/// How many events may wait to be dealt with: more exceptions than this at once are counted, not told one by one.
pub(crate) const EVENTS: usize = 64;

/// A member, as its own code sees it.
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) directory: Arc<Directory>,
    pub(crate) limits: Limits,
    pub(crate) line: Arc<Line>,
    pub(crate) credit: Credit,
    pub(crate) calls: Calls,
    pub(crate) dispatch: Dispatch,
    pub(crate) returns: Returns,
    pub(crate) gate: Gate,
    pub(crate) busy: Busy,
    pub(crate) cluster_ready: watch::Sender<bool>,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) roster: watch::Sender<Option<Roster>>,
    pub(crate) span: Span,
    pub(crate) runtime: Handle,
    events: mpsc::Sender<Event>,
    unreported: AtomicU32,
    watching: AtomicBool,
}

impl Member {
    pub(crate) fn new(
        id: MemberId,
        directory: Arc<Directory>,
        limits: Limits,
        runtime: Handle,
    ) -> (Arc<Member>, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let member = Member {
            id,
            directory,
            limits,
            line: Arc::default(),
            credit: Credit::new(window(limits)),
            calls: Calls::default(),
            dispatch: Dispatch::default(),
            returns: Returns::default(),
            gate: Gate::default(),
            busy: Busy::default(),
            cluster_ready: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
            roster: watch::Sender::new(None),
            span: tracing::info_span!("member", id = %id),
            runtime,
            events,
            unreported: AtomicU32::new(0),
            watching: AtomicBool::new(false),
        };
        (Arc::new(member), receiver)
    }

    /// Something has happened. Never waits; what there is no room for is only counted. From any thread.
    pub(crate) fn tell(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.unreported.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The same for what must not be lost and comes from a task.
    pub(crate) async fn tell_surely(&self, event: Event) {
        // Nobody listens any more: the member is on its way out.
        let _ = self.events.send(event).await;
    }

    /// An exception, from any thread, also one that is panicking.
    pub(crate) fn exception(&self, what: What, text: String) {
        self.gate.pause_at_once();
        self.tell(Event::Exception(Report { what, leaving: false, text }));
    }

    /// How many events have found no room since the last call.
    pub(crate) fn take_unreported(&self) -> u32 {
        self.unreported.swap(0, Ordering::Relaxed)
    }

    /// Asks the master for news of who is who, once.
    pub(crate) fn watch(&self) {
        if !self.watching.swap(true, Ordering::Relaxed) {
            self.line.control(|out| put_bare(Kind::Watch, out));
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

    /// The link is lost: whoever waits for something from it stops waiting.
    pub(crate) fn disconnect(&self) {
        self.line.close();
        self.credit.close();
        self.calls.close();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id).finish_non_exhaustive()
    }
}
