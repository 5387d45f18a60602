//! One process of a simulation: a member within its border, its link, and its end, which is told once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::fault::Injection;
use super::signals::{Disposition, disposition};
use super::world::World;
use crate::identity::MemberId;
use crate::loopback::Pipe;
use crate::member::{Border, MASTER_LOST, Vessel};
use crate::process::{ExitRecord, ExitStatus, ProcessControl, clock};
use crate::supervision::Dice;

/// A process.
pub(super) struct Process {
    pub(super) id: MemberId,
    pub(super) border: Border,
    born: Instant,
    world: Weak<World>,
    pub(super) to_member: Pipe,
    pub(super) from_member: Pipe,
    exit: Mutex<Option<oneshot::Sender<ExitRecord>>>,
    dice: Mutex<Dice>,
    terminate: Notify,
    /// By whom it was asked to end, and has not heard it yet.
    asked: Mutex<Vec<Injection>>,
    /// Asked to end, it does not; and the fault of which that is the effect, if it is one.
    stays: OnceLock<Option<Injection>>,
    /// Signals for when it goes on: of one that is stopped they are not.
    pending: Mutex<Vec<(i32, Option<Injection>)>>,
    /// Stopped, and so is the thread that watches its master.
    stopped: AtomicBool,
    /// Stuck: no signal mends that.
    stuck: AtomicBool,
    /// Stuck for a while.
    blocked: AtomicBool,
}

impl Process {
    pub(super) fn new(
        id: MemberId,
        world: &Arc<World>,
        (to_member, from_member): (Pipe, Pipe),
        exit: oneshot::Sender<ExitRecord>,
    ) -> Arc<Process> {
        Arc::new(Process {
            id,
            border: Border::new(id, world.clone()),
            born: clock::now(),
            world: Arc::downgrade(world),
            to_member,
            from_member,
            exit: Mutex::new(Some(exit)),
            dice: Mutex::new(world.dice(0xe817)),
            terminate: Notify::new(),
            asked: Mutex::default(),
            stays: OnceLock::new(),
            pending: Mutex::default(),
            stopped: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
        })
    }

    /// It ends now, in this way. `false`: it had.
    pub(super) fn end(&self, status: ExitStatus, out_of_memory: bool) -> bool {
        let exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(exit), Some(world)) = (exit, self.world.upgrade()) else { return false };
        self.border.end();
        self.to_member.desert();
        world.state().living.remove(&self.id);
        let record = ExitRecord {
            status,
            last_words: None,
            backtrace: String::new(),
            out_of_memory,
            stderr: String::new(),
            age: clock::now().saturating_duration_since(self.born),
        };
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        // The notice of the end and the end of the link come by different ways, in either order. Now and then a
        // descendant holds the link, and it does not end at all.
        match dice.below(8) {
            0 => self.tell(exit, record),
            1..=3 => {
                self.tell(exit, record);
                self.from_member.finish();
            }
            _ => {
                self.from_member.finish();
                let delay = Duration::from_micros(dice.below(2_000) as u64);
                world.after(delay, move || drop(exit.send(record)));
            }
        }
        true
    }

    fn tell(&self, exit: oneshot::Sender<ExitRecord>, record: ExitRecord) {
        // Nobody is left who would want to know.
        let _ = exit.send(record);
    }

    /// It gets this signal, by this fault if by one. `true`: and at once that does something to it.
    pub(super) fn signal(&self, number: i32, by: Option<&Injection>) -> bool {
        const KILL: i32 = 9;
        let disposition = disposition(number);
        match disposition {
            // One that is stopped is shown no other signal until it goes on.
            Disposition::Asks | Disposition::Ends if number != KILL && self.stopped.load(Ordering::Relaxed) => {
                self.pending.lock().unwrap_or_else(PoisonError::into_inner).push((number, by.cloned()));
                false
            }
            Disposition::Ignored => false,
            Disposition::Asks => {
                self.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(by.cloned());
                self.terminate.notify_one();
                false
            }
            Disposition::Continues => self.proceed(),
            Disposition::Stops => self.stop(),
            Disposition::Ends => self.end(ExitStatus::Signal { number, core_dumped: false }, false),
        }
    }

    /// It is killed, whatever it does.
    pub(super) fn kill(&self) {
        const KILL: i32 = 9;
        self.signal(KILL, None);
    }

    fn lives(&self) -> bool {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn stop(&self) -> bool {
        self.border.stand_still();
        !self.stopped.swap(true, Ordering::Relaxed)
    }

    /// `false`: it was not stopped, or it has ended.
    pub(super) fn proceed(&self) -> bool {
        let was_stopped = self.stopped.swap(false, Ordering::Relaxed) && self.lives();
        self.go_on();
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, by) in pending {
            let did_something = self.signal(number, by.as_ref());
            if let (true, Some(injection), Some(world)) = (did_something, by, self.world.upgrade()) {
                injection.took_effect_at(world.now());
            }
        }
        was_stopped
    }

    /// It goes on, unless something else holds it.
    fn go_on(&self) {
        if ![&self.stopped, &self.stuck, &self.blocked].iter().any(|holds| holds.load(Ordering::Relaxed)) {
            self.border.resume();
        }
    }

    /// Its runtime never comes back to any of its tasks.
    pub(super) fn hang(&self) -> bool {
        self.border.stand_still();
        !self.stuck.swap(true, Ordering::Relaxed)
    }

    /// Its runtime does not come back to its tasks until [`Process::unblock`]. `false`: it stands still already, and cannot
    /// begin to.
    pub(super) fn block(&self) -> bool {
        if self.stopped.load(Ordering::Relaxed) || self.stuck.load(Ordering::Relaxed) {
            return false;
        }
        self.border.stand_still();
        !self.blocked.swap(true, Ordering::Relaxed)
    }

    pub(super) fn unblock(&self) {
        self.blocked.store(false, Ordering::Relaxed);
        self.go_on();
    }

    /// Asked to end, it will not: that will be the effect of `by`, if it is a fault. Said again, it means nothing.
    pub(super) fn stay(&self, by: Option<&Injection>) {
        let _ = self.stays.set(by.cloned());
    }

    /// The thread that watches the master: it ends the process, unless it is stopped with it.
    fn end_orphaned(self: &Arc<Self>) {
        if self.stopped.load(Ordering::Relaxed) {
            // It goes on when the process does.
            let process = self.clone();
            if let Some(world) = self.world.upgrade() {
                world.after(Duration::from_secs(1), move || process.end_orphaned());
            }
        } else {
            self.end(ExitStatus::Code(MASTER_LOST), false);
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A process, as those have it who may end it.
pub(super) struct Reins(pub(super) Weak<Process>);

impl ProcessControl for Reins {
    fn kill(&self) {
        if let Some(process) = self.0.upgrade() {
            process.kill();
        }
    }
}

/// A process, as its member has it.
pub(super) struct Simulated {
    pub(super) process: Arc<Process>,
    pub(super) orphan_grace: Duration,
}

impl Vessel for Simulated {
    /// There is no stderr that would be captured.
    fn ready(&mut self) {}

    fn orphaned(&mut self) {
        let process = self.process.clone();
        if let Some(world) = self.process.world.upgrade() {
            world.after(self.orphan_grace, move || process.end_orphaned());
        }
    }

    /// There is no black box: what a member dies of it has told, or nobody knows.
    fn survived(&mut self) {}

    async fn terminated(&mut self) {
        self.process.terminate.notified().await;
        let asked = std::mem::take(&mut *self.process.asked.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(world) = self.process.world.upgrade() {
            asked.iter().for_each(|injection| injection.took_effect_at(world.now()));
        }
    }

    async fn let_go(&mut self) {
        let Some(by) = self.process.stays.get() else { return };
        if let (Some(injection), Some(world)) = (by, self.process.world.upgrade()) {
            injection.took_effect_at(world.now());
        }
        std::future::pending().await
    }
}
