//! Why a message did not arrive, or a call had no answer: the words, and their numbers on the wire.

use std::fmt;

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The incarnation that it was addressed to has ended, or its slot is empty for good.
    Gone,
    /// The receiver died before its code had the message, or at least before it could say so.
    Died,
    /// The slot is parked: it has no process for now.
    Parked,
    /// The receiver's queue for messages of this sender is full.
    Full,
    /// The call's deadline came first.
    TimedOut,
    /// The payload is over the limit of the cluster.
    TooLarge,
    /// The receiver has a handler for the action, but not for a payload like this.
    Undecodable,
    /// The receiver has no handler for the action.
    NoHandler,
    /// The actor that was served there has ended, and no other is in its place.
    Ended,
    /// The plan does not let this role publish.
    NotAllowed,
    /// What was to be sent could not be encoded. Only of casts by the reference of an actor: all others are told at once.
    Unencodable,
}

impl Reason {
    const ALL: [(Reason, u8); 11] = [
        (Reason::Gone, 2),
        (Reason::Died, 3),
        (Reason::Parked, 4),
        (Reason::Full, 5),
        (Reason::TimedOut, 6),
        (Reason::TooLarge, 7),
        (Reason::Undecodable, 8),
        (Reason::NoHandler, 9),
        (Reason::Ended, 10),
        (Reason::Unencodable, 11),
        (Reason::NotAllowed, 12),
    ];

    pub(crate) fn to_number(self) -> u8 {
        Reason::ALL.iter().find(|(reason, _)| *reason == self).map_or(0, |(_, number)| *number)
    }

    pub(crate) fn from_number(number: u32) -> Option<Reason> {
        Reason::ALL.iter().find(|(_, known)| u32::from(*known) == number).map(|(reason, _)| *reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Gone => "that member is gone, or has never been",
            Reason::Died => "the receiver died",
            Reason::Parked => "the receiver is parked",
            Reason::Full => "the receiver's queue is full",
            Reason::TimedOut => "the deadline came first",
            Reason::TooLarge => "the payload is too large",
            Reason::Undecodable => "the receiver could not decode the payload",
            Reason::NoHandler => "the receiver has no handler for it",
            Reason::Ended => "the actor has ended",
            Reason::Unencodable => "it could not be encoded",
            Reason::NotAllowed => "this role may not publish",
        })
    }
}

/// How a call ended, as its reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The payload is the answer.
    Answered,
    /// The handler returned an error: the payload is its text.
    Failed,
    /// The handler was dropped, by a panic or by the end of the callee's runtime.
    Dropped,
    /// There was none.
    Undelivered(Reason),
}

impl Outcome {
    const FAILED: u32 = 16;
    const DROPPED: u32 = 17;

    pub(crate) fn to_detail(self) -> u32 {
        match self {
            Outcome::Answered => 0,
            Outcome::Failed => Outcome::FAILED,
            Outcome::Dropped => Outcome::DROPPED,
            Outcome::Undelivered(reason) => reason.to_number().into(),
        }
    }

    pub(crate) fn from_detail(detail: u32) -> Option<Outcome> {
        Some(match detail {
            0 => Outcome::Answered,
            Outcome::FAILED => Outcome::Failed,
            Outcome::DROPPED => Outcome::Dropped,
            other => Outcome::Undelivered(Reason::from_number(other)?),
        })
    }

    /// Whether a member may say so. The rest is known to the master alone.
    pub(crate) fn is_a_members(self) -> bool {
        match self {
            Outcome::Answered | Outcome::Failed | Outcome::Dropped => true,
            Outcome::Undelivered(reason) => {
                is_a_receivers(reason) || matches!(reason, Reason::TimedOut | Reason::TooLarge)
            }
        }
    }
}

/// Whether the receiver of a message may return it for this reason.
pub(crate) fn is_a_receivers(reason: Reason) -> bool {
    matches!(reason, Reason::Undecodable | Reason::NoHandler | Reason::Ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_outcome_survives_the_way() {
        for (reason, _) in Reason::ALL {
            assert_eq!(Reason::from_number(reason.to_number().into()), Some(reason));
            let outcome = Outcome::Undelivered(reason);
            assert_eq!(Outcome::from_detail(outcome.to_detail()), Some(outcome));
        }
        for outcome in [Outcome::Answered, Outcome::Failed, Outcome::Dropped] {
            assert_eq!(Outcome::from_detail(outcome.to_detail()), Some(outcome));
        }
        assert_eq!((Reason::from_number(0), Outcome::from_detail(99)), (None, None));
    }
}
