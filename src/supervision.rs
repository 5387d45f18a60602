//! The room where decisions are made. Pure: no clock, no dice of its own, no descriptor, no task, no log; time and
//! chance are arguments.
//!
//! A [`Supervisor`] is told [`Event`]s and answers with [`Actions`]; a [`Strategy`] is what it asks when somebody
//! failed. What a seat does with every fact:
//!
//! | seat \ fact | ready | exception | unresponsive | link lost | exited | deadline | operator: restart, stop | stop |
//! |---|---|---|---|---|---|---|---|---|
//! | unstarted | old news | old news | old news | old news | old news | — | start or wait for its group, stopped | vacant |
//! | starting | ready | leaving (it ends itself) | it has a deadline | leaving | boot failed: ask | kill, leaving | leaving | leaving |
//! | ready | old news | ask | ask | leaving | ask | — | replace or leaving, leaving | leaving |
//! | leaving | old news | old news | old news | old news | ask, restart, wait for its group, stopped or vacant | kill, then abandon | start when gone, hurry | hurry |
//! | waiting | old news | old news | old news | old news | old news | spawn | spawn, stopped | vacant |
//! | parked | old news | old news | old news | old news | old news | spawn (a probe) | spawn, stopped | vacant |
//! | vacant | old news | old news | old news | old news | old news | — | spawn, stopped | vacant |
//! | stopped | old news | old news | old news | old news | old news | — | spawn, stopped | stopped |
//! | closed | old news | old news | old news | old news | old news | — | no such slot | closed |
//!
//! Before the cluster has been ready once, *ask* is *the start has failed*, but for panics and what was reported; while
//! it stops, *ask* is *vacant*; of one whose group is being restarted it is *wait for its group*. A fact about an
//! incarnation that is not the one in the seat is old news in every row, unless that one is draining beside it. Who breaks
//! the protocol of its link is killed in every row with a process.

mod action;
mod answer;
mod backoff;
mod children;
mod deadlines;
mod dice;
mod ends;
mod escalating;
mod event;
mod exceptional;
mod exceptions;
#[cfg(test)]
mod exhaustive;
mod fact;
mod history;
mod moment;
mod one_for_all;
mod one_for_one;
mod operation;
mod operations;
mod patience;
mod phases;
mod plan;
#[cfg(test)]
mod properties;
mod recorder;
mod recording;
mod regroup;
mod rest_for_one;
mod restart_type;
mod seat;
mod significant;
mod strategy;
mod supervisor;
mod table;
#[cfg(test)]
mod tables;
mod view;
#[cfg(test)]
mod walks;
mod written;

pub use action::{Action, Actions, Cause, Decision, Outcome, Record, Verdict};
pub use answer::{Answer, Directive, Reason, Scope};
pub use backoff::Backoff;
pub use children::{Child, ChildCounts, ChildState};
pub use dice::Dice;
pub use escalating::Escalating;
pub use event::{Event, Urgency};
pub use exceptional::Exceptional;
pub use fact::{
    BootFailure, Exception, ExceptionKind, Exit, ExitStatus, Fact, LinkError, OwnedFact, SpawnFailure, code, signal,
};
pub use history::{Failure, History, Intensity};
pub use moment::Moment;
pub use one_for_all::OneForAll;
pub use one_for_one::{OnException, OneForOne};
pub use operation::{Conclusion, Operation, OperationError, OperationId};
pub use plan::{Plan, RolePlan};
pub use recorder::{Because, Recorder, Why};
pub use recording::{Divergence, Recording, Step, VERSION as RECORDING_VERSION};
pub use rest_for_one::RestForOne;
pub use restart_type::RestartType;
pub use seat::{Departure, Errand, Seat};
pub use significant::Significant;
pub use strategy::{FromFn, Misfit, Strategy, from_fn};
pub use supervisor::Supervisor;
pub use table::Table;
pub use view::View;
