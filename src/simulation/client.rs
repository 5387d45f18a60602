//! Virtual clients: who connects from outside to a port of the simulated cluster.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::weather::{Breeze, Carrier};
use super::world::World;
use crate::loopback::{Duplex, Port};

/// Why a client got nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No port has that name.
    #[error("no port is called {name:?}: there are {present:?}")]
    NoSuchPort {
        /// What was asked for.
        name: String,
        /// What there is.
        present: Vec<String>,
    },
    /// Nobody listens there, now or any more.
    #[error("connection refused")]
    Refused,
    /// What went over the connection was no answer.
    #[cfg(feature = "axum")]
    #[error("no answer: {0}")]
    Http(String),
    /// No answer has come within this time.
    #[cfg(feature = "axum")]
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
}

/// A client of one port.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) world: Arc<World>,
    pub(super) name: String,
}

/// A client's end of a connection. Dropped, the connection is closed.
#[derive(Debug)]
pub struct Connection(Duplex);

impl Client {
    /// Connects. Waits, like the kernel, while the queue of the port is full. Cancel-safe: dropped before it resolves,
    /// there is no connection.
    ///
    /// # Errors
    /// [`ClientError::NoSuchPort`], [`ClientError::Refused`].
    pub async fn connect(&self) -> Result<Connection, ClientError> {
        let port = self.port()?;
        std::future::poll_fn(|cx| port.poll_room(cx)).await.map_err(|_| ClientError::Refused)?;
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, self.world.next_caller()));
        let (near, far) =
            Duplex::pair(|| Breeze::of(self.world.dice(0xc11e), Carrier::Connection, &self.world.traffic));
        port.arrive((far, peer)).map_err(|_| ClientError::Refused)?;
        Ok(Connection(near))
    }

    fn port(&self) -> Result<Arc<Port>, ClientError> {
        let state = self.world.state();
        match state.ports.get(&self.name) {
            Some(port) => Ok(port.clone()),
            // Of a cluster that has ended.
            None if state.ports.is_empty() => Err(ClientError::Refused),
            None => {
                Err(ClientError::NoSuchPort { name: self.name.clone(), present: state.ports.keys().cloned().collect() })
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a client of {}", self.name)
    }
}
