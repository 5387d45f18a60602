//! A message between its encoding and the link: checked, and short of nothing but its credit.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::Messenger;
use super::body::{Body, decode};
use super::error::{CallError, SendError};
use super::target::{Recipient, Target};
use crate::member::{Answer, NoCredit, Pending};
use crate::transport::{ACTION_LIMIT, Account, Address, Flags, Header, Kind, Lane, Outcome, RESERVED, Reason, charge};

/// A message that lacks only its credit.
pub(super) struct Parcel {
    pub(super) header: Header,
    pub(super) account: Account,
    payload: Bytes,
}

impl Parcel {
    /// Makes it the call that waits. Fractions of a millisecond are rounded up.
    pub(super) fn number(&mut self, pending: &Pending, deadline: Duration) {
        let millis = u32::try_from(deadline.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
        (self.header.correlation, self.header.detail) = (pending.number(), millis);
    }
}

/// What user code may call an action or a topic.
pub(super) fn check_name(name: &str) -> Result<(), SendError> {
    if name.is_empty() || name.len() > ACTION_LIMIT {
        return Err(SendError::BadAction(name.len()));
    }
    match name.starts_with(RESERVED) {
        true => Err(SendError::Reserved(name.to_owned())),
        false => Ok(()),
    }
}

pub(super) fn encode(body: &impl Body) -> Result<(bool, Bytes), SendError> {
    body.encode().map_err(|error| SendError::Encode(error.to_string()))
}

/// What an answer is to whoever asked.
pub(super) fn conclude<A: DeserializeOwned + 'static>(answer: Answer) -> Result<A, CallError> {
    match answer.outcome {
        Outcome::Answered => decode(answer.raw, &answer.payload).ok_or(CallError::Undecodable),
        Outcome::Failed => Err(CallError::Failed(String::from_utf8_lossy(&answer.payload).into_owned())),
        Outcome::Dropped => Err(CallError::Dropped),
        Outcome::Undelivered(reason) => Err(CallError::Undelivered(reason)),
    }
}

impl Messenger {
    /// Sends what has been encoded, without waiting, whatever its action is called. The payload comes back with the reason
    /// why not.
    pub(crate) fn post(
        &self,
        to: Recipient,
        action: &str,
        (raw, payload): (bool, Bytes),
    ) -> Result<(), (SendError, Bytes)> {
        let parcel =
            self.check(Target::One(to)).and_then(|to| self.wrap(Kind::Message, to, action, raw, payload.clone()));
        parcel.and_then(|parcel| self.pass(parcel, action)).map_err(|error| (error, payload))
    }

    /// The same for a call. What it returns ends with the answer, or at the deadline; dropped before, nothing is left
    /// behind.
    pub(crate) fn ask<A>(
        &self,
        deadline: Duration,
        to: Recipient,
        action: &str,
        (raw, payload): (bool, Bytes),
    ) -> Result<impl Future<Output = Result<A, CallError>> + Send + use<A>, SendError>
    where
        A: DeserializeOwned + 'static,
    {
        let mut parcel = self.wrap(Kind::Call, self.check(Target::One(to))?, action, raw, payload)?;
        let mut pending = self.member.calls.open();
        parcel.number(&pending, deadline);
        self.pass(parcel, action)?;
        // The time runs from here on, and not from when somebody first looks.
        let answered = tokio::time::timeout(deadline, async move { pending.answer().await });
        Ok(async move {
            let answer = answered.await.map_err(|_| CallError::Undelivered(Reason::TimedOut))?;
            conclude(answer.ok_or(CallError::Closed)?)
        })
    }

    pub(super) fn pack(&self, kind: Kind, to: Address, action: &str, body: &impl Body) -> Result<Parcel, SendError> {
        check_name(action)?;
        let (raw, payload) = encode(body)?;
        self.wrap(kind, to, action, raw, payload)
    }

    pub(super) fn wrap(
        &self,
        kind: Kind,
        to: Address,
        action: &str,
        raw: bool,
        payload: Bytes,
    ) -> Result<Parcel, SendError> {
        let limit = self.member.limits.payload;
        if payload.len() > limit {
            return Err(SendError::TooLarge { len: payload.len(), limit });
        }
        let account = Account::of(Lane::Messages, to);
        let account = account.ok_or_else(|| SendError::NoSuchMember(format!("{to:?}")))?;
        let header = Header {
            flags: Flags { raw, ..Flags::default() },
            action_len: action.len() as u16,
            payload_len: payload.len() as u32,
            to,
            ..Header::bare(kind)
        };
        Ok(Parcel { header, account, payload })
    }

    /// Sends what there is credit for.
    pub(super) fn pass(&self, parcel: Parcel, action: &str) -> Result<(), SendError> {
        match self.member.credit.try_take(parcel.account, charge(&parcel.header)) {
            Ok(()) => {
                self.dispatch(parcel, action);
                Ok(())
            }
            Err(NoCredit::Full) => Err(SendError::Full),
            Err(NoCredit::Closed) => Err(SendError::Closed),
        }
    }

    pub(super) fn dispatch(&self, parcel: Parcel, action: &str) {
        self.member.line.frame(parcel.header, action, parcel.payload);
    }
}
