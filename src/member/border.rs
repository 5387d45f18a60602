//! The border of a simulated member: what of its code runs, stands still, or never runs again (feature `simulation`).
//!
//! Every task that belongs to the member is polled through here. Stopped, none is; killed, all are dropped and its
//! connections are cut; a panic is caught at the poll and is the member's exception. What user code started with a bare
//! `tokio::spawn` is not within: it lives on as a ghost, and what a ghost does is reported.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use tokio::task::{AbortHandle, JoinHandle};
use tracing::Dispatch;
use tracing::dispatcher::{get_default, set_default, with_default};

use super::shared::Member;
#[cfg(feature = "schedule")]
use crate::bulletin::Reader;
use crate::identity::MemberId;
use crate::loopback::Sever;
use crate::process::{catch, is_contained};
use crate::transport::What;

/// What code of a member can do only as a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Exit(i32),
    Signal(i32),
    /// Nothing of it runs any more.
    Hang,
    /// Asked to end, it will not.
    Stay,
}

/// What borders tell of to the world that they are in.
pub(crate) trait Stage: Send + Sync + fmt::Debug {
    /// A member is about to be polled. `false`: nothing is, any more.
    fn enter(&self, id: MemberId) -> bool;

    /// It has been.
    fn leave(&self);

    /// Who is being polled.
    fn polled(&self) -> Option<MemberId>;

    /// Code of a member that has ended did this, and nobody could notice.
    fn ghost(&self, id: MemberId, deed: &'static str);

    /// A member has its process do this.
    fn does(&self, id: MemberId, deed: Deed);

    /// A task outside of every border panicked while it held something of this member's.
    fn stray_panic(&self, id: MemberId);

    /// What the calendar shows.
    fn calendar(&self) -> SystemTime;

    /// Changes whenever somebody sets the calendar.
    #[cfg(feature = "schedule")]
    fn calendar_sets(&self) -> Reader<SystemTime>;

    /// A number by chance.
    #[cfg(any(feature = "log", feature = "schedule"))]
    fn random(&self) -> u64;
}

/// The border of one member. Cheap to clone; every clone is the same border.
#[derive(Clone)]
pub(crate) struct Border(Arc<Inner>);

struct Inner {
    id: MemberId,
    stage: Arc<dyn Stage>,
    /// Known as soon as there is one.
    member: OnceLock<Weak<Member>>,
    /// Where what it logs goes, if that is somewhere of its own.
    subscriber: OnceLock<Dispatch>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    condition: Condition,
    tasks: BTreeMap<u64, AbortHandle>,
    last: u64,
    /// Of tasks that would have run while the member stood still.
    standing: BTreeMap<u64, Waker>,
    connections: Vec<Sever>,
    /// How to end what it has that runs outside: actors that it serves.
    adopted: Vec<Box<dyn FnOnce() + Send>>,
    /// A panic has dropped something of the member's, and nobody has told of it yet.
    untold_panic: bool,
    /// Where this thread's log went before a task of the member, which runs, has said otherwise.
    heard_before: Option<Dispatch>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    Runs,
    /// Stopped by a signal, or stuck.
    Stands,
    Ended,
}

impl Border {
    pub(crate) fn new(id: MemberId, stage: Arc<dyn Stage>) -> Border {
        Border(Arc::new(Inner {
            id,
            stage,
            member: OnceLock::new(),
            subscriber: OnceLock::new(),
            state: Mutex::default(),
        }))
    }

    pub(crate) fn belongs_to(&self, member: &Arc<Member>) {
        let _ = self.0.member.set(Arc::downgrade(member));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.acts("spawns a task");
        let task = self.harness(task);
        let number = task.number;
        self.keep(number, tokio::spawn(task))
    }

    /// The same for what stays on this thread.
    pub(crate) fn spawn_local<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let task = self.harness(task);
        let number = task.number;
        self.keep(number, tokio::task::spawn_local(task))
    }

    fn harness<F: Future>(&self, task: F) -> Harness<F> {
        let mut state = self.state();
        state.last += 1;
        Harness { border: self.clone(), number: state.last, task: Some(Box::pin(task)) }
    }

    fn keep<T>(&self, number: u64, handle: JoinHandle<T>) -> JoinHandle<T> {
        let mut state = self.state();
        match state.condition {
            Condition::Ended => handle.abort(),
            Condition::Runs | Condition::Stands => drop(state.tasks.insert(number, handle.abort_handle())),
        }
        handle
    }

    /// A connection that ends with the member.
    pub(crate) fn connected(&self, connection: Sever) {
        let mut state = self.state();
        match state.condition {
            Condition::Ended => connection.abandon(),
            Condition::Runs | Condition::Stands => {
                // Those that have ended are let go now and then, so that the list is about as long as it has to be.
                if state.connections.len() == state.connections.capacity() {
                    state.connections.retain(Sever::is_open);
                }
                state.connections.push(connection);
            }
        }
    }

    /// Something of the member's that runs outside of its tasks, and how it is ended when the member is.
    pub(crate) fn adopt(&self, end: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        match state.condition {
            Condition::Ended => {
                drop(state);
                end();
            }
            Condition::Runs | Condition::Stands => state.adopted.push(Box::new(end)),
        }
    }

    /// Nothing of it runs until [`Border::resume`].
    pub(crate) fn stand_still(&self) {
        let mut state = self.state();
        if state.condition == Condition::Runs {
            state.condition = Condition::Stands;
        }
    }

    pub(crate) fn resume(&self) {
        let mut state = self.state();
        if state.condition == Condition::Stands {
            state.condition = Condition::Runs;
            let standing = std::mem::take(&mut state.standing);
            drop(state);
            standing.into_values().for_each(Waker::wake);
        }
    }

    /// The end of the process: nothing of it runs any more, and all that it was connected to hears of it.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.condition = Condition::Ended;
        let tasks = std::mem::take(&mut state.tasks);
        let connections = std::mem::take(&mut state.connections);
        let adopted = std::mem::take(&mut state.adopted);
        state.standing.clear();
        drop(state);
        tasks.into_values().for_each(|task| task.abort());
        connections.iter().for_each(Sever::abandon);
        adopted.into_iter().for_each(|end| end());
        if let Some(member) = self.member() {
            member.disconnect();
        }
    }

    /// Has its process do this.
    pub(crate) fn does(&self, deed: Deed) {
        self.0.stage.does(self.0.id, deed);
    }

    /// As if code of the member had this exception. `false`: there is no such code yet, or any more, or it stands still.
    pub(crate) fn raise(&self, what: What, text: &str) -> bool {
        let runs = self.state().condition == Condition::Runs;
        let member = self.member().filter(|member| runs && member.listens());
        if let Some(member) = &member {
            member.exception(what, text.to_owned());
        }
        member.is_some()
    }

    /// Has what the member's tasks log go to `subscriber`. `false`: it goes to another one.
    pub(super) fn subscribe(&self, subscriber: Dispatch) -> bool {
        if self.0.subscriber.set(subscriber.clone()).is_err() {
            return false;
        }
        // Also the rest of what this task does now.
        self.state().heard_before = Some(get_default(Dispatch::clone));
        std::mem::forget(set_default(&subscriber));
        true
    }

    /// What the member's code does, as it is heard by whoever listens to its log.
    fn heard<R>(&self, work: impl FnOnce() -> R) -> R {
        match self.0.subscriber.get() {
            Some(subscriber) => with_default(subscriber, work),
            None => work(),
        }
    }

    pub(crate) fn calendar(&self) -> SystemTime {
        self.0.stage.calendar()
    }

    #[cfg(feature = "schedule")]
    pub(crate) fn calendar_sets(&self) -> Reader<SystemTime> {
        self.0.stage.calendar_sets()
    }

    #[cfg(any(feature = "log", feature = "schedule"))]
    pub(crate) fn random(&self) -> u64 {
        self.0.stage.random()
    }

    fn member(&self) -> Option<Arc<Member>> {
        self.0.member.get().and_then(Weak::upgrade)
    }

    fn has_ended(&self) -> bool {
        self.state().condition == Condition::Ended
    }

    /// Code that holds the member does something outwards. Destructors of what was killed may try to, as the tasks are
    /// dropped: those are no ghosts.
    pub(crate) fn acts(&self, deed: &'static str) {
        if self.has_ended() && self.0.stage.polled() != Some(self.0.id) {
            self.0.stage.ghost(self.0.id, deed);
        }
    }

    pub(crate) fn panic_told(&self) {
        self.state().untold_panic = false;
    }

    pub(crate) fn released(&self) {
        if !std::thread::panicking() || is_contained() {
            return;
        }
        match self.0.stage.polled() == Some(self.0.id) {
            true => self.state().untold_panic = true,
            false => self.0.stage.stray_panic(self.0.id),
        }
    }

    /// Whether the task may run now. If not, it is woken when it may.
    fn admits(&self, number: u64, waker: &Waker) -> bool {
        let mut state = self.state();
        match state.condition {
            Condition::Runs => true,
            Condition::Stands => {
                state.standing.insert(number, waker.clone());
                false
            }
            Condition::Ended => false,
        }
    }

    fn tell_panic(&self, text: String) {
        self.panic_told();
        if let Some(member) = self.member() {
            member.exception(What::Panic, text);
        }
    }
}

impl fmt::Debug for Border {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Border").field(&self.0.id).finish()
    }
}

/// A task of a simulated member.
struct Harness<F> {
    border: Border,
    number: u64,
    /// `None`: it has ended.
    task: Option<Pin<Box<F>>>,
}

/// What a panic said that no hook has heard: whoever catches it knows the place only from the text.
const OF_A_LOCAL_TASK: &str = "a panic in a task of spawn_local: only a panic hook would know what it said";

impl<F: Future> Future for Harness<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let harness = &mut *self;
        let Some(task) = &mut harness.task else { return Poll::Pending };
        let (border, stage) = (&harness.border, &harness.border.0.stage);
        if !border.admits(harness.number, cx.waker()) || !stage.enter(border.0.id) {
            return Poll::Pending;
        }
        let polled = catch(|| border.heard(|| task.as_mut().poll(cx)));
        let (untold_panic, heard_before) = {
            let mut state = border.state();
            (std::mem::take(&mut state.untold_panic), state.heard_before.take())
        };
        if let Some(before) = heard_before {
            std::mem::forget(set_default(&before));
        }
        if untold_panic && polled.is_ok() {
            border.tell_panic(OF_A_LOCAL_TASK.to_owned());
        }
        let result = match polled {
            Ok(Poll::Pending) => {
                stage.leave();
                return Poll::Pending;
            }
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panicked) => {
                let text = panicked.untold.unwrap_or_else(|| "a panic".to_owned());
                border.tell_panic(text.clone());
                Err(text)
            }
        };
        // What it still holds is dropped as its own.
        drop_quietly(&mut harness.task);
        stage.leave();
        match result {
            Ok(output) => Poll::Ready(output),
            // Whoever joins it learns of the panic in the usual way. No hook is called again.
            Err(text) => resume_unwind(Box::new(text)),
        }
    }
}

/// A panic in a destructor of a task that ends, or was ended, is no news of a member that runs.
fn drop_quietly<F>(task: &mut Option<Pin<Box<F>>>) {
    let _ = catch(|| drop(task.take()));
}

impl<F> Drop for Harness<F> {
    fn drop(&mut self) {
        self.border.state().tasks.remove(&self.number);
        if self.task.is_some() {
            // Dropped by its own member, as part of what that drops, or by the runtime.
            let nested = self.border.0.stage.polled().is_some();
            let entered = !nested && self.border.0.stage.enter(self.border.0.id);
            drop_quietly(&mut self.task);
            if entered {
                self.border.0.stage.leave();
            }
        }
    }
}

// The pinned part is boxed: nothing else is.
impl<F> Unpin for Harness<F> {}
