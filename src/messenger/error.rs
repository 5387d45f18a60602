//! Why something was not sent, or not answered.

use crate::identity::MemberId;
use crate::transport::Reason;

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The plan has no such role or slot.
    #[error("there is no such member: {0}")]
    NoSuchMember(String),
    /// That incarnation has ended.
    #[error("{0} is gone")]
    Gone(MemberId),
    /// Too much is under way to that receiver. Only of the verbs that do not wait.
    #[error("too much is under way to that receiver")]
    Full,
    /// The payload is over the limit of the cluster. The link lives.
    #[error("a payload of {len} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The name of the action or topic is empty, or longer than 255 bytes.
    #[error("an action or a topic is named by 1 to 255 bytes, not {0}")]
    BadAction(usize),
    /// The name of the action or topic begins with `hatchery:`, as those do that are the library's own.
    #[error("{0:?} begins with what is the library's own")]
    Reserved(String),
    /// The value cannot be encoded.
    #[error("the value cannot be encoded: {0}")]
    Encode(String),
    /// The link to the master is lost: this member is on its way out.
    #[error("the link to the master is lost")]
    Closed,
}

/// Why a message was not accepted by a verb that does not wait, and the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct TrySendError<B> {
    /// Why.
    pub error: SendError,
    /// What was to be sent.
    pub body: B,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It was not answered, for this reason.
    #[error("{0}")]
    Undelivered(Reason),
    /// The callee answered with an error: its text.
    #[error("{0}")]
    Failed(String),
    /// This member's link to the master was lost, or its cluster ended, before the answer came. The callee may have acted
    /// on it.
    #[error("the link to the master was lost before the answer came")]
    Closed,
    /// The callee dropped it without an answer, by a panic or by its end.
    #[error("the callee dropped the call")]
    Dropped,
    /// The answer is not what was expected.
    #[error("the answer could not be decoded")]
    Undecodable,
}

impl CallError {
    /// Whether the deadline came before the answer. The callee may have acted on it.
    pub fn is_timeout(&self) -> bool {
        matches!(self, CallError::Undelivered(Reason::TimedOut))
    }
}
