//! Where the actors of the slots are, and which slots may be picked at random. A value: whoever routes reads the latest
//! and never asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::ActorRef;
use tokio::sync::watch;

use super::messages::SlotMsg;
use crate::identity::{Role, Slot};
use crate::supervision::Dice;
use crate::transport::{Destination, Effect, Run};

/// The slots and who is ready.
#[derive(Debug)]
pub(crate) struct Routes {
    slots: BTreeMap<Slot, ActorRef<SlotMsg>>,
    ready: watch::Sender<Arc<Ready>>,
}

/// The slots that a random message may go to, by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready(BTreeMap<Role, Vec<Slot>>);

impl Ready {
    pub(crate) fn add(&mut self, slot: Slot) {
        self.0.entry(slot.role()).or_default().push(slot);
    }
}

impl Routes {
    pub(crate) fn new(slots: BTreeMap<Slot, ActorRef<SlotMsg>>) -> Routes {
        Routes { slots, ready: watch::Sender::default() }
    }

    /// Tells the actor of a slot. One that has failed has ended the cluster: nobody hears this any more.
    pub(crate) fn tell(&self, slot: Slot, message: SlotMsg) {
        if let Some(actor) = self.slots.get(&slot) {
            let _ = actor.cast(message);
        }
    }

    /// Tells the actors of all slots.
    pub(crate) fn tell_all(&self, message: impl Fn(Slot) -> SlotMsg) {
        for &slot in self.slots.keys() {
            self.tell(slot, message(slot));
        }
    }

    pub(crate) fn set_ready(&self, ready: Ready) {
        self.ready.send_replace(Arc::new(ready));
    }

    /// A ready member of the role, each as likely as the others. Nobody ready: one that may become so, where it waits.
    pub(crate) fn pick(&self, role: Role, dice: &mut Dice) -> Option<Slot> {
        let ready = self.ready.borrow();
        if let Some(slots) = ready.0.get(&role).filter(|slots| !slots.is_empty()) {
            return Some(slots[dice.below(slots.len())]);
        }
        let of_role: Vec<Slot> = self.slots.keys().copied().filter(|slot| slot.role() == role).collect();
        (!of_role.is_empty()).then(|| of_role[dice.below(of_role.len())])
    }

    /// Sends a run on its way, one copy for each slot that it is for. The bytes are shared.
    pub(crate) fn deliver(&self, destination: Destination, run: Run) {
        match destination {
            Destination::Slot(slot) => self.tell(slot, SlotMsg::Deliver(run)),
            Destination::Role(role) => {
                for slot in self.slots.keys().copied().filter(|slot| slot.role() == role) {
                    self.tell(slot, SlotMsg::Deliver(run.clone()));
                }
            }
            Destination::All => self.tell_all(|_| SlotMsg::Deliver(run.clone())),
            Destination::Nowhere(reason) => {
                // There is no slot that could send it back.
                if let Effect::Return { to, run, .. } = crate::transport::refuse(&run, run.from.slot(), reason) {
                    self.tell(to.slot(), SlotMsg::Return(run, None));
                }
            }
        }
    }

    /// Tells others what the queue of one slot wants them to know.
    pub(crate) fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Credit { to, account, charge } => {
                    self.tell(to.slot(), SlotMsg::Credit { to, account, charge });
                }
                Effect::Return { to, run, refund } => self.tell(to.slot(), SlotMsg::Return(run, refund)),
            }
        }
    }
}
