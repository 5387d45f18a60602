//! axum on a [`Listener`], with a drain that loses nothing (feature `axum`).
//!
//! hyper's own graceful shutdown closes idle connections at once, and with them the request that a client sends at that
//! moment: in our measurement it broke 32 of 32 keep-alive clients. Here, whatever still comes while the member drains
//! is answered with `Connection: close`, or announced HTTP/2's GOAWAY, and a connection is closed only after it has been
//! idle for [`LINGER`].
//!
//! A [`Listener`] is an axum listener, too: `axum::serve(listener, app).with_graceful_shutdown(cx.stopping())` works,
//! with hyper's drain.
//!
//! ```no_run
//! # async fn worker(cx: hatchery::Context) -> hatchery::Result<()> {
//! let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
//! let listener = cx.listener()?;
//! cx.ready();
//! hatchery::axum::serve(listener, app, &cx).await
//! # }
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::Request;
use ::axum::extract::connect_info::{Connected, IntoMakeServiceWithConnectInfo};
use ::axum::response::Response;
use ::axum::serve::IncomingStream;
use http::Version;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::Instrument;

use crate::context::Context;
use crate::listener::{Listener, LocalAddr, PeerAddr, Stream};
use crate::member::Spawner;

/// How long a connection of a member that drains must have been idle before it is closed.
pub const LINGER: Duration = Duration::from_secs(1);

/// What can be served: a [`Router`], or what its `into_make_service_with_connect_info::<PeerAddr>()` makes of it.
pub trait App: Send + sealed::Sealed {
    #[doc(hidden)]
    type Service: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static;

    #[doc(hidden)]
    fn for_connection(&mut self, peer: &PeerAddr) -> impl Future<Output = Self::Service> + Send;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Router {}
    impl<S> Sealed for super::IntoMakeServiceWithConnectInfo<S, super::PeerAddr> {}
}

impl App for Router {
    type Service = Router;

    async fn for_connection(&mut self, _: &PeerAddr) -> Router {
        self.clone()
    }
}

/// A connection that is about to be served, for [`Connected`].
#[derive(Debug)]
pub struct Arrival<'a>(&'a PeerAddr);

impl Connected<Arrival<'_>> for PeerAddr {
    fn connect_info(arrival: Arrival<'_>) -> PeerAddr {
        arrival.0.clone()
    }
}

impl App for IntoMakeServiceWithConnectInfo<Router, PeerAddr> {
    type Service = <Self as Service<Arrival<'static>>>::Response;

    async fn for_connection(&mut self, peer: &PeerAddr) -> Self::Service {
        match self.call(Arrival(peer)).await {
            Ok(service) => service,
            Err(never) => match never {},
        }
    }
}

/// Serves `app` until this member is to finish, and then until the last connection has.
///
/// Dropped before, it accepts no more; connections that are open are finished all the same, and the member waits for
/// them.
///
/// # Errors
/// None, today. The type is what a role function returns.
pub async fn serve(mut listener: Listener, mut app: impl App, cx: &Context) -> crate::Result<()> {
    let drain = Arc::new(Drain::default());
    // Whether this ends or is dropped, what is open begins to drain.
    let _end = BeginDrain(drain.clone());
    let tracker = TaskTracker::new();
    let executor = Executor(cx.member().spawner.clone());
    let mut stopping = pin!(cx.stopping());
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut stopping, if !drain.has_begun() => {
                drain.begin();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let Some(stream) = stream else { break };
        let service = app.for_connection(stream.peer_addr()).await;
        let connection =
            connection(stream, service, drain.clone(), executor.clone()).instrument(cx.member().span.clone());
        executor.0.spawn(tracker.track_future(connection));
    }
    if !drain.has_begun() {
        stopping.await;
        drain.begin();
    }
    tracker.close();
    tracker.wait().await;
    Ok(())
}

/// The beginning of the drain. Every request looks at it: without a lock.
#[derive(Debug, Default)]
struct Drain {
    begun: AtomicBool,
    bell: CancellationToken,
}

impl Drain {
    fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.bell.cancel();
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }
}

struct BeginDrain(Arc<Drain>);

impl Drop for BeginDrain {
    fn drop(&mut self) {
        self.0.begin();
    }
}

/// The streams of HTTP/2 are tasks of the member, like the connection itself.
#[derive(Clone)]
struct Executor(Spawner);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

/// Serves one connection.
async fn connection<S>(stream: Stream, service: S, drain: Arc<Drain>, executor: Executor)
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let activity = Arc::new(Activity::new(drain.clone()));
    let io = TokioIo::new(Watched { stream, activity: activity.clone() });
    let watched = activity.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut service = service.clone();
        let answering = watched.begin(request.version());
        async move {
            let version = request.version();
            let mut response = service.call(request.map(Body::new)).await?;
            if version < Version::HTTP_2 && answering.0.drain.has_begun() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            drop(answering);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = Builder::new(executor);
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    // How a connection ends is between its two ends: a client that goes away is no error of ours.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = drain.bell.cancelled() => {}
    }
    while !activity.may_be_closed() {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(LINGER) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// What goes on on one connection.
#[derive(Debug)]
struct Activity {
    drain: Arc<Drain>,
    /// Requests whose response has not begun.
    answering: AtomicUsize,
    /// Bytes have moved since the last look.
    moved: AtomicBool,
    /// The last look found nothing going on.
    looked: AtomicBool,
    http2: AtomicBool,
}

struct Answering(Arc<Activity>);

impl Activity {
    fn new(drain: Arc<Drain>) -> Activity {
        let (answering, moved, looked, http2) = Default::default();
        Activity { drain, answering, moved, looked, http2 }
    }

    fn begin(self: &Arc<Self>, version: Version) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        Answering(self.clone())
    }

    /// Whether the connection may be told to finish: one of HTTP/2 at once, it has words for it; another when nothing
    /// has gone on between two looks, a linger apart.
    fn may_be_closed(&self) -> bool {
        if self.http2.load(Ordering::Relaxed) {
            return true;
        }
        let moved = self.moved.swap(false, Ordering::Relaxed);
        let idle = !moved && self.answering.load(Ordering::Relaxed) == 0;
        // The first look only begins the linger.
        self.looked.swap(true, Ordering::Relaxed) && idle
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose movements are noticed.
struct Watched {
    stream: Stream,
    activity: Arc<Activity>,
}

impl Watched {
    fn note<T>(&self, poll: Poll<T>) -> Poll<T> {
        if poll.is_ready() {
            self.activity.moved.store(true, Ordering::Relaxed);
        }
        poll
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(poll)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl ::axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = PeerAddr;

    async fn accept(&mut self) -> (Stream, PeerAddr) {
        match Listener::accept(self).await {
            Some(stream) => {
                let peer = stream.peer_addr().clone();
                (stream, peer)
            }
            // axum has no word for the end: what it waits for is its own signal.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<PeerAddr> {
        Ok(match Listener::local_addr(self)? {
            LocalAddr::Tcp(address) => PeerAddr::Tcp(address),
            LocalAddr::Unix(path) => PeerAddr::Unix(Some(path)),
        })
    }
}

impl Connected<IncomingStream<'_, Listener>> for PeerAddr {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> PeerAddr {
        stream.remote_addr().clone()
    }
}
