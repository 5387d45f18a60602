//! A listening socket as it is lent to members: what a backend passes on without looking into it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

#[cfg(feature = "simulation")]
use crate::loopback::Port;

/// A listening socket that members are lent. Cheap to clone; every clone is the same socket.
#[derive(Clone)]
pub struct Lent(Kind);

#[derive(Clone)]
enum Kind {
    Socket(Arc<OwnedFd>),
    #[cfg(feature = "simulation")]
    Memory(Arc<Port>),
}

/// What is lent, for whoever accepts on it.
pub(crate) enum Socket {
    /// A descriptor of the system's.
    System(OwnedFd),
    #[cfg(feature = "simulation")]
    Memory(Arc<Port>),
}

impl Lent {
    pub(crate) fn socket(socket: Arc<OwnedFd>) -> Lent {
        Lent(Kind::Socket(socket))
    }

    #[cfg(feature = "simulation")]
    pub(crate) fn memory(port: Arc<Port>) -> Lent {
        Lent(Kind::Memory(port))
    }

    /// The descriptor, to be passed to a process. `None`: it is no socket of the system's.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Kind::Socket(socket) => Some(socket.as_fd()),
            #[cfg(feature = "simulation")]
            Kind::Memory(_) => None,
        }
    }

    /// A handle of one's own on the same socket.
    pub(crate) fn open(&self) -> std::io::Result<Socket> {
        Ok(match &self.0 {
            Kind::Socket(socket) => Socket::System(socket.try_clone()?),
            #[cfg(feature = "simulation")]
            Kind::Memory(port) => Socket::Memory(port.clone()),
        })
    }
}

impl From<OwnedFd> for Lent {
    fn from(socket: OwnedFd) -> Lent {
        Lent::socket(Arc::new(socket))
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.descriptor()).finish()
    }
}
