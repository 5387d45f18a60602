//! The room where it comes together, in the master: facts become events, decisions become calls. Every slot and every
//! process is an actor, and the death of a process is the end of its actor.
//!
//! ```text
//!  Master          the core, its one timer, the board of who is who; handles look at core and board without asking it
//!   ├─ DeskActor   the master's own place among the members, for a program that embeds it
//!   ├─ ShelfActor  what the master keeps: the last value of each topic, and who wants to know
//!   └─ SlotActor   one per slot, outlives its processes: what waits for them
//!       └─ ProcessActor   one per process: its link, its orders, its pulse, its end
//! ```
//!
//! Facts about a process go straight to the master; its end goes by way of the slot, as the supervision event that
//! carries the record. So nothing that it said is heard after it.

mod blueprint;
mod board;
mod core;
mod desk;
mod facts;
mod heartbeat;
mod journal;
mod link;
mod master;
mod messages;
mod notice;
mod observe;
mod operations;
mod perform;
mod process;
mod pulse;
mod routes;
mod shelf;
mod slot;
mod timer;

pub(crate) use self::core::SharedCore;
pub(crate) use blueprint::{Blueprint, RoleBlueprint};
pub(crate) use desk::{Chair, Desk};
pub use heartbeat::Heartbeat;
pub(crate) use master::{Master, MasterArguments};
pub(crate) use messages::MasterMsg;
pub(crate) use notice::SharedBoard;
pub(crate) use observe::{Beat, Clerk, Observe};
