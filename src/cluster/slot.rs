//! One slot of a running cluster, as the program that embeds it sees it.

use ractor::ActorRef;

use crate::identity::Slot;
use crate::messenger::{Messenger, SendError};
use crate::remote::{Protocol, ProxyMsg};

/// One slot of a running cluster. See [`ClusterHandle::slot`](super::ClusterHandle::slot).
#[derive(Clone, Debug)]
pub struct SlotHandle {
    pub(super) slot: Slot,
    pub(super) messenger: Messenger,
}

impl SlotHandle {
    /// Which one.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The actor that is served there under `P`: [`Messenger::actor`].
    ///
    /// # Errors
    /// [`SendError::NoSuchMember`], and [`SendError::Closed`] when the cluster has ended.
    pub fn actor<P: Protocol>(&self) -> Result<ActorRef<ProxyMsg<P>>, SendError> {
        self.messenger.actor(self.slot)
    }
}
