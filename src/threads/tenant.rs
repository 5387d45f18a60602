//! A member in a thread of its own: from its runtime to its exit record.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::reins::Reins;
use super::{Lease, Program};
use crate::member::{Admission, Inside, Lookout, MASTER_LOST, Member, Spawner, Vessel, live};
use crate::process::{ExitRecord, ExitStatus, SpawnSpec, catch, clock, say, thread_id};

/// One who moves in.
pub(super) struct Tenant {
    pub(super) spec: SpawnSpec,
    pub(super) program: Arc<Program>,
    pub(super) link: UnixStream,
    pub(super) reins: Reins,
    pub(super) ended: oneshot::Sender<ExitRecord>,
    pub(super) born_at: Instant,
    pub(super) lease: Lease,
}

/// A Rust program that panics ends with this code.
const PANICKED: i32 = 101;

/// Blocking tasks may never end. They are waited for as long as in a process of its own.
const BLOCKING: Duration = Duration::from_millis(50);

impl Tenant {
    /// The whole life of the thread. `told`: its number, or why it cannot live.
    pub(super) fn live(self, told: oneshot::Sender<io::Result<u32>>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = told.send(Err(error));
                return;
            }
        };
        // Whoever is not interested any more has it ended.
        let _ = told.send(Ok(thread_id()));
        let Tenant { spec, program, link, reins, ended, born_at, lease } = self;
        let member = OnceLock::new();
        let local = LocalSet::new();
        let status = catch(|| {
            local.block_on(&runtime, async {
                tokio::select! {
                    biased;
                    status = reins.ended() => status,
                    code = reside(spec, &program, link, &reins, &runtime, &member) => ExitStatus::Code(code),
                }
            })
        });
        // A destructor panicked while all was dropped: told to end, it ends so.
        let status = status.unwrap_or_else(|_| reins.order().unwrap_or(ExitStatus::Code(PANICKED)));
        let _ = catch(|| drop(local));
        let _ = catch(|| runtime.shutdown_timeout(BLOCKING));
        if let Some(member) = member.get() {
            let _ = catch(|| move_out(member));
        }
        let age = clock::now().saturating_duration_since(born_at);
        let (backtrace, stderr) = Default::default();
        let record = ExitRecord { status, last_words: None, backtrace, out_of_memory: false, stderr, age };
        drop(lease);
        // Nobody is left who would want to know.
        let _ = ended.send(record);
    }
}

/// Its memory does not end with it: whoever still holds the member finds it closed, and handlers, which hold messengers,
/// which hold the member, are let go.
fn move_out(member: &Arc<Member>) {
    member.disconnect();
    member.dispatch.close();
}

/// Lives, and returns the exit code.
async fn reside(
    spec: SpawnSpec,
    program: &Program,
    link: UnixStream,
    reins: &Reins,
    runtime: &Runtime,
    tenant: &OnceLock<Arc<Member>>,
) -> i32 {
    const OS_ERROR: i32 = 71;
    const CONFIG: i32 = 78;
    let slot = spec.member.slot();
    // What has been added since the plan is told to each by its own first words.
    let directory = program.directory.declared();
    let admission = match Admission::read(&spec.boot, spec.listeners, &directory) {
        Ok(admission) => admission,
        Err(error) => {
            say(&format!("{slot} cannot start: {error}"));
            return error.code();
        }
    };
    let Admission { id, limits, orphan_grace, listeners } = admission;
    let Some(role) = program.role(id.role()) else { return CONFIG };
    let link = link.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(link));
    let link = match link {
        Ok(link) => link,
        Err(error) => {
            say(&format!("{slot} cannot start: failed to register the link: {error}"));
            return OS_ERROR;
        }
    };
    let lookout = Lookout::new(runtime.handle().clone());
    let (member, events) = Member::new(id, Arc::new(directory), limits, Spawner::Lookout(lookout.clone()));
    lookout.belongs_to(&member);
    let _ = tenant.set(member.clone());
    let inside = Inside { member: member.clone(), listeners };
    let room = Room { reins: reins.clone(), orphan_grace };
    live(member, events, role, inside, link.into_split(), room).await
}

/// A thread, as its member has it.
struct Room {
    reins: Reins,
    orphan_grace: Duration,
}

impl Vessel for Room {
    /// Its stderr is the process's.
    fn ready(&mut self) {}

    fn orphaned(&mut self) {
        let (reins, grace) = (self.reins.clone(), self.orphan_grace);
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            reins.end(ExitStatus::Code(MASTER_LOST));
        });
    }

    /// There is no black box: what a member dies of it has told.
    fn survived(&mut self) {}

    /// A signal is one to the process, and the master's.
    async fn terminated(&mut self) {
        std::future::pending().await
    }
}
