//! The backend of a simulation: what the master has in the place of the operating system. Processes are members within
//! borders, links are pipes, and both ends of every link speak the real protocol.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::fault::Omen;
use super::process::{Process, Reins, Simulated};
use super::weather::{Breeze, Carrier};
use super::world::{MASTER_PID, World};
use crate::identity::Role;
use crate::loopback::{PipeReader, PipeWriter, pipe};
use crate::member::{Admission, Inside, Member, RoleFn, RoleInside, live};
use crate::process::{Capabilities, ExitStatus, LinkRead, ProcessBackend, SpawnError, SpawnSpec, Spawned, Spawning};
use crate::transport::Directory;

/// Creates simulated processes. As long as it has not been closed, its world is that of a cluster which runs.
pub(super) struct Backend {
    world: Arc<World>,
    program: Arc<Program>,
    closed: AtomicBool,
}

/// What the processes of a simulation run: the user's program, as far as its plan says.
pub(super) struct Program {
    pub(super) directory: Arc<Directory>,
    pub(super) roles: BTreeMap<Role, RoleInside>,
}

/// A process that is about to begin.
struct Birth {
    process: Arc<Process>,
    spec: SpawnSpec,
    reader: PipeReader,
    writer: PipeWriter,
    program: Arc<Program>,
    start: Start,
}

/// How a process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Usual,
    Slow(Duration),
    Never,
}

impl Backend {
    /// For a cluster that is about to run.
    pub(super) fn new(world: Arc<World>, program: Arc<Program>) -> Backend {
        world.state().running = true;
        Backend { world, program, closed: AtomicBool::new(false) }
    }

    /// Nobody is left, and another cluster may run: once, since another one may be by the time that this is dropped.
    fn end(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            end_all(&self.world);
            self.world.state().running = false;
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl ProcessBackend for Backend {
    fn spawn(&self, spec: SpawnSpec) -> Spawning {
        let (world, program) = (self.world.clone(), self.program.clone());
        Box::pin(async move {
            let mut dice = world.dice(0x5ba3);
            tokio::time::sleep(Duration::from_micros(300 + dice.below(1_500) as u64)).await;
            let start = foretold(&world, &spec)?;
            Ok(begin(&world, program, spec, start))
        })
    }

    /// There are no descendants.
    fn sweep(&self) {}

    fn master_pid(&self) -> u32 {
        MASTER_PID
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::SIMULATED
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.end();
        Box::pin(std::future::ready(()))
    }
}

/// Also of a start that has failed, or was given up.
impl Drop for Backend {
    fn drop(&mut self) {
        self.end();
    }
}

fn end_all(world: &World) {
    let living: Vec<_> = world.state().living.values().cloned().collect();
    for process in living {
        process.kill();
    }
    let ports = std::mem::take(&mut world.state().ports);
    ports.values().for_each(|port| port.shut());
}

/// What the fault that waits for a start in this slot makes of it.
fn foretold(world: &World, spec: &SpawnSpec) -> Result<Start, SpawnError> {
    let awaited = world.state().awaited.remove(&spec.member.slot());
    let Some((omen, injection)) = awaited else { return Ok(Start::Usual) };
    world.say(format_args!("fault at the start of {}: {}", spec.member, injection.fault()));
    injection.took_effect_at(world.now());
    match omen {
        Omen::Refused(errno) => {
            Err(SpawnError::new("failed to execute the program", io::Error::from_raw_os_error(errno)))
        }
        Omen::Slow(delay) => Ok(Start::Slow(delay)),
        Omen::Never => Ok(Start::Never),
    }
}

/// Begins a process, and returns the master's end of it.
fn begin(world: &Arc<World>, program: Arc<Program>, spec: SpawnSpec, start: Start) -> Spawned {
    let id = spec.member;
    let breeze = |purpose| Breeze::of(world.dice(purpose), Carrier::Link, &world.traffic);
    let (member_reader, master_writer, to_member) = pipe(breeze(0x70));
    let (master_reader, member_writer, from_member) = pipe(breeze(0xf0));
    let (ended, exit) = oneshot::channel();
    world.linked(id, to_member.clone(), from_member.clone());
    let process = Process::new(id, world, (to_member, from_member), ended);
    world.state().living.insert(id, process.clone());
    let control = Box::new(Reins(Arc::downgrade(&process)));
    let birth = Birth { process, spec, reader: member_reader, writer: member_writer, program, start };
    world.run(move || {
        birth.live();
        Box::pin(std::future::ready(()))
    });
    Spawned {
        pid: world.next_pid(),
        control,
        exit,
        reader: Box::new(master_reader),
        writer: Box::new(master_writer),
        descriptors: None,
    }
}

impl LinkRead for PipeReader {
    fn read_now(&mut self, into: &mut BytesMut) -> io::Result<Option<usize>> {
        PipeReader::read_now(self, into)
    }
}

impl Birth {
    /// Lives, as a task of this thread. What it leaves behind on this thread, `spawn_local` included, goes with it.
    fn live(self) {
        let process = self.process.clone();
        let border = process.border.clone();
        border.spawn_local(async move {
            let local = LocalSet::new();
            let code = local.run_until(self.run()).await;
            process.end(ExitStatus::Code(code), false);
        });
    }

    async fn run(self) -> i32 {
        let Birth { process, spec, reader, writer, program, start } = self;
        let admission = match Admission::read(&spec.boot, spec.listeners, &program.directory) {
            Ok(admission) => admission,
            Err(error) => return error.code(),
        };
        let Admission { id, limits, orphan_grace, listeners } = admission;
        let Some(role) = program.roles.get(&id.role()) else { return CONFIG };
        let border = process.border.clone();
        let spawner = crate::member::Spawner::Border(border.clone());
        let (member, events) = Member::new(id, program.directory.clone(), limits, spawner);
        border.belongs_to(&member);
        let role = role.running(as_foretold(role.run.clone(), start));
        let inside = Inside { member: member.clone(), listeners };
        live(member, events, &role, inside, (reader, writer), Simulated { process, orphan_grace }).await
    }
}

const CONFIG: i32 = 78;

/// The role function, in the circumstances.
fn as_foretold(run: Arc<RoleFn>, start: Start) -> Arc<RoleFn> {
    Arc::new(move |inside| {
        let run = run.clone();
        Box::pin(async move {
            match start {
                Start::Usual => {}
                Start::Slow(delay) => tokio::time::sleep(delay).await,
                Start::Never => std::future::pending().await,
            }
            run(inside).await
        })
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn backend(world: &Arc<World>) -> Backend {
        let directory = Arc::new(Directory::new([]));
        Backend::new(world.clone(), Arc::new(Program { directory, roles: BTreeMap::new() }))
    }

    #[test]
    fn a_start_that_fails_leaves_its_world_free_and_what_is_left_of_an_earlier_cluster_does_not_touch_the_next() {
        let world = World::new(1, Vec::new(), mpsc::unbounded_channel().0, u64::MAX);
        let running = || world.state().running;
        let given_up = backend(&world);
        assert!(running());
        drop(given_up);
        assert!(!running(), "nobody has it any more");
        let earlier = backend(&world);
        earlier.end();
        let next = backend(&world);
        drop(earlier);
        assert!(running(), "the next one runs");
        drop(next);
        assert!(!running());
    }
}
