//! The real backend: the way to the thread that owns every process.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::BytesMut;
use rustix::net::RecvFlags;
use tokio::io::ReadBuf;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::oneshot;

use super::backend::{LinkRead, ProcessBackend, ProcessControl, SpawnError, SpawnSpec, Spawned, Spawning};
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
    /// Starts the thread.
    pub(crate) fn start(orphans: Orphans) -> io::Result<Nursery> {
        let wake = Arc::new(rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?);
        let (queue, requests) = mpsc::channel();
        let ward = Ward::new(orphans, requests, wake.clone())?;
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
                reader: Box::new(Reader(reader)),
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

/// The receiving half of a link to a real process.
struct Reader(OwnedReadHalf);

impl tokio::io::AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl LinkRead for Reader {
    fn read_now(&mut self, into: &mut BytesMut) -> io::Result<Option<usize>> {
        // Not tokio's `try_read`: it believes that there is nothing until the reactor has said otherwise.
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match rustix::net::recv(self.0.as_ref().as_fd(), &mut buffer, RecvFlags::DONTWAIT) {
                Ok((got, _)) => {
                    into.extend_from_slice(&buffer[..got]);
                    return Ok(Some(got));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                // The other end went without having read all that we sent. What it sent has been read before.
                Err(rustix::io::Errno::CONNRESET) => return Ok(Some(0)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
