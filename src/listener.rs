//! The port of a worker, the same type in every mode of sharing: what stops accepting at once on an exception and a
//! stop, deals with the errors of accept, and counts the connections that are open.

mod address;
#[cfg(feature = "simulation")]
mod memory;
mod socket;
mod stream;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream as FuturesStream;
use tokio::time::Sleep;

pub use self::address::{LocalAddr, PeerAddr};
pub use self::socket::TokioListener;
use self::socket::{SharedSocket, is_of_the_connection, is_shut};
use self::stream::Inner;
pub use self::stream::Stream;
#[cfg(feature = "simulation")]
use crate::member::Spawner;
use crate::member::{Member, Position};
use crate::process::Lent;

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
    #[error("no {name} is declared: the plan has none, see Hatchery::listen")]
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

/// A listener's place at the gate, left with it.
struct Waiting {
    ticket: usize,
    member: Arc<Member>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.member.gate.forget(self.ticket);
        self.member.spawner.released();
    }
}

/// The first pause after an error that only time mends, doubled up to [`LONGEST_PAUSE`] while it lasts. A loop without
/// one spins at three million errors a second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Listener {
    pub(crate) fn open(socket: &Lent, member: &Arc<Member>) -> Result<Listener, ListenerError> {
        let socket = SharedSocket::open(socket.open()?)?;
        let gate = Waiting { ticket: member.gate.ticket(), member: member.clone() };
        Ok(Listener { socket, gate, pause: None, next_pause: FIRST_PAUSE })
    }

    /// The address that clients connect to: with port 0 declared, the port that was found.
    ///
    /// # Errors
    /// What the system says; in practice none.
    pub fn local_addr(&self) -> io::Result<LocalAddr> {
        self.socket.local_addr()
    }

    /// The next connection. `None`: this member accepts no more. Cancel-safe: dropped before it resolves, nothing was
    /// accepted.
    pub async fn accept(&mut self) -> Option<Stream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The same as a poll.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
        self.gate.member.spawner.acts("accepts");
        loop {
            self.gate.member.gate.register(self.gate.ticket, cx.waker());
            match self.gate.member.gate.position() {
                Position::Closed => return Poll::Ready(None),
                Position::Paused => return Poll::Pending,
                Position::Emptying => return Poll::Ready(self.queued()),
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

    /// What is queued already, when nobody will accept after us.
    ///
    /// Then the socket is shut, for all who share it: whoever comes now is refused, and not kept waiting for a reset.
    fn sweep(&mut self) -> Option<Stream> {
        let next = self.queued();
        if next.is_none() {
            self.socket.shut();
        }
        next
    }

    /// What is queued already. Asks the kernel: the reactor may not have noticed yet.
    fn queued(&mut self) -> Option<Stream> {
        loop {
            match self.socket.accept_now() {
                Ok(accepted) => return Some(self.wrap(accepted)),
                Err(error) if is_of_the_connection(&error) => {}
                // Nothing is left, or nothing can be had.
                Err(_) => return None,
            }
        }
    }

    fn wrap(&self, (inner, peer): (Inner, PeerAddr)) -> Stream {
        #[cfg(feature = "simulation")]
        if let (Inner::Memory(stream), Spawner::Border(border)) = (&inner, &self.gate.member.spawner) {
            border.connected(stream.sever());
        }
        Stream::new(inner, peer, self.gate.member.busy.connection())
    }

    /// Deals with an error of accept.
    fn weather(&mut self, error: &io::Error) {
        if is_of_the_connection(error) {
            return;
        }
        if self.next_pause == FIRST_PAUSE && !is_shut(error) {
            tracing::warn!(%error, "accept failed: waiting");
        }
        self.pause = Some(Box::pin(tokio::time::sleep(self.next_pause)));
        self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
    }

    /// The socket itself, for code that must have a tokio listener.
    ///
    /// What [`Listener`] promises ends here: it does not stop accepting on an exception or a stop, its connections are
    /// not waited for, and errors of accept are the caller's.
    ///
    /// # Panics
    /// In a simulation, where there is no such socket.
    pub fn into_tokio(self) -> TokioListener {
        self.socket.into_tokio()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Incarnation, Role, Slot};
    use crate::transport::{Directory, Limits};

    #[tokio::test]
    async fn a_sweep_passes_over_a_connection_that_was_reset_and_then_refuses() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("it is bound");
        let directory = Arc::new(Directory::new([(Role::WORKER, 1)]));
        let id = Slot::worker(0).member(Incarnation::FIRST);
        let (member, _events) =
            Member::new(id, directory, Limits { payload: 1_000 }, tokio::runtime::Handle::current());
        let mut listener = Listener::open(&std::os::fd::OwnedFd::from(socket).into(), &member).expect("a reactor");
        member.gate.pause_at_once();
        let gone = std::net::TcpStream::connect(address).expect("it listens");
        // Dropped, it resets.
        socket2::Socket::from(gone).set_linger(Some(Duration::ZERO)).expect("a socket");
        let waits = std::net::TcpStream::connect(address).expect("it listens");
        member.gate.close(Position::Sweeping);
        let accepted = listener.accept().await.expect("the one that waits");
        let expected = waits.local_addr().expect("it is connected");
        assert_eq!(accepted.peer_addr(), &PeerAddr::Tcp(expected));
        assert!(listener.accept().await.is_none());
        let refused = std::net::TcpStream::connect(address).expect_err("nobody accepts any more");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        // What a sibling finds that has not been told to stop yet.
        assert!(listener.socket.accept_now().is_err_and(|error| is_shut(&error)));
    }
}
