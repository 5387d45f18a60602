//! The room where decisions are made. Pure: no clock, no dice of its own, no descriptor, no task, no log; time and
//! chance are arguments.
//!
//! A [`Supervisor`] is told [`Event`]s and answers with [`Actions`]; a [`Strategy`] is what it asks when somebody
//! failed. What a seat does with every fact:
//!
//! | seat \ fact | ready | exception | link lost | exited | deadline | stop |
//! |---|---|---|---|---|---|---|
//! | unstarted | old news | old news | old news | old news | — | vacant |
//! | starting | ready | leaving (it ends itself) | leaving | boot failed: ask | kill, leaving | leaving |
//! | ready | old news | ask | leaving | ask | — | leaving |
//! | leaving | old news | old news | old news | ask, restart or vacant | kill, then abandon | hurry |
//! | waiting | old news | old news | old news | old news | spawn | vacant |
//! | parked | old news | old news | old news | old news | spawn (a probe) | vacant |
//! | vacant | old news | old news | old news | old news | — | vacant |
//!
//! Before the cluster has been ready once, *ask* is *the start has failed*, but for panics and what was reported; while
//! it stops, *ask* is *vacant*. A fact about an incarnation that is not the one in the seat is old news in every row,
//! unless that one is draining beside it. Who breaks the protocol of its link is killed in every row with a process.

mod action;
mod backoff;
mod deadlines;
mod dice;
mod ends;
mod event;
mod exceptions;
mod fact;
mod history;
mod moment;
mod one_for_one;
mod patience;
mod phases;
mod plan;
mod seat;
mod strategy;
mod supervisor;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod walks;

pub use action::{Action, Actions, Cause, Decision, Outcome, Record, Verdict};
pub use backoff::Backoff;
pub use dice::Dice;
pub use event::{Event, Urgency};
pub use fact::{BootFailure, Exception, ExceptionKind, Exit, ExitStatus, Fact, LinkError, SpawnFailure};
pub use history::{Failure, History, Intensity};
pub use moment::Moment;
pub use one_for_one::{OnException, OneForOne, RestartType};
pub use plan::{Plan, RolePlan};
pub use seat::{Departure, Errand, Seat};
pub use strategy::{Directive, FromFn, Reason, Strategy, View, from_fn};
pub use supervisor::Supervisor;
