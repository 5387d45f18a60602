//! A listening socket in memory, as a simulated member has it.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::address::{LocalAddr, PeerAddr};
use super::stream::Inner;
use crate::loopback::Port;

/// One acceptor's handle on a port.
pub(super) struct MemorySocket {
    port: Arc<Port>,
    ticket: u64,
}

impl MemorySocket {
    pub(super) fn open(port: Arc<Port>) -> MemorySocket {
        let ticket = port.ticket();
        MemorySocket { port, ticket }
    }

    pub(super) fn local_addr(&self) -> LocalAddr {
        LocalAddr::Tcp(self.port.address())
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<(Inner, PeerAddr)> {
        self.port.poll_accept(self.ticket, cx).map(|(stream, peer)| (Inner::Memory(stream), PeerAddr::Tcp(peer)))
    }

    pub(super) fn accept_now(&self) -> Option<(Inner, PeerAddr)> {
        self.port.accept_now().map(|(stream, peer)| (Inner::Memory(stream), PeerAddr::Tcp(peer)))
    }

    pub(super) fn shut(&self) {
        self.port.shut();
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        self.port.forget(self.ticket);
    }
}
