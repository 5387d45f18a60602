//! The other end: an actor of this member, served to all others under the name of its protocol.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{ActorCell, ActorRef, ActorStatus};

use super::{Actors, Protocol, ProxyMsg, action};
use crate::member::{Consumed, Delivery, Running, Task, Unacked};
use crate::messenger::{Answer, Answerer, CallError, Messenger, Reason, decode};

/// Another actor serves this protocol here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protocol {0:?} is served by another actor already")]
pub struct AlreadyHosted(pub(super) &'static str);

/// Says, when it is dropped, that a cast has been dealt with. Until then it counts as under way: its sender may have only
/// so much of that, and gets it back if this member dies. See [`Protocol::received`]. The default one says nothing: that of
/// a cast that has not been sent.
#[derive(Default)]
pub struct Receipt {
    _unacked: Option<Unacked>,
    /// A member that is to leave waits for it, as for a handler.
    _running: Option<Running>,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// What is served here, by the name of its protocol: the stage of each, without its type.
pub(super) type Hosts = HashMap<&'static str, Box<dyn Any + Send>>;

/// Who serves a protocol, one after the other.
struct Stage<P: Protocol>(Mutex<ActorRef<ProxyMsg<P>>>);

impl<P: Protocol> Stage<P> {
    fn actor(&self) -> ActorRef<ProxyMsg<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the place of an actor that has ended.
    fn follow(&self, actor: ActorRef<ProxyMsg<P>>) -> Result<(), AlreadyHosted> {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lives(&present) && *present != actor {
            return Err(AlreadyHosted(P::NAME));
        }
        *present = actor;
        Ok(())
    }
}

/// Whether an actor still takes messages.
pub(super) fn lives(actor: &ActorCell) -> bool {
    match actor.get_status() {
        ActorStatus::Unstarted | ActorStatus::Starting | ActorStatus::Running | ActorStatus::Upgrading => true,
        ActorStatus::Draining | ActorStatus::Stopping | ActorStatus::Stopped => false,
    }
}

impl Messenger {
    /// Serves `actor` to all members under the name of its protocol, until it ends: then casts come back, calls are
    /// answered with [`Reason::Ended`], and another may take its place. Before [`ready`](crate::Context::ready), or what
    /// comes in between has no handler. Never waits.
    ///
    /// Casts and calls of one sender reach its mailbox in their order. A call is answered when the actor replies, and at
    /// its deadline at the latest.
    ///
    /// # Errors
    /// [`AlreadyHosted`]: another actor of a protocol of this name lives and serves here.
    pub fn host<P: Protocol>(&self, actor: ActorRef<ProxyMsg<P>>) -> Result<(), AlreadyHosted> {
        // ractor has started it on its own.
        let cell = actor.get_cell();
        self.member().spawner.adopt(move || cell.kill());
        let hosted = self.member().keep.visit(|actors: &mut Actors| match actors.hosts.get(P::NAME) {
            Some(stage) => match stage.downcast_ref::<Arc<Stage<P>>>() {
                Some(stage) => stage.follow(actor),
                // Another type of the same name.
                None => Err(AlreadyHosted(P::NAME)),
            },
            None => {
                let stage = Arc::new(Stage(Mutex::new(actor)));
                self.register_stage(&stage)?;
                actors.hosts.insert(P::NAME, Box::new(stage));
                Ok(())
            }
        });
        // `None`: the link is lost, and nobody will come.
        hosted.unwrap_or(Ok(()))
    }

    fn register_stage<P: Protocol>(&self, stage: &Arc<Stage<P>>) -> Result<(), AlreadyHosted> {
        let (member, action) = (self.member(), action::<P>());
        let (told, asked) = (stage.clone(), stage.clone());
        let reply = Arc::new(move |delivery: Delivery| answer(&asked, delivery));
        member.dispatch.set_reply(member, &action, reply).map_err(|_| AlreadyHosted(P::NAME))?;
        member.dispatch.add(member, &action, Arc::new(move |delivery: &mut Delivery| tell(&told, delivery)));
        Ok(())
    }
}

fn tell<P: Protocol>(stage: &Stage<P>, delivery: &mut Delivery) -> Consumed {
    let Some(mut cast) = decode::<P::Cast>(delivery.header.flags.raw, &delivery.payload()) else {
        return Consumed::Refused(Reason::Undecodable);
    };
    let receipt = Receipt { _unacked: delivery.take_unacked(), _running: Some(delivery.member.busy.handler()) };
    P::received(&mut cast, receipt);
    match stage.actor().cast(ProxyMsg::Cast(cast)) {
        Ok(()) => Consumed::Done,
        Err(_) => Consumed::Refused(Reason::Ended),
    }
}

fn answer<P: Protocol>(stage: &Stage<P>, delivery: Delivery) -> Task {
    let answerer = Answerer::to(&delivery);
    let Some(call) = decode::<P::Call>(delivery.header.flags.raw, &delivery.payload()) else {
        return Box::pin(answerer.give(Answer::without(Reason::Undecodable)));
    };
    let deadline = Duration::from_millis(delivery.header.detail.into());
    let (sender, reply) = ractor::concurrency::oneshot();
    let actor = stage.actor();
    if actor.cast(ProxyMsg::Call(call, (sender, deadline).into())).is_err() {
        return Box::pin(answerer.give(Answer::without(Reason::Ended)));
    }
    let reply = tokio::time::timeout(deadline, reply);
    Box::pin(async move {
        let answer = match reply.await {
            Ok(Ok(Ok(reply))) => Answer::of(Ok::<_, CallError>(reply), answerer.member.limits.payload),
            // What the actor has heard itself is the text of its answer; that it was dropped, is that.
            Ok(Ok(Err(CallError::Dropped))) => return drop(answerer),
            Ok(Ok(Err(CallError::Undelivered(Reason::Ended)))) => Answer::without(Reason::Ended),
            Ok(Ok(Err(error))) => Answer::of(Err::<P::Reply, _>(error), answerer.member.limits.payload),
            // It was in the mailbox of an actor that ended. Otherwise the actor let it go, and the drop says so.
            Ok(Err(_)) if !lives(&actor) => Answer::without(Reason::Ended),
            Ok(Err(_)) => return drop(answerer),
            Err(_) => Answer::without(Reason::TimedOut),
        };
        answerer.give(answer).await;
    })
}
