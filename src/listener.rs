//! The port of a worker, the same type in every mode of sharing: what stops accepting at once on an exception and a
//! stop, deals with the errors of accept, and counts the connections that are open.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream as FuturesStream;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::Sleep;

use crate::member::{Connection, Member, Position};

/// How the workers of a cluster share a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// One socket, on which all accept. Simple, and nothing is lost when a worker dies. The spread is even under load,
    /// and not for few long-lived connections.
    #[default]
    OneSocket,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenerError {
    /// The plan declares none of that name.
    #[error("no {name} is declared")]
    NotDeclared {
        /// What was asked for.
        name: String,
    },
    /// Its descriptor could not be copied or registered.
    #[error("failed to open the listener: {0}")]
    Io(#[from] io::Error),
}

/// Accepts connections on a port that the master holds.
///
/// Accepting ends when the member is to stop or to be replaced; what has been accepted is the caller's until it is
/// dropped. While the master decides about an exception it pauses. Errors of accept are dealt with here: a connection
/// that is broken before it is accepted is passed over, a lack of descriptors or memory is waited out, and none of them
/// is ever the caller's.
///
/// Also a [`futures::Stream`](futures_core::Stream) of connections, as tonic, hyper and warp take it, and with the
/// feature `axum` an axum `Listener`.
pub struct Listener {
    socket: SharedSocket,
    gate: Waiting,
    /// After an error that only time mends. The one timer that is not the core's.
    pause: Option<Pin<Box<Sleep>>>,
    next_pause: Duration,
}

enum SharedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A listener's place at the gate, left with it.
struct Waiting {
    ticket: usize,
    member: Arc<Member>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.member.gate.forget(self.ticket);
    }
}

/// The first pause after an error that only time mends, doubled up to [`LONGEST_PAUSE`] while it lasts. A loop without
/// one spins at three million errors a second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Listener {
    pub(crate) fn open(socket: OwnedFd, member: &Arc<Member>) -> Result<Listener, ListenerError> {
        let socket = Socket::from(socket);
        let socket = match socket.local_addr()?.is_unix() {
            true => SharedSocket::Unix(UnixListener::from_std(OwnedFd::from(socket).into())?),
            false => SharedSocket::Tcp(TcpListener::from_std(OwnedFd::from(socket).into())?),
        };
        let gate = Waiting { ticket: member.gate.ticket(), member: member.clone() };
        Ok(Listener { socket, gate, pause: None, next_pause: FIRST_PAUSE })
    }

    /// The address that clients connect to: with port 0 declared, the port that was found.
    ///
    /// # Errors
    /// What the system says; in practice none.
    pub fn local_addr(&self) -> io::Result<LocalAddr> {
        Ok(match &self.socket {
            SharedSocket::Tcp(socket) => LocalAddr::Tcp(socket.local_addr()?),
            SharedSocket::Unix(socket) => {
                LocalAddr::Unix(socket.local_addr()?.as_pathname().map(Into::into).unwrap_or_default())
            }
        })
    }

    /// The next connection. `None`: this member accepts no more. Cancel-safe: dropped before it resolves, nothing was
    /// accepted.
    pub async fn accept(&mut self) -> Option<Stream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The same as a poll.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
        loop {
            self.gate.member.gate.register(self.gate.ticket, cx.waker());
            match self.gate.member.gate.position() {
                Position::Closed => return Poll::Ready(None),
                Position::Paused => return Poll::Pending,
                Position::Sweeping => return Poll::Ready(self.sweep()),
                Position::Open => {}
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.socket.poll_accept(cx)) {
                Ok(accepted) => {
                    self.next_pause = FIRST_PAUSE;
                    return Poll::Ready(Some(self.wrap(accepted)));
                }
                Err(error) => self.weather(&error),
            }
        }
    }

    /// What is queued already, when nobody will accept after us. Asks the kernel: the reactor may not have noticed yet.
    ///
    /// Then the socket is shut, for all who share it: whoever comes now is refused, and not kept waiting for a reset.
    fn sweep(&mut self) -> Option<Stream> {
        loop {
            match self.socket.accept_now() {
                Ok(accepted) => return Some(self.wrap(accepted)),
                Err(error) if is_of_the_connection(&error) => {}
                // Nothing is left, or nothing can be had.
                Err(_) => {
                    let _ = shutdown(self.socket.as_fd(), Shutdown::Read);
                    return None;
                }
            }
        }
    }

    fn wrap(&self, (inner, peer): (Inner, PeerAddr)) -> Stream {
        Stream { inner, peer, _open: self.gate.member.busy.connection() }
    }

    /// Deals with an error of accept.
    fn weather(&mut self, error: &io::Error) {
        if is_of_the_connection(error) {
            return;
        }
        if self.next_pause == FIRST_PAUSE {
            tracing::warn!(%error, "accept failed: waiting");
        }
        self.pause = Some(Box::pin(tokio::time::sleep(self.next_pause)));
        self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
    }

    /// The socket itself, for code that must have a tokio listener.
    ///
    /// What [`Listener`] promises ends here: it does not stop accepting on an exception or a stop, its connections are
    /// not waited for, and errors of accept are the caller's.
    pub fn into_tokio(self) -> TokioListener {
        match self.socket {
            SharedSocket::Tcp(socket) => TokioListener::Tcp(socket),
            SharedSocket::Unix(socket) => TokioListener::Unix(socket),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local_addr", &self.local_addr().ok()).finish_non_exhaustive()
    }
}

impl FuturesStream for Listener {
    type Item = io::Result<Stream>;

    /// Never an error: the type is what servers expect.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Stream>>> {
        self.poll_accept(cx).map(|stream| stream.map(Ok))
    }
}

/// See [`Listener::into_tokio`].
#[derive(Debug)]
pub enum TokioListener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl AsFd for SharedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            SharedSocket::Tcp(socket) => socket.as_fd(),
            SharedSocket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl SharedSocket {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Inner, PeerAddr)>> {
        match self {
            SharedSocket::Tcp(socket) => {
                let (stream, peer) = ready!(socket.poll_accept(cx))?;
                Poll::Ready(tcp(stream, peer))
            }
            SharedSocket::Unix(socket) => {
                let (stream, peer) = ready!(socket.poll_accept(cx))?;
                let peer = PeerAddr::Unix(peer.as_pathname().map(Into::into));
                Poll::Ready(Ok((Inner::Unix(stream), peer)))
            }
        }
    }

    fn accept_now(&self) -> io::Result<(Inner, PeerAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match self {
            SharedSocket::Tcp(socket) => {
                let stream = std::net::TcpStream::from(accept_with(socket.as_fd(), flags)?);
                let peer = stream.peer_addr()?;
                tcp(TcpStream::from_std(stream)?, peer)
            }
            SharedSocket::Unix(socket) => {
                let stream = std::os::unix::net::UnixStream::from(accept_with(socket.as_fd(), flags)?);
                let peer = PeerAddr::Unix(stream.peer_addr()?.as_pathname().map(Into::into));
                Ok((Inner::Unix(UnixStream::from_std(stream)?), peer))
            }
        }
    }
}

fn tcp(stream: TcpStream, peer: SocketAddr) -> io::Result<(Inner, PeerAddr)> {
    // An answer in two writes waits for nobody's acknowledgement of the first.
    let _ = stream.set_nodelay(true);
    Ok((Inner::Tcp(stream), PeerAddr::Tcp(peer)))
}

/// Whether an error of accept is one of the connection that was to be accepted: Linux passes those on, and the next one
/// may be fine.
fn is_of_the_connection(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errors = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
        Errno::CONNRESET,
        // It was reset between being accepted and being asked who it is.
        Errno::NOTCONN,
    ];
    Errno::from_io_error(error).is_some_and(|error| errors.contains(&error))
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalAddr {
    /// On this address and port.
    Tcp(SocketAddr),
    /// At this path.
    Unix(PathBuf),
}

impl fmt::Display for LocalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocalAddr::Tcp(address) => write!(f, "{address}"),
            LocalAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerAddr {
    /// This address and port.
    Tcp(SocketAddr),
    /// A process of this machine, rarely one with a name.
    Unix(Option<PathBuf>),
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddr::Tcp(address) => write!(f, "{address}"),
            PeerAddr::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            PeerAddr::Unix(None) => f.write_str("unix"),
        }
    }
}

/// A connection. Counted until it is dropped: a member that leaves waits for it.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    peer: PeerAddr,
    _open: Connection,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Who is at the other end.
    pub fn peer_addr(&self) -> &PeerAddr {
        &self.peer
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Inner::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Tcp(stream) => stream.is_write_vectored(),
            Inner::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
