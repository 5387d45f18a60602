//! Run one Rust program as a family of processes: a master that only supervises and routes, one agent that does the
//! shared chores, and workers that serve on one port.

pub mod identity;
pub mod process;
pub mod supervision;
mod transport;

pub use process::{Contained, contain, contain_future};
