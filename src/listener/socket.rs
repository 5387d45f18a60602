//! The listening socket that the master lends: TCP or Unix, and what its errors mean.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::address::{LocalAddr, PeerAddr};
use super::stream::Inner;
use crate::process::Socket as Lent;

pub(super) enum SharedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
    #[cfg(feature = "simulation")]
    Memory(super::memory::MemorySocket),
}

/// See [`Listener::into_tokio`](super::Listener::into_tokio).
#[derive(Debug)]
pub enum TokioListener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl SharedSocket {
    pub(super) fn open(lent: Lent) -> io::Result<SharedSocket> {
        let socket = match lent {
            Lent::System(socket) => Socket::from(socket),
            #[cfg(feature = "simulation")]
            Lent::Memory(port) => return Ok(SharedSocket::Memory(super::memory::MemorySocket::open(port))),
        };
        Ok(match socket.local_addr()?.is_unix() {
            true => SharedSocket::Unix(UnixListener::from_std(OwnedFd::from(socket).into())?),
            false => SharedSocket::Tcp(TcpListener::from_std(OwnedFd::from(socket).into())?),
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<LocalAddr> {
        Ok(match self {
            SharedSocket::Tcp(socket) => LocalAddr::Tcp(socket.local_addr()?),
            SharedSocket::Unix(socket) => {
                LocalAddr::Unix(socket.local_addr()?.as_pathname().map(Into::into).unwrap_or_default())
            }
            #[cfg(feature = "simulation")]
            SharedSocket::Memory(socket) => socket.local_addr(),
        })
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Inner, PeerAddr)>> {
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
            #[cfg(feature = "simulation")]
            SharedSocket::Memory(socket) => socket.poll_accept(cx).map(Ok),
        }
    }

    /// Asks the kernel, whatever the reactor has noticed.
    pub(super) fn accept_now(&self) -> io::Result<(Inner, PeerAddr)> {
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
            #[cfg(feature = "simulation")]
            SharedSocket::Memory(socket) => socket.accept_now().ok_or_else(|| io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Shuts the socket, for all who share it.
    pub(super) fn shut(&self) {
        let socket = match self {
            SharedSocket::Tcp(socket) => socket.as_fd(),
            SharedSocket::Unix(socket) => socket.as_fd(),
            #[cfg(feature = "simulation")]
            SharedSocket::Memory(socket) => return socket.shut(),
        };
        let _ = shutdown(socket, Shutdown::Read);
    }

    pub(super) fn into_tokio(self) -> TokioListener {
        match self {
            SharedSocket::Tcp(socket) => TokioListener::Tcp(socket),
            SharedSocket::Unix(socket) => TokioListener::Unix(socket),
            #[cfg(feature = "simulation")]
            SharedSocket::Memory(_) => panic!("a simulated listener has no socket of the system's: use it as it is"),
        }
    }
}

fn tcp(stream: TcpStream, peer: SocketAddr) -> io::Result<(Inner, PeerAddr)> {
    // An answer in two writes waits for nobody's acknowledgement of the first.
    let _ = stream.set_nodelay(true);
    Ok((Inner::Tcp(stream), PeerAddr::Tcp(peer)))
}

/// Whether an error of accept says that the socket was [shut](SharedSocket::shut), by a sibling that has been told to stop a moment
/// before this one is.
pub(super) fn is_shut(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INVAL)
}

/// Whether an error of accept is one of the connection that was to be accepted: Linux passes those on, and the next one
/// may be fine.
pub(super) fn is_of_the_connection(error: &io::Error) -> bool {
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
