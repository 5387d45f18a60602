//! The thread that owns every process from its spawn to its reaping.
//!
//! One thread, and it lives as long as the master: the parent-death signal of a member belongs to the *thread* that
//! started it. It owns a process by its pidfd, which cannot come to mean somebody else; it ends what a member leaves
//! behind *before* it reaps the member, while the number of its group is still taken. And it ends everything it owns
//! when the other end of its requests is gone, however that came about.
//!
//! It never waits for one process, which would be for all: a process may be dead and not to be reaped, because a debugger
//! holds it, or be killed and not die, because the kernel or a debugger holds it.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::oneshot;

use super::backend::{SpawnError, SpawnSpec};
use super::descendants::{self, Mark};
use super::exit::{ExitRecord, ExitStatus};
use super::memory::OomKills;
use super::spawn::{self, Hatchling};
use super::stderr::Forward;
use super::{black_box, clock};

/// How long the last processes may take to go when everything ends. They have been killed: this is the time that the
/// kernel needs for it. What is there still cannot die, and waiting for it would be for ever.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How soon to look again for descendants when they could not be looked for.
const SWEEP_AGAIN: Duration = Duration::from_millis(100);

/// How soon to look for descendants after a death: its successor is started first, which takes less.
const SWEEP_SOON: Duration = Duration::from_millis(2);

/// How soon to look again for descendants when everything ends, and nobody tells us of deaths any more.
const LAST_SWEEPS: Duration = Duration::from_millis(1);

/// What the thread is asked for.
pub(super) enum Request {
    Spawn(Box<SpawnSpec>, oneshot::Sender<Result<Newborn, SpawnError>>),
    Kill(u64),
    Sweep,
    Close(oneshot::Sender<()>),
}

/// What the thread hands out of a process that it has started.
pub(super) struct Newborn {
    pub(super) serial: u64,
    pub(super) pid: u32,
    pub(super) link: std::os::unix::net::UnixStream,
    pub(super) channel: OwnedFd,
    pub(super) exit: oneshot::Receiver<ExitRecord>,
}

/// To whom the kernel hands those whom a member leaves behind, and so how they are found and who reaps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphans {
    /// To this process, which is the master's alone: every child of it is reaped.
    Ours,
    /// To this process, which has children of its own: only what carries the mark of a member is ended and reaped. Nobody
    /// tells when one is handed over or ends.
    Adopted,
    /// To others. The dead of a cluster are searched for on the whole machine; what happens to be handed to us all the
    /// same, since this process is the first of a container, is reaped like the adopted.
    Elsewhere,
}

/// How often to look after the adopted when nobody has died.
const ADOPTED_SWEEPS: Duration = Duration::from_secs(1);

/// What woke the thread.
const WAKE: u64 = 0;

/// Two tokens for each process: its end, and its stderr.
fn exit_token(serial: u64) -> u64 {
    2 * serial
}

fn stderr_token(serial: u64) -> u64 {
    2 * serial + 1
}

/// The state of the thread.
pub(super) struct Ward {
    orphans: Orphans,
    requests: mpsc::Receiver<Request>,
    wake: Arc<OwnedFd>,
    epoll: OwnedFd,
    children: HashMap<u64, Child>,
    serial: u64,
    /// The marks of members that are gone and of whose descendants some may be left.
    dead: Vec<Mark>,
    /// When to look for them without being asked to.
    sweep_at: Option<Instant>,
    stderr: Forward,
    /// Where that of members goes, once they are ready, if that is another.
    stderr_of_members: Option<OwnedFd>,
    oom_kills: OomKills,
    closing: Option<Closing>,
}

/// Nobody is left to ask for anything, or somebody asked for the end.
struct Closing {
    until: Instant,
    replies: Vec<oneshot::Sender<()>>,
}

/// What a look at the children that are not members has found.
struct Strangers {
    /// Some had ended, and were reaped.
    reaped: bool,
    /// The marks of those that are alive and belonged to the dead. They have been killed.
    killed: Vec<Mark>,
}

struct Child {
    hatchling: Hatchling,
    born: Instant,
    killed: bool,
    exit: oneshot::Sender<ExitRecord>,
}

impl Ward {
    pub(super) fn new(
        orphans: Orphans,
        stderr_of_members: Option<OwnedFd>,
        requests: mpsc::Receiver<Request>,
        wake: Arc<OwnedFd>,
    ) -> io::Result<Ward> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Ward {
            orphans,
            requests,
            wake,
            epoll,
            children: HashMap::new(),
            serial: 1,
            dead: Vec::new(),
            sweep_at: (orphans == Orphans::Adopted).then(|| clock::now() + ADOPTED_SWEEPS),
            stderr: Forward::to_own_stderr(),
            stderr_of_members,
            oom_kills: OomKills::of_this_process(),
            closing: None,
        })
    }

    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(64);
        while !self.is_done() {
            events.clear();
            let patience = self.patience();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), patience.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("the nursery cannot wait for its processes: {error}"),
            }
            for event in &events {
                match event.data.u64() {
                    WAKE => self.hear(),
                    token if token % 2 == 0 => self.reap(token / 2),
                    token => self.listen_to(token / 2),
                }
            }
            let now = clock::now();
            if self.sweep_at.is_some_and(|at| at <= now) {
                self.sweep();
            }
        }
        // What cannot die cannot hand on its descendants either: they would be left.
        for Hatchling { process, mark, .. } in self.children.values().map(|child| &child.hatchling) {
            for pid in descendants::family(*mark, process.pid(), process.pid()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for reply in self.closing.into_iter().flat_map(|closing| closing.replies) {
            let _ = reply.send(());
        }
    }

    fn is_done(&self) -> bool {
        let nobody_left = self.children.is_empty() && self.dead.is_empty();
        self.closing.as_ref().is_some_and(|closing| nobody_left || closing.until <= clock::now())
    }

    /// How long to wait for somebody to tell us something. `None`: as long as it takes.
    fn patience(&self) -> Option<Timespec> {
        let due = [self.sweep_at, self.closing.as_ref().map(|closing| closing.until)];
        let left = due.into_iter().flatten().min()?.saturating_duration_since(clock::now());
        Some(Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() })
    }

    /// Serves the requests that are there.
    fn hear(&mut self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        loop {
            match self.requests.try_recv() {
                Ok(Request::Spawn(spec, reply)) => self.spawn(&spec, reply),
                Ok(Request::Kill(serial)) => self.kill(serial),
                Ok(Request::Sweep) => self.sweep_soon(),
                Ok(Request::Close(reply)) => self.close().replies.push(reply),
                Err(mpsc::TryRecvError::Empty) => return,
                Err(mpsc::TryRecvError::Disconnected) => {
                    self.close();
                    return;
                }
            }
        }
    }

    /// Begins the end of everything, if it has not begun.
    fn close(&mut self) -> &mut Closing {
        if self.closing.is_none() {
            self.kill_all();
            // From here on nobody asks for it.
            self.sweep_at = Some(clock::now());
        }
        self.closing.get_or_insert_with(|| Closing { until: clock::now() + LAST_WAIT, replies: Vec::new() })
    }

    fn spawn(&mut self, spec: &SpawnSpec, reply: oneshot::Sender<Result<Newborn, SpawnError>>) {
        if self.closing.is_some() {
            let _ = reply.send(Err(SpawnError::closed()));
            return;
        }
        let result = spawn::spawn(spec, self.stderr_of_members.as_ref()).and_then(|(hatchling, link, channel)| {
            let serial = self.serial;
            self.serial += 1;
            let (exit, receiver) = oneshot::channel();
            let pid = hatchling.process.pid().as_raw_nonzero().get() as u32;
            if let Err(error) = self.watch(serial, &hatchling) {
                // Owned by nobody, it would live for ever.
                hatchling.end();
                return Err(error);
            }
            let newborn = Newborn { serial, pid, link, channel, exit: receiver };
            self.children.insert(serial, Child { hatchling, born: clock::now(), killed: false, exit });
            Ok(newborn)
        });
        // The asker went away meanwhile.
        if let Err(Ok(newborn)) = reply.send(result) {
            self.kill(newborn.serial);
        }
    }

    fn watch(&self, serial: u64, hatchling: &Hatchling) -> Result<(), SpawnError> {
        let watch = |descriptor: &OwnedFd, token: u64, flags: epoll::EventFlags| {
            epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(token), flags)
                .map_err(|error| SpawnError::new("failed to watch the process", error))
        };
        // An end is told once, and once more when a debugger lets go of one that could not be reaped: in between there
        // is nothing to be done about it.
        let once = epoll::EventFlags::IN | epoll::EventFlags::ET;
        watch(hatchling.process.descriptor(), exit_token(serial), once)?;
        watch(hatchling.stderr.descriptor(), stderr_token(serial), epoll::EventFlags::IN)
    }

    fn kill(&mut self, serial: u64) {
        if let Some(child) = self.children.get_mut(&serial) {
            child.killed = true;
            child.hatchling.process.kill();
        }
    }

    fn kill_all(&mut self) {
        let serials: Vec<u64> = self.children.keys().copied().collect();
        for serial in serials {
            self.kill(serial);
        }
    }

    fn listen_to(&mut self, serial: u64) {
        let Some(child) = self.children.get_mut(&serial) else { return };
        if !child.hatchling.stderr.pump(&mut self.stderr) {
            let _ = epoll::delete(&self.epoll, child.hatchling.stderr.descriptor());
        }
    }

    /// A process has ended: ends those of its group, reaps it, reports it.
    fn reap(&mut self, serial: u64) {
        let Some(child) = self.children.get(&serial) else { return };
        // Until it is reaped the number of its group means nobody else.
        child.hatchling.process.kill_group();
        self.dead.extend(child.hatchling.mark);
        if let Some(status) = child.hatchling.process.reap() {
            self.report(serial, status);
        }
        self.sweep_soon();
    }

    fn report(&mut self, serial: u64, status: ExitStatus) {
        let Some(child) = self.children.remove(&serial) else { return };
        let Hatchling { black_box, mut stderr, .. } = child.hatchling;
        let now = clock::now();
        let unexplained = matches!(status, ExitStatus::Signal { number: 9, .. }) && !child.killed;
        let _ = stderr.pump(&mut self.stderr);
        stderr.flush(&mut self.stderr);
        let words = black_box::read(&black_box);
        let (last_words, backtrace) = words.map_or_else(Default::default, |words| (Some(words.text), words.backtrace));
        let record = ExitRecord {
            status,
            last_words,
            backtrace,
            out_of_memory: unexplained && self.oom_kills.claim(now),
            stderr: stderr.tail(),
            age: now - child.born,
        };
        // Whoever started it may have gone: then there is nobody to tell.
        let _ = child.exit.send(record);
        if !unexplained {
            // What was counted until now explains no later death.
            self.oom_kills.look(now);
        }
    }

    /// Sees to it that those whom a death left behind are looked for, when whoever comes after it has been started.
    fn sweep_soon(&mut self) {
        let soon = clock::now() + if self.closing.is_some() { Duration::ZERO } else { SWEEP_SOON };
        self.sweep_at = Some(self.sweep_at.map_or(soon, |at| at.min(soon)));
    }

    /// Ends and reaps what the dead have left behind, as far as it has been handed to us, and forgets the dead who have
    /// left nobody.
    fn sweep(&mut self) {
        let now = clock::now();
        self.sweep_at = match self.look_for_strangers() {
            // What was reaped has handed its own children to us, and maybe after the list was read: nobody may be
            // forgotten before there was a look that reaped nobody. Others have their turn in between.
            Ok(strangers) if strangers.reaped => Some(now),
            // What was killed hands on its own children when it goes, and its end is the next occasion to look.
            Ok(strangers) => {
                self.dead = strangers.killed;
                let left = !self.dead.is_empty();
                let again = match (self.orphans, self.closing.is_some()) {
                    (_, true) => left.then_some(LAST_SWEEPS),
                    // The signal of its end.
                    (Orphans::Ours, false) => None,
                    (Orphans::Adopted, false) => Some(ADOPTED_SWEEPS),
                    (Orphans::Elsewhere, false) => left.then_some(SWEEP_AGAIN),
                };
                again.map(|after| now + after)
            }
            // Whoever is there was not seen, so nobody is forgotten. And nobody tells when it can be looked again.
            Err(_) => Some(now + SWEEP_AGAIN),
        };
    }

    fn look_for_strangers(&self) -> io::Result<Strangers> {
        let owned: Vec<Pid> = self.children.values().map(|child| child.hatchling.process.pid()).collect();
        let mut strangers = Strangers { reaped: false, killed: Vec::new() };
        for pid in descendants::children()?.into_iter().filter(|pid| !owned.contains(pid)) {
            // The children of the host are its own business, also their ends.
            if self.orphans != Orphans::Ours && !Mark::of(pid)?.is_some_and(|mark| self.is_mark_of_ours(mark)) {
                continue;
            }
            match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(_)) => strangers.reaped = true,
                Ok(None) => {
                    // Our child and not reaped by anybody else: its number means nobody else.
                    if let Some(mark) = Mark::of(pid)?.filter(|mark| self.dead.contains(mark)) {
                        strangers.killed.push(mark);
                        let _ = kill_process(pid, Signal::KILL);
                    }
                }
                // Not one that can be waited for in this way.
                Err(_) => {}
            }
        }
        if self.orphans == Orphans::Elsewhere {
            strangers.killed.extend(descendants::kill_marked(&self.dead)?);
        }
        Ok(strangers)
    }

    /// Whether it is that of a member, or of one that is dead and has left somebody.
    fn is_mark_of_ours(&self, mark: Mark) -> bool {
        self.dead.contains(&mark) || self.children.values().any(|child| child.hatchling.mark == Some(mark))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::super::nursery::Nursery;
    use super::super::pidfd::Held;
    use super::super::stderr::Capture;
    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "the nursery reaps it")]
    fn who_drops_the_nursery_ends_what_it_owns() {
        let wake = Arc::new(rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("a descriptor"));
        let (queue, requests) = mpsc::channel();
        let nursery = Nursery::before(queue, wake.clone());
        let mut ward = Ward::new(Orphans::Ours, None, requests, wake).expect("descriptors");
        let sleeper = Command::new("sleep").arg("600").process_group(0).spawn().expect("coreutils");
        let hatchling = Hatchling {
            process: Held::open(Pid::from_child(&sleeper)).expect("it is ours"),
            black_box: File::from(black_box::create().expect("memory")),
            stderr: Capture::new().expect("a pipe").0,
            mark: None,
        };
        ward.watch(1, &hatchling).expect("room");
        let (exit, mut record) = oneshot::channel();
        ward.children.insert(1, Child { hatchling, born: clock::now(), killed: false, exit });
        let thread = std::thread::spawn(move || ward.run());
        let another = nursery.clone();
        drop(nursery);
        assert!(!thread.is_finished() && record.try_recv().is_err(), "somebody still has it");
        drop(another);
        thread.join().expect("it ends");
        let status = record.try_recv().expect("its end was told").status;
        assert_eq!(status, ExitStatus::Signal { number: 9, core_dumped: false });
    }
}
