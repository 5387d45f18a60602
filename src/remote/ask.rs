//! A question and the type of its answer. A protocol has one type for all replies; whoever asks one thing wants one.

use ractor::rpc::CallResult;
use ractor::{ActorRef, MessagingErr};

use super::host::lives;
use super::{Protocol, ProxyMsg};
use crate::messenger::{CallError, Reason};

/// What can be asked of the actors of a protocol, and what the answer to it is.
pub trait Ask<P: Protocol>: Into<P::Call> {
    /// The reply to this, of all that the protocol has.
    type Reply: TryFrom<P::Reply>;
}

/// Asks an actor, wherever it lives, and waits for its answer, for up to [`Protocol::CALL_TIMEOUT`].
///
/// ractor's own `call!` does the same, with one error within another.
///
/// Cancel-safe in that nothing is left behind; the actor may have acted on it.
///
/// # Errors
/// [`CallError`]: every call ends in an answer or in the reason why there is none. A reply that is none to this question
/// is [`CallError::Undecodable`].
pub async fn ask<P: Protocol, A: Ask<P>>(actor: &ActorRef<ProxyMsg<P>>, question: A) -> Result<A::Reply, CallError> {
    let question = question.into();
    let answer = actor.call(|port| ProxyMsg::Call(question, port), Some(P::CALL_TIMEOUT)).await;
    match answer {
        Ok(CallResult::Success(reply)) => A::Reply::try_from(reply?).map_err(|_| CallError::Undecodable),
        Ok(CallResult::Timeout) => Err(CallError::Undelivered(Reason::TimedOut)),
        Ok(CallResult::SenderError) if lives(actor) => Err(CallError::Dropped),
        Ok(CallResult::SenderError)
        | Err(MessagingErr::SendErr(_) | MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => {
            Err(CallError::Undelivered(Reason::Ended))
        }
    }
}
