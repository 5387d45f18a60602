//! What the code of a member holds: who it is, how it says that it is ready, and the way to everything else.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use ractor::ActorRef;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::bulletin::{Closed, Reader};
use crate::identity::{Incarnation, MemberId, Role, Slot};
use crate::listener::{Listener, ListenerError};
use crate::member::{Inside, Member};
use crate::messenger::{Messenger, SendError};
use crate::process::Lent;
use crate::remote::{AlreadyHosted, Protocol, ProxyMsg};
use crate::roster::Roster;
use crate::transport::What;

/// What a role function is given. Cheap to clone; every clone is the same member.
#[derive(Clone)]
pub struct Context {
    member: Arc<Member>,
    listeners: Arc<Vec<(String, Lent)>>,
}

/// Dropped by a panic, it lets the member know: where no panic hook is set, it may be the only one to notice.
impl Drop for Context {
    fn drop(&mut self) {
        self.member.spawner.released();
    }
}

impl Context {
    pub(crate) fn new(inside: Inside) -> Context {
        Context { member: inside.member, listeners: Arc::new(inside.listeners) }
    }

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Who this process is, for ever.
    pub fn id(&self) -> MemberId {
        self.member.id
    }

    /// The slot that it fills.
    pub fn slot(&self) -> Slot {
        self.member.id.slot()
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.member.id.role()
    }

    /// Which of the processes of its slot it is.
    pub fn incarnation(&self) -> Incarnation {
        self.member.id.incarnation()
    }

    /// Says that this member is ready: the roles after it may start, messages may come, its stderr is its master's.
    ///
    /// Register handlers before. Said again, it means nothing.
    pub fn ready(&self) {
        self.member.ready();
    }

    /// Resolves with `true` when every member of the cluster has been ready at once, or at once when that has happened;
    /// with `false` when this member is to finish before. Cancel-safe.
    pub fn cluster_ready(&self) -> impl Future<Output = bool> + Send + use<> {
        let (ready, stopping) = (self.member.cluster_ready.reader(), self.member.stopping.reader());
        async move {
            tokio::select! {
                biased;
                () = resolved(ready) => true,
                () = resolved(stopping) => false,
            }
        }
    }

    /// Resolves when this member is to finish: the cluster stops, or it is being replaced after an exception, or its
    /// master is lost. It has until its deadline. Cancel-safe.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        resolved(self.member.stopping.reader())
    }

    /// Whether [`stopping`](Context::stopping) has resolved.
    pub fn is_stopping(&self) -> bool {
        self.member.stopping.get()
    }

    /// The way to the other members.
    pub fn messenger(&self) -> Messenger {
        Messenger::new(self.member.clone())
    }

    /// Serves an actor of this member to all others: [`Messenger::host`].
    ///
    /// # Errors
    /// [`AlreadyHosted`]: another actor of a protocol of this name lives and serves here.
    pub fn host<P: Protocol>(&self, actor: ActorRef<ProxyMsg<P>>) -> Result<(), AlreadyHosted> {
        self.messenger().host(actor)
    }

    /// The actor that is served under `P` in a slot: [`Messenger::actor`].
    ///
    /// # Errors
    /// [`SendError::NoSuchMember`] and [`SendError::Closed`].
    pub fn actor<P: Protocol>(&self, slot: Slot) -> Result<ActorRef<ProxyMsg<P>>, SendError> {
        self.messenger().actor(slot)
    }

    /// The listener, where one was declared, or the first of several.
    ///
    /// Each call gives another handle on the same socket and the same gate.
    ///
    /// # Errors
    /// [`ListenerError::NotDeclared`] when the plan declares none; [`ListenerError::Io`] when the descriptor cannot be
    /// copied or registered.
    pub fn listener(&self) -> Result<Listener, ListenerError> {
        let (_, socket) =
            self.listeners.first().ok_or_else(|| ListenerError::NotDeclared { name: "listener".into() })?;
        self.open(socket)
    }

    /// The listener of that name.
    ///
    /// # Errors
    /// As of [`listener`](Context::listener).
    pub fn listener_named(&self, name: &str) -> Result<Listener, ListenerError> {
        let found = self.listeners.iter().find(|(declared, _)| declared == name);
        let (_, socket) = found.ok_or_else(|| ListenerError::NotDeclared { name: name.into() })?;
        self.open(socket)
    }

    fn open(&self, socket: &Lent) -> Result<Listener, ListenerError> {
        Listener::open(socket, &self.member)
    }

    /// The slots of the cluster and how they are, now and from now on. Resolves with the first news from the master.
    ///
    /// Cancel-safe. Not before this member's link is up, and not at all once it is lost.
    pub async fn members(&self) -> Members {
        self.member.watch();
        let mut roster = self.member.roster.reader();
        // The sender is held by the member, which is held by this.
        let _ = roster.wait_for(Option::is_some).await;
        Members { roster }
    }

    /// Spawns a task that belongs to this member: in its span, and ended with it. A panic in it is an exception.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.member.spawner.spawn(task.instrument(self.member.span.clone()))
    }

    /// Has everything that this member logs go to this `tracing` subscriber, from here on: in a process of its own, all that the
    /// process logs; as a thread, all that this thread does; simulated, what its tasks do. To be called in the role function.
    ///
    /// # Errors
    /// [`AlreadySubscribed`].
    pub fn subscribe(&self, subscriber: impl Into<tracing::Dispatch>) -> Result<(), AlreadySubscribed> {
        match self.member.spawner.subscribe(subscriber.into()) {
            true => Ok(()),
            false => Err(AlreadySubscribed),
        }
    }

    /// What the calendar shows: that of the machine, or, simulated, that of the simulation.
    pub fn calendar(&self) -> SystemTime {
        self.member.spawner.calendar()
    }

    /// Reports that something went wrong which this process cannot be trusted to have survived. The same as a panic: a
    /// worker stops accepting, is replaced at once, finishes and leaves; of an agent it is logged.
    pub fn report_exception(&self, exception: impl fmt::Display) {
        self.member.exception(What::Reported, exception.to_string());
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What a member logs goes to a subscriber already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this member has a tracing subscriber already")]
pub struct AlreadySubscribed;

async fn resolved(mut flag: Reader<bool>) {
    if flag.wait_for(|&set| set).await.is_err() {
        // The member is gone, and whoever waits with it.
        std::future::pending::<()>().await;
    }
}

/// The slots of the cluster and how they are, as the master last told.
#[derive(Clone, Debug)]
pub struct Members {
    roster: Reader<Option<Roster>>,
}

impl Members {
    /// What was told last.
    pub fn current(&self) -> Roster {
        self.roster.get().unwrap_or_default()
    }

    /// Resolves when there is news since the last call, with it. Cancel-safe. Never, once the link is lost.
    pub async fn changed(&mut self) -> Roster {
        match self.roster.changed().await {
            Ok(roster) => roster.unwrap_or_default(),
            Err(Closed) => std::future::pending().await,
        }
    }

    /// Resolves when `condition` holds, at once if it does, with the roster for which it did. Cancel-safe.
    pub async fn wait_for(&mut self, mut condition: impl FnMut(&Roster) -> bool) -> Roster {
        match self.roster.wait_for(|roster| roster.as_ref().is_some_and(&mut condition)).await {
            Ok(roster) => roster.unwrap_or_default(),
            Err(Closed) => std::future::pending().await,
        }
    }
}
