//! Members as threads of this process: the backend of [`Hatchery::in_threads`](crate::Hatchery::in_threads).
//!
//! ```text
//!            master                                         a thread for each member
//!  Threads ── spawn ──► socket pair, std::thread ──►  tenant: a runtime, the first words, `member::live`
//!     │                                                  │
//!     └ reins: how it is to end ──────────────────────►  leaves at its next yield; one ExitRecord
//! ```
//!
//! A thread cannot be killed. It is asked to end, and hears that as soon as its code yields to its runtime. One that never
//! does is left where it is: the core finds out by its deadline, and calls it unkillable.

mod reins;
mod tenant;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::reins::Reins;
use self::tenant::Tenant;
use crate::identity::Role;
use crate::member::RoleInside;
use crate::process::{
    Capabilities, ProcessBackend, ProcessControl, SocketReader, SpawnError, SpawnSpec, Spawned, Spawning, clock,
};
use crate::transport::Directory;

/// What the threads run: the user's program, as far as its plan says.
pub(crate) struct Program {
    directory: Directory,
    roles: Vec<(Role, RoleInside)>,
}

impl Program {
    pub(crate) fn new(directory: Directory, roles: Vec<(Role, RoleInside)>) -> Program {
        Program { directory, roles }
    }

    fn role(&self, role: Role) -> Option<&RoleInside> {
        self.roles.iter().find(|(name, _)| *name == role).map(|(_, inside)| inside)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program")
    }
}

/// Starts members as threads. Dropped, it asks all of them to end.
pub(crate) struct Threads {
    program: Arc<Program>,
    house: Arc<House>,
}

/// How long the last threads may take when everything ends. Who is there still does not yield, and waiting for it would
/// be for ever.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// As much as the main thread of a process has by default: what works there works here.
const STACK: usize = 8 << 20;

impl Threads {
    pub(crate) fn new(program: Arc<Program>) -> Threads {
        let house = House { tenants: Mutex::default(), left: watch::Sender::new(0) };
        Threads { program, house: Arc::new(house) }
    }
}

/// Who lives here.
struct House {
    tenants: Mutex<Tenants>,
    /// How many are left, for those who wait for nobody.
    left: watch::Sender<usize>,
}

#[derive(Default)]
struct Tenants {
    closed: bool,
    serial: u64,
    living: HashMap<u64, Reins>,
}

impl House {
    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody moves in, who is counted until the lease is dropped. `None`: nobody does any more.
    fn lease(self: &Arc<Self>, reins: &Reins) -> Option<Lease> {
        let mut tenants = self.tenants();
        if tenants.closed {
            return None;
        }
        tenants.serial += 1;
        let serial = tenants.serial;
        tenants.living.insert(serial, reins.clone());
        self.left.send_replace(tenants.living.len());
        Some(Lease { house: self.clone(), serial })
    }

    fn close(&self) {
        let mut tenants = self.tenants();
        tenants.closed = true;
        tenants.living.values().for_each(Reins::kill);
    }
}

/// The place of one thread. Dropped when the thread has left.
struct Lease {
    house: Arc<House>,
    serial: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut tenants = self.house.tenants();
        tenants.living.remove(&self.serial);
        self.house.left.send_replace(tenants.living.len());
    }
}

/// A thread that nobody has been given yet: dropped, it is ended.
struct Unclaimed(Option<Reins>);

impl Unclaimed {
    fn claim(mut self) -> Option<Reins> {
        self.0.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(reins) = &self.0 {
            reins.kill();
        }
    }
}

impl ProcessBackend for Threads {
    fn spawn(&self, spec: SpawnSpec) -> Spawning {
        let (program, house) = (self.program.clone(), self.house.clone());
        Box::pin(async move {
            let (master, member) = UnixStream::pair().map_err(failed("failed to make a link"))?;
            let reins = Reins::new();
            let Some(lease) = house.lease(&reins) else {
                return Err(failed("failed to start a thread")(io::Error::other("the cluster has ended")));
            };
            let unclaimed = Unclaimed(Some(reins.clone()));
            let (ended, exit) = oneshot::channel();
            let (told, born) = oneshot::channel();
            let name = spec.member.slot().to_string();
            let tenant = Tenant { spec, program, link: member, reins, ended, born_at: clock::now(), lease };
            let thread = thread::Builder::new().name(name).stack_size(STACK);
            thread.spawn(move || tenant.live(told)).map_err(failed("failed to start a thread"))?;
            let number = born.await.unwrap_or_else(|_| Err(io::Error::other("it ended at once")));
            let number = number.map_err(failed("failed to start a runtime"))?;
            let register = || {
                master.set_nonblocking(true)?;
                tokio::net::UnixStream::from_std(master)
            };
            let (reader, writer) = register().map_err(failed("failed to register the link"))?.into_split();
            Ok(Spawned {
                pid: number,
                control: Box::new(Control(unclaimed.claim())),
                exit,
                reader: Box::new(SocketReader(reader)),
                writer: Box::new(writer),
                descriptors: None,
            })
        })
    }

    /// What a member starts is a child of this process, and its own.
    fn sweep(&self) {}

    fn capabilities(&self) -> Capabilities {
        Capabilities::THREADS
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.house.close();
        let mut left = self.house.left.subscribe();
        Box::pin(async move {
            let _ = tokio::time::timeout(LAST_WAIT, left.wait_for(|left| *left == 0)).await;
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.house.close();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> SpawnError {
    move |error| SpawnError::new(step, error)
}

struct Control(Option<Reins>);

impl ProcessControl for Control {
    fn kill(&self) {
        if let Some(reins) = &self.0 {
            reins.kill();
        }
    }
}
