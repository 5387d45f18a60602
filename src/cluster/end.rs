//! How a cluster ended, in one sentence.

use crate::identity::MemberId;
use crate::supervision::{Cause, Exit, Outcome, Reason, Verdict};

/// Why a cluster ended that should not have, or not in this way. `Ok(())` in its place: it was asked to, and nobody is
/// left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A member failed before all were ready.
    #[error("{}{}", start_failed(*member, cause), still_there(leftovers))]
    StartFailed {
        /// Who.
        member: MemberId,
        /// Why.
        cause: Box<Cause>,
        /// Processes that were killed and did not go.
        leftovers: Vec<MemberId>,
    },
    /// A strategy, or nobody being ready for too long, ended it.
    #[error("gave up: {reason}{}", still_there(leftovers))]
    GaveUp {
        /// Why.
        reason: Reason,
        /// Processes that were killed and did not go.
        leftovers: Vec<MemberId>,
    },
    /// It stopped as it was asked to, but for these: they were killed and did not go.
    #[error("stopped{}", still_there(.0))]
    LeftBehind(Vec<MemberId>),
    /// Its last handle was dropped, its actor killed, or its runtime ended: all processes were killed.
    #[error("killed: its last handle was dropped, its actor was killed, or its runtime has ended")]
    Killed,
    /// It had been stopped already when this was asked for.
    #[error("the cluster has stopped")]
    Stopped,
}

impl ClusterError {
    pub(super) fn of(outcome: Outcome) -> Result<(), ClusterError> {
        let Outcome { verdict, leftovers } = outcome;
        match verdict {
            Verdict::Stopped | Verdict::Completed(_) if leftovers.is_empty() => Ok(()),
            Verdict::Stopped | Verdict::Completed(_) => Err(ClusterError::LeftBehind(leftovers)),
            Verdict::StartFailed(member, cause) => {
                Err(ClusterError::StartFailed { member, cause: Box::new(cause), leftovers })
            }
            Verdict::GaveUp(reason) => Err(ClusterError::GaveUp { reason, leftovers }),
        }
    }

    /// The master's own actor is gone without a word: a fault of ours.
    pub(super) fn internal() -> ClusterError {
        let reason = Reason::new("internal error: the actor of the master failed");
        ClusterError::GaveUp { reason, leftovers: Vec::new() }
    }

    /// Whether the cluster failed, by its own verdict.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            ClusterError::StartFailed { .. } | ClusterError::GaveUp { .. } => true,
            ClusterError::LeftBehind(_) | ClusterError::Killed | ClusterError::Stopped => false,
        }
    }
}

fn still_there(leftovers: &[MemberId]) -> String {
    if leftovers.is_empty() {
        return String::new();
    }
    let names: Vec<_> = leftovers.iter().map(ToString::to_string).collect();
    format!("; killed and still there: {}", names.join(", "))
}

/// One sentence: who, why, and its last words.
fn start_failed(member: MemberId, cause: &Cause) -> String {
    let when = match cause {
        // It says so itself.
        Cause::BootFailed(_) => "",
        _ => ", before the cluster was ready",
    };
    let mut sentence = format!("failed to start: {member} {cause}{when}");
    if let Some(last) = cause.exit().and_then(last_lines) {
        sentence.push_str(&format!("; its stderr ended with: {last}"));
    }
    sentence
}

/// The last lines of a stderr, in one.
fn last_lines(exit: &Exit) -> Option<String> {
    const LINES: usize = 5;
    // A backtrace says where, at length: those who want to know find it above.
    let text = exit.stderr.split("stack backtrace:").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Incarnation, Slot};

    #[test]
    fn an_end_is_one_sentence_with_the_last_words_and_who_is_left() {
        let member = Slot::worker(1).member(Incarnation::FIRST);
        let mut exit = Exit::code(3);
        exit.stderr = "loading\n\n  no such table: users\n".into();
        let outcome = |verdict, leftovers| Outcome { verdict, leftovers };
        let said = |outcome| ClusterError::of(outcome).map_err(|error| error.to_string());
        assert_eq!(
            said(outcome(Verdict::StartFailed(member, Cause::Exited(exit)), vec![])),
            Err("failed to start: worker/1#1 exited with code 3, before the cluster was ready; \
                 its stderr ended with: loading | no such table: users"
                .into())
        );
        assert_eq!(said(outcome(Verdict::Stopped, vec![])), Ok(()));
        assert_eq!(
            said(outcome(Verdict::Stopped, vec![member])),
            Err("stopped; killed and still there: worker/1#1".into())
        );
        assert_eq!(
            said(outcome(Verdict::GaveUp(Reason::new("no luck")), vec![member])),
            Err("gave up: no luck; killed and still there: worker/1#1".into())
        );
    }
}
