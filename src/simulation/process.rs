//! One process of a simulation: a member within its border, its link, and its end, which is told once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

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
    /// Told to go, it does not.
    stays: AtomicBool,
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
            stays: AtomicBool::new(false),
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

    pub(super) fn signal(&self, number: i32) -> bool {
        const TERM: i32 = 15;
        const CONT: i32 = 18;
        const STOP: i32 = 19;
        match number {
            TERM => {
                self.terminate.notify_one();
                true
            }
            CONT => self.proceed(),
            STOP => self.stop(),
            _ => self.end(ExitStatus::Signal { number, core_dumped: false }, false),
        }
    }

    fn stop(&self) -> bool {
        self.border.stand_still();
        !self.stopped.swap(true, Ordering::Relaxed)
    }

    /// `false`: it was not stopped, or it has ended.
    pub(super) fn proceed(&self) -> bool {
        let was_stopped = self.stopped.swap(false, Ordering::Relaxed);
        self.go_on();
        was_stopped && self.exit.lock().unwrap_or_else(PoisonError::into_inner).is_some()
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

    /// Told to go, it will not.
    pub(super) fn stay(&self) -> bool {
        !self.stays.swap(true, Ordering::Relaxed)
    }

    /// Resolves when the role function may be seen to have returned.
    pub(super) async fn lets_go(&self) {
        if self.stays.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
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
        const KILL: i32 = 9;
        if let Some(process) = self.0.upgrade() {
            process.signal(KILL);
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
    }
}
