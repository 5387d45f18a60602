//! What the core wants done. Values: somebody else does it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::{Directive, Reason};
use super::fact::{BootFailure, Exception, Exit, LinkError};
use super::operation::{Conclusion, OperationId};
use super::written;
use crate::identity::{MemberId, Slot};

/// What to do, in this order.
#[must_use = "a decision that nobody carries out"]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Actions(Vec<Action>);

impl Actions {
    pub(super) fn push(&mut self, action: Action) {
        self.0.push(action);
    }

    pub(super) fn record(&mut self, member: MemberId, cause: Cause, decision: Decision) {
        self.push(Action::Record(Box::new(Record { member, cause, decision })));
    }

    /// The actions, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Action> {
        self.0.iter()
    }

    /// The same as a slice.
    pub fn as_slice(&self) -> &[Action] {
        &self.0
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::vec::IntoIter<Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One thing to do. None of them waits for its effect: that comes back as an [`Event`](super::Event).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Start this process.
    Spawn(#[serde(with = "written::member")] MemberId),
    /// It is ready: messages and the dice of the router may reach it.
    Admit(#[serde(with = "written::member")] MemberId),
    /// Every member is ready for the first time: tell them all.
    AnnounceReady,
    /// The cluster has been ready before: tell this one.
    ResendReady(#[serde(with = "written::member")] MemberId),
    /// Its exception has no consequence: it goes on serving.
    Stay(#[serde(with = "written::member")] MemberId),
    /// It finishes what it has accepted and leaves within this time, while others, or its successor, serve.
    Drain(#[serde(with = "written::member")] MemberId, Duration),
    /// It stops within this time, and nobody takes its place.
    Terminate(#[serde(with = "written::member")] MemberId, Duration),
    /// It ends now, with its descendants.
    Kill(#[serde(with = "written::member")] MemberId),
    /// It was killed and does not go. Nobody waits for it any more.
    Abandon(#[serde(with = "written::member")] MemberId),
    /// The slot has no process for now: what waits for it goes back.
    Park(#[serde(with = "written::slot")] Slot),
    /// The slot has no process for good: what waits for it goes back.
    Vacate(#[serde(with = "written::slot")] Slot),
    /// The slot is new, or is back: there is to be a place for it.
    Open(#[serde(with = "written::slot")] Slot),
    /// The slot has been scaled away, and nobody is in it: nobody is sent there any more.
    Close(#[serde(with = "written::slot")] Slot),
    /// Tell whoever asked for it how this operation ended. Exactly one for each.
    Conclude(OperationId, Conclusion),
    /// Remember and tell what was decided, and why.
    Record(Box<Record>),
    /// All is over.
    Finish(Box<Outcome>),
}

/// One decision and its cause. Every exit has exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whom it is about.
    #[serde(with = "written::member")]
    pub member: MemberId,
    /// What happened.
    pub cause: Cause,
    /// What follows.
    pub decision: Decision,
}

/// Why a decision was due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The process ended by itself, or by somebody else's hand.
    Exited(Exit),
    /// The process ended as it had been asked to.
    Left(Exit),
    /// It had been asked to go, did not within this time, and was killed.
    Overdue(Duration, Exit),
    /// It was killed because the stop had become urgent.
    Hurried(Exit),
    /// It was draining, and was killed because another of its slot had to.
    Displaced(Exit),
    /// It never became ready.
    BootFailed(BootFailure),
    /// It lost its link and was ended.
    LinkLost(LinkError, Exit),
    /// It is alive and reported this.
    Exception(Exception),
    /// It is alive, and has not been heard of for this long.
    Unresponsive(Duration),
    /// Nobody of its role has been ready for this long.
    NobodyReady(Duration),
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// The strategy's answer. Or to give up instead of starting another one, where nobody of the role has been ready for
    /// too long and the last who had a chance has failed.
    Strategy(Directive),
    /// Nothing is left to decide: its successor had been started before.
    AlreadyReplaced,
    /// Nothing is left to decide: when it was told to go, it was decided that nobody follows for now.
    AlreadyDecided,
    /// It goes along with this one, and its group is started again when all of it are gone.
    Regrouped(#[serde(with = "written::member")] MemberId),
    /// An operator asked for this: it was to go, or to be replaced.
    Operated(OperationId),
    /// Nothing follows: the cluster is stopping.
    Stopping,
    /// The cluster was not ready yet: the start has failed.
    StartFailed,
    /// The supervisor gives up.
    GiveUp,
}

/// How the cluster ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why.
    pub verdict: Verdict,
    /// Processes that were killed and did not go.
    #[serde(with = "written::members")]
    pub leftovers: Vec<MemberId>,
}

/// Why the cluster ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Somebody asked it to.
    Stopped,
    /// A significant member has ended, and with it what the cluster was for. No failure.
    Completed(#[serde(with = "written::member")] MemberId),
    /// A member failed before all were ready.
    StartFailed(#[serde(with = "written::member")] MemberId, Cause),
    /// A strategy, or nobody being ready for too long, ended it.
    GaveUp(Reason),
}

impl Cause {
    /// How a process ended, where one did.
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Cause::Exited(exit)
            | Cause::Left(exit)
            | Cause::Overdue(_, exit)
            | Cause::Hurried(exit)
            | Cause::Displaced(exit)
            | Cause::LinkLost(_, exit) => Some(exit),
            Cause::BootFailed(failure) => Some(failure.exit()),
            Cause::Exception(_) | Cause::Unresponsive(_) | Cause::NobodyReady(_) => None,
        }
    }
}

impl Cause {
    pub(super) fn exit_mut(&mut self) -> Option<&mut Exit> {
        match self {
            Cause::Exited(exit)
            | Cause::Left(exit)
            | Cause::Overdue(_, exit)
            | Cause::Hurried(exit)
            | Cause::Displaced(exit)
            | Cause::LinkLost(_, exit)
            | Cause::BootFailed(
                BootFailure::Ended(exit) | BootFailure::TimedOut { exit, .. } | BootFailure::LinkLost { exit, .. },
            ) => Some(exit),
            Cause::Exception(_) | Cause::Unresponsive(_) | Cause::NobodyReady(_) => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exited(exit) | Cause::Left(exit) => write!(f, "{exit}"),
            Cause::Overdue(allowed, exit) => write!(f, "{exit}: killed after {allowed:?} in which it did not leave"),
            Cause::Hurried(exit) => write!(f, "{exit}: killed by a quick stop"),
            Cause::Displaced(exit) => write!(f, "{exit}: killed while it drained, since the next of its slot has to"),
            Cause::BootFailed(failure) => write!(f, "{failure}"),
            Cause::LinkLost(error, exit) => write!(f, "{exit}: {error}"),
            Cause::Exception(exception) => write!(f, "{exception}"),
            Cause::Unresponsive(span) => write!(f, "was unresponsive for {span:?}"),
            Cause::NobodyReady(span) => write!(f, "nobody of its role has been ready for {span:?}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Strategy(directive) => write!(f, "{directive}"),
            Decision::AlreadyReplaced => f.write_str("replaced before"),
            Decision::AlreadyDecided => f.write_str("decided before"),
            Decision::Regrouped(first) => write!(f, "goes along with {first}"),
            Decision::Operated(id) => write!(f, "as {id} asked"),
            Decision::Stopping => f.write_str("stopping"),
            Decision::StartFailed => f.write_str("the start has failed"),
            Decision::GiveUp => f.write_str("give up"),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.member, self.cause, self.decision)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Stopped => f.write_str("stopped"),
            Verdict::Completed(id) => write!(f, "completed: {id} has ended"),
            Verdict::StartFailed(id, cause) => write!(f, "start failed: {id} {cause}"),
            Verdict::GaveUp(reason) => write!(f, "gave up: {reason}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Spawn(id) => write!(f, "spawn {id}"),
            Action::Admit(id) => write!(f, "admit {id}"),
            Action::AnnounceReady => f.write_str("announce ready"),
            Action::ResendReady(id) => write!(f, "resend ready {id}"),
            Action::Stay(id) => write!(f, "stay {id}"),
            Action::Drain(id, within) => write!(f, "drain {id} {within:?}"),
            Action::Terminate(id, within) => write!(f, "terminate {id} {within:?}"),
            Action::Kill(id) => write!(f, "kill {id}"),
            Action::Abandon(id) => write!(f, "abandon {id}"),
            Action::Park(slot) => write!(f, "park {slot}"),
            Action::Vacate(slot) => write!(f, "vacate {slot}"),
            Action::Open(slot) => write!(f, "open {slot}"),
            Action::Close(slot) => write!(f, "close {slot}"),
            Action::Conclude(id, conclusion) => write!(f, "{id} {conclusion}"),
            Action::Record(record) => write!(f, "{record}"),
            Action::Finish(outcome) => write!(f, "finish: {}", outcome.verdict),
        }
    }
}
