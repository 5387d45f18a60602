//! A listening socket in memory: connections wait in it, and of those who wait for one, whoever comes first takes it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::duplex::Duplex;

/// A connection that nobody has accepted yet, and who is at its other end.
type Arrival = (Duplex, SocketAddr);

/// Nobody listens there, now or any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A listening socket.
pub(crate) struct Port {
    address: SocketAddr,
    backlog: usize,
    queue: Mutex<Queue>,
}

struct Queue {
    arrivals: VecDeque<Arrival>,
    /// Those who wait for a connection, each with its ticket.
    acceptors: BTreeMap<u64, Waker>,
    tickets: u64,
    /// Clients that wait for room.
    callers: Vec<Waker>,
    shut: bool,
    /// Who of those who wait is woken first: an index below so many.
    dice: Box<dyn FnMut(usize) -> usize + Send>,
}

impl Port {
    pub(crate) fn new(address: SocketAddr, backlog: usize, dice: Box<dyn FnMut(usize) -> usize + Send>) -> Port {
        let (arrivals, acceptors, callers) = Default::default();
        let queue = Queue { arrivals, acceptors, tickets: 0, callers, shut: false, dice };
        Port { address, backlog, queue: Mutex::new(queue) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for one more, now.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let mut queue = self.queue();
        if queue.shut {
            return Poll::Ready(Err(Refused));
        }
        if queue.arrivals.len() >= self.backlog {
            queue.callers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// A connection has come. All who wait are told, as the kernel tells them; which of them hears first is chance.
    pub(crate) fn arrive(&self, arrival: Arrival) -> Result<(), Refused> {
        let mut queue = self.queue();
        if queue.shut {
            return Err(Refused);
        }
        queue.arrivals.push_back(arrival);
        let mut waiting: Vec<Waker> = std::mem::take(&mut queue.acceptors).into_values().collect();
        while !waiting.is_empty() {
            let next = (queue.dice)(waiting.len());
            waiting.swap_remove(next).wake();
        }
        Ok(())
    }

    /// A place to wait at, for one acceptor.
    pub(crate) fn ticket(&self) -> u64 {
        let mut queue = self.queue();
        queue.tickets += 1;
        queue.tickets
    }

    /// Nobody waits there any more.
    pub(crate) fn forget(&self, ticket: u64) {
        self.queue().acceptors.remove(&ticket);
    }

    /// The next connection. Waits under `ticket`, which is one acceptor's own.
    pub(crate) fn poll_accept(&self, ticket: u64, cx: &mut Context<'_>) -> Poll<Arrival> {
        match self.accept_now() {
            Some(arrival) => Poll::Ready(arrival),
            None => {
                self.queue().acceptors.insert(ticket, cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn accept_now(&self) -> Option<Arrival> {
        let mut queue = self.queue();
        let arrival = queue.arrivals.pop_front()?;
        queue.callers.drain(..).for_each(Waker::wake);
        Some(arrival)
    }

    /// Refuses whoever comes from now on. What nobody has accepted is reset.
    pub(crate) fn shut(&self) {
        let mut queue = self.queue();
        queue.shut = true;
        for (arrival, _) in queue.arrivals.drain(..) {
            arrival.sever().reset();
        }
        queue.callers.drain(..).for_each(Waker::wake);
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("address", &self.address).finish_non_exhaustive()
    }
}
