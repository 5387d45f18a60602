//! The room that carries: frames, their addresses, the credit that bounds them, the queue of each slot, the link that
//! they travel on. Knows no process and decides no restart.
//!
//! ```text
//!  member A                         master                                              member B
//!  Messenger ─► Line ══ link ══► Session ──► runs ──► SlotQueue of B ─► Station ─► Line ══ link ══► dispatcher
//!     ▲ credit                   checks,   one cast    waits, bounded    window                        │
//!     └───────────────────────── stamps    per batch   per sender        of unacknowledged ◄─── ack ───┘
//!                                                      └─► back to A: credit, or the frames with a reason
//! ```
//!
//! What is passed on is never decoded here: a header says where to, and its payload is the receiver's business.

mod account;
mod address;
mod books;
mod codec;
mod control;
mod cutter;
mod directory;
mod frame;
mod header;
mod kind;
mod ledger;
mod line;
mod names;
mod reason;
mod returns;
mod run;
mod session;
mod shelf;
mod slot_queue;
#[cfg(test)]
mod slot_queue_tests;
mod station;
mod unacked;
mod welcome;

pub(crate) use account::{Account, charge, window};
pub(crate) use address::Address;
pub(crate) use books::Books;
pub(crate) use codec::{CodecError, decode, encode};
pub(crate) use control::{Ack, Hello, Order, Report, What, read_credits};
pub(crate) use cutter::Destination;
pub(crate) use directory::{Directory, Growth};
pub(crate) use frame::{Limits, Peek, action, payload_start, peek, put_bare};
pub(crate) use header::{ACTION_LIMIT, Class, Flags, Header, WireError};
pub(crate) use kind::{Kind, Lane, Want};
pub(crate) use line::Line;
#[cfg(feature = "schedule")]
pub(crate) use names::SCHEDULES;
pub(crate) use names::{FOLLOWED, RESERVED, SHARED};
pub(crate) use reason::Outcome;
pub use reason::Reason;
pub(crate) use returns::Effect;
pub(crate) use run::Run;
pub(crate) use session::{Said, Session};
pub(crate) use shelf::{Shelf, ShelfRules};
pub(crate) use slot_queue::SlotQueue;
pub(crate) use welcome::{Welcome, WelcomeError, read_roster, roster_frame};

/// The largest payload limit that a cluster may set. Every queue grows with it.
pub(crate) const PAYLOAD_CEILING: usize = 16 << 20;
