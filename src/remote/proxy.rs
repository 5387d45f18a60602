//! The actor behind a reference to one elsewhere: it sends what it is told, at once or not at all. It never waits, so its
//! mailbox is empty after each of its turns; what goes on is bounded by credit, and by the calls that may be open.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ractor::{ActorProcessingErr, ActorRef, ActorRuntime, RpcReplyPort};
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::{Protocol, ProxyMsg, action};
use crate::identity::{Role, Slot};
use crate::member::Lost;
use crate::messenger::{self, CallError, Messenger, Reason, Recipient, SendError, Undelivered};
use crate::process::catch;

/// Whom a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Slot(Slot),
    /// A ready member of the role, another one each time.
    Pool(Role),
}

impl Place {
    fn recipient(self) -> Recipient {
        match self {
            Place::Slot(slot) => Recipient::Slot(slot),
            Place::Pool(role) => Recipient::Random(role),
        }
    }

    fn lost(self) -> Lost {
        match self {
            Place::Slot(slot) => Lost::Slot(slot),
            Place::Pool(role) => Lost::Role(role),
        }
    }
}

/// How many calls of one reference may be open. As many as one callee may have.
const OPEN: usize = 8_192;

/// Starts one.
pub(super) fn start<P: Protocol>(messenger: &Messenger, place: Place) -> Result<ActorRef<ProxyMsg<P>>, SendError> {
    let _runtime = messenger.member().spawner.enter();
    let state = ProxyState {
        messenger: messenger.clone(),
        place,
        action: action::<P>(),
        open: Arc::new(Semaphore::new(OPEN)),
        dead: 0,
    };
    // An actor without a name is always started.
    let (proxy, _) = ActorRuntime::spawn_instant(None, Proxy(PhantomData), state).map_err(|_| SendError::Closed)?;
    Ok(proxy)
}

struct Proxy<P>(PhantomData<fn() -> P>);

struct ProxyState {
    messenger: Messenger,
    place: Place,
    action: String,
    open: Arc<Semaphore>,
    /// Dead letters since the last that was not.
    dead: u64,
}

#[ractor::actor(message = ProxyMsg<P>, state = ProxyState, arguments = ProxyState)]
impl<P: Protocol> Proxy<P> {
    async fn pre_start(&self, _: ActorRef<ProxyMsg<P>>, state: ProxyState) -> Result<ProxyState, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<ProxyMsg<P>>,
        message: ProxyMsg<P>,
        state: &mut ProxyState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProxyMsg::Cast(cast) => state.cast(&cast),
            ProxyMsg::Call(call, port) => {
                let deadline = port.get_timeout().unwrap_or(P::CALL_TIMEOUT).min(P::CALL_TIMEOUT);
                state.call(&call, deadline, port);
            }
        }
        Ok(())
    }
}

impl ProxyState {
    fn cast<T: Serialize + 'static>(&mut self, cast: &T) {
        let sent = self.encode(cast).map_err(|error| (error, Bytes::new()));
        let sent = sent.and_then(|encoded| self.messenger.post(self.place.recipient(), &self.action, encoded));
        match sent {
            Ok(()) => self.revive(),
            Err((error, payload)) => self.bury(&error, payload),
        }
    }

    fn call<T, R>(&mut self, call: &T, deadline: Duration, port: RpcReplyPort<Result<R, CallError>>)
    where
        T: Serialize + 'static,
        R: serde::de::DeserializeOwned + Send + 'static,
    {
        // Whoever asked may have gone by now: then there is nothing to be told.
        let answer = |port: RpcReplyPort<_>, answer| drop(port.send(answer));
        let Ok(permit) = self.open.clone().try_acquire_owned() else {
            return answer(port, Err(SendError::Full.into()));
        };
        let asked = self.encode(call);
        let asked = asked.and_then(|call| self.messenger.ask(deadline, self.place.recipient(), &self.action, call));
        match asked {
            Ok(asked) => {
                let member = self.messenger.member();
                let answered = async move {
                    answer(port, asked.await);
                    drop(permit);
                };
                member.spawner.spawn(answered.instrument(member.span.clone()));
            }
            Err(error) => answer(port, Err(error.into())),
        }
    }

    /// A panic in the user's own encoding is an exception like any other, and not the end of this reference.
    fn encode<T: Serialize + 'static>(&self, value: &T) -> Result<(bool, Bytes), SendError> {
        match catch(|| messenger::encode_owned(value)) {
            Ok(encoded) => encoded.map_err(|error| SendError::Encode(error.to_string())),
            Err(panicked) => {
                self.messenger.member().panicked(panicked);
                Err(SendError::Encode("it panicked".to_owned()))
            }
        }
    }

    /// A cast that cannot be sent comes back, as if it had been on its way.
    fn bury(&mut self, error: &SendError, payload: Bytes) {
        let Some(reason) = reason(error) else { return };
        self.dead += 1;
        if self.dead == 1 {
            tracing::warn!(to = %self.place.lost(), action = self.action, %error, "casts become dead letters");
        }
        self.messenger.member().returns.add(Undelivered {
            to: self.place.lost(),
            reason,
            perhaps_seen: false,
            action: self.action.clone(),
            payload,
            omitted: 0,
        });
    }

    fn revive(&mut self) {
        let dead = std::mem::take(&mut self.dead);
        if dead > 0 {
            tracing::warn!(to = %self.place.lost(), action = self.action, dead, "casts are sent again");
        }
    }
}

/// `None`: this member is on its way out, and nobody need hear of it.
fn reason(error: &SendError) -> Option<Reason> {
    match error {
        SendError::Full => Some(Reason::Full),
        SendError::TooLarge { .. } => Some(Reason::TooLarge),
        SendError::Encode(_) => Some(Reason::Unencodable),
        SendError::NoSuchMember(_) | SendError::Gone(_) => Some(Reason::Gone),
        // Of names that are ours.
        SendError::BadAction(_) | SendError::Reserved(_) => Some(Reason::NoHandler),
        SendError::Closed => None,
    }
}
