//! Schedules: what is to be done at times, by whom, and what happens when that cannot be.
//!
//! ```text
//!  agent                                              master                    members of the role
//!  Desk ─► Course (pure): ticks, overlap, missed ─┐
//!   ▲        ▲ facts      │ steps                 ├─ State ──► kept, for the next agent
//!   │     Keeper ─────────┴───────────────────────┴─ Order ──► one of them, or all ──► Jobs ─► your function
//!  Schedule                                                                              └─ how it ended ─► Keeper
//! ```
//!
//! The trigger lives in the agent, and the work runs where the schedule says. What a run is about to be is written down before
//! it is ordered: an agent that is killed at any moment leaves a successor that starts nothing twice. (An order that got lost
//! with it is not given again: at most once, as everything here.) What is known of a schedule ends with the cluster.

mod course;
mod cron;
mod declared;
mod desk;
mod errand;
mod handle;
mod jobs;
mod keeper;
mod status;
mod timetable;
mod wall;

pub use self::declared::{Missed, Overlap, Retry, Schedule, ScheduleError};
pub use self::handle::Schedules;
pub(crate) use self::handle::{PAYLOAD, Program, check_name, install};
pub use self::jobs::Tick;
pub(crate) use self::jobs::{Job, job};
pub use self::status::{LastRun, RunOutcome, ScheduleStatus};
