//! The real backend: the way to the thread that owns every process.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::backend::{ProcessBackend, ProcessControl, SpawnError, SpawnSpec, Spawned, Spawning};
use super::socket_reader::SocketReader;
use super::ward::{Orphans, Request, Ward};

/// Real processes, started from the running image.
#[derive(Clone)]
pub(crate) struct Nursery {
    requests: Requests,
}

/// The way to the thread. When the last of them goes, the thread ends what it owns, and itself.
#[derive(Clone)]
struct Requests(Arc<Line>);

struct Line {
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Request>>,
    wake: Arc<OwnedFd>,
}

impl fmt::Debug for Nursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nursery")
    }
}

impl Nursery {
    /// Starts the thread. `stderr` is what members get for theirs, once they are ready; `None`: that of this process.
    pub(crate) fn start(orphans: Orphans, stderr: Option<OwnedFd>) -> io::Result<Nursery> {
        let wake = Arc::new(rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?);
        let (queue, requests) = mpsc::channel();
        let ward = Ward::new(orphans, stderr, requests, wake.clone())?;
        thread::Builder::new().name("hatchery-nursery".into()).spawn(move || ward.run())?;
        Ok(Nursery::before(queue, wake))
    }

    /// The way to a thread that hears these.
    pub(super) fn before(queue: mpsc::Sender<Request>, wake: Arc<OwnedFd>) -> Nursery {
        Nursery { requests: Requests(Arc::new(Line { queue: Some(queue), wake })) }
    }
}

impl Requests {
    /// A request that cannot be delivered concerns processes that have been ended.
    fn send(&self, request: Request) {
        if self.0.queue.as_ref().is_some_and(|queue| queue.send(request).is_ok()) {
            ring(&self.0.wake);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The thread must find the queue closed when it wakes.
        drop(self.queue.take());
        ring(&self.wake);
    }
}

/// The counter of an eventfd overflows after 2^64 rings that nobody heard.
fn ring(wake: &OwnedFd) {
    let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
}

impl ProcessBackend for Nursery {
    fn spawn(&self, spec: SpawnSpec) -> Spawning {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Spawn(Box::new(spec), reply));
        let requests = self.requests.clone();
        Box::pin(async move {
            let newborn = answer.await.map_err(|_| SpawnError::closed())??;
            let control = Box::new(Control { requests, serial: newborn.serial });
            let link = || {
                newborn.link.set_nonblocking(true)?;
                UnixStream::from_std(newborn.link)
            };
            let link = link().map_err(|error| {
                control.kill();
                SpawnError::new("failed to register the link", error)
            })?;
            let (reader, writer) = link.into_split();
            Ok(Spawned {
                pid: newborn.pid,
                control,
                exit: newborn.exit,
                reader: Box::new(SocketReader(reader)),
                writer: Box::new(writer),
                descriptors: Some(newborn.channel),
            })
        })
    }

    fn sweep(&self) {
        self.requests.send(Request::Sweep);
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (reply, done) = oneshot::channel();
        self.requests.send(Request::Close(reply));
        Box::pin(async move {
            let _ = done.await;
        })
    }
}

struct Control {
    requests: Requests,
    serial: u64,
}

impl ProcessControl for Control {
    fn kill(&self) {
        self.requests.send(Request::Kill(self.serial));
    }
}
