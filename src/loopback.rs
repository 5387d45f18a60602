//! Sockets that exist in memory only: what a simulated cluster has in the place of the kernel's (feature `simulation`).
//!
//! ```text
//!  Port ── a listening socket: connections wait in it, whoever comes first takes one
//!  Duplex ─ one end of a connection: two Pipes
//!  Pipe ── bytes one way, bounded like a socket; cuts reads and writes short, delays, stalls, breaks
//! ```

mod duplex;
mod pipe;
mod port;

pub(crate) use duplex::{Duplex, Sever};
pub(crate) use pipe::{Pipe, PipeReader, PipeWriter, Spoil, Weather, pipe};
pub(crate) use port::Port;
