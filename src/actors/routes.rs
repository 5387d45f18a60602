//! Where the actors of the slots are, and which slots may be picked at random. A value: whoever routes reads the latest
//! and never asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ractor::ActorRef;

use super::messages::{ShelfMsg, SlotMsg};
use crate::identity::{Role, Slot};
use crate::supervision::Dice;
use crate::transport::{Destination, Effect, Run};

/// The slots, and where a random message had better go.
#[derive(Debug)]
pub(crate) struct Routes {
    slots: RwLock<BTreeMap<Slot, Place>>,
    /// The master's own place, which is no group's and no choice of the dice.
    desk: Option<ActorRef<SlotMsg>>,
    shelf: Option<ActorRef<ShelfMsg>>,
    ready: RwLock<Ready>,
}

#[derive(Debug)]
struct Place {
    actor: ActorRef<SlotMsg>,
    /// Much waits there that might as well have gone elsewhere.
    crowded: AtomicBool,
    /// The role has become smaller: what is sent there comes back, and what is sent to all is not.
    closed: AtomicBool,
}

impl Place {
    fn new(actor: ActorRef<SlotMsg>) -> Place {
        Place { actor, crowded: AtomicBool::new(false), closed: AtomicBool::new(false) }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// What a slot is to a random message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// Somebody there would take it.
    Ready,
    /// Not ready, and not put aside: where it may wait when nobody is ready.
    Hopeful,
    /// It is put aside, or there is no such slot any more.
    None,
}

/// The slots that a random message may go to, by role, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ready {
    ready: BTreeMap<Role, Vec<Slot>>,
    hopeful: BTreeMap<Role, Vec<Slot>>,
}

impl Ready {
    fn set(&mut self, slot: Slot, prospect: Prospect) {
        for (slots, wanted) in [(&mut self.ready, Prospect::Ready), (&mut self.hopeful, Prospect::Hopeful)] {
            let slots = slots.entry(slot.role()).or_default();
            match (slots.binary_search(&slot), prospect == wanted) {
                (Ok(_), true) | (Err(_), false) => {}
                (Ok(at), false) => drop(slots.remove(at)),
                (Err(at), true) => slots.insert(at, slot),
            }
        }
    }
}

impl Routes {
    pub(crate) fn new(slots: BTreeMap<Slot, ActorRef<SlotMsg>>) -> Routes {
        let slots = slots.into_iter().map(|(slot, actor)| (slot, Place::new(actor))).collect();
        Routes { slots: RwLock::new(slots), desk: None, shelf: None, ready: RwLock::default() }
    }

    /// The same with what is the master's own: its place, and what it keeps.
    pub(crate) fn with_own(self, desk: ActorRef<SlotMsg>, shelf: ActorRef<ShelfMsg>) -> Routes {
        Routes { desk: Some(desk), shelf: Some(shelf), ..self }
    }

    fn slots(&self) -> RwLockReadGuard<'_, BTreeMap<Slot, Place>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Slot, Place>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A role has grown by this slot, or has it again. `false`: it has no actor, and gets one from [`Routes::add`].
    pub(crate) fn reopen(&self, slot: Slot) -> bool {
        let slots = self.slots();
        let place = slots.get(&slot);
        place.inspect(|place| place.closed.store(false, Ordering::Relaxed)).is_some()
    }

    /// The actor of a slot that there was not.
    pub(crate) fn add(&self, slot: Slot, actor: ActorRef<SlotMsg>) {
        self.slots_mut().insert(slot, Place::new(actor));
    }

    /// The role has become smaller by this slot. Its actor stays, and sends back what comes.
    pub(crate) fn close(&self, slot: Slot) {
        if let Some(place) = self.slots().get(&slot) {
            place.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Tells the actor of a slot. One that has failed has ended the cluster: nobody hears this any more.
    pub(crate) fn tell(&self, slot: Slot, message: SlotMsg) {
        let slots = self.slots();
        let actor = match slots.get(&slot) {
            Some(place) => Some(&place.actor),
            None => self.desk.as_ref().filter(|_| slot == Slot::master()),
        };
        if let Some(actor) = actor {
            let _ = actor.cast(message);
        }
    }

    /// Tells the actor of what the master keeps.
    pub(crate) fn tell_shelf(&self, message: ShelfMsg) {
        if let Some(shelf) = &self.shelf {
            let _ = shelf.cast(message);
        }
    }

    /// Tells the actors of all slots of the plan.
    pub(crate) fn tell_all(&self, message: impl Fn(Slot) -> SlotMsg) {
        for (&slot, place) in self.slots().iter() {
            let _ = place.actor.cast(message(slot));
        }
    }

    /// From now on random messages go by this. Only what has changed: to write all of it anew for each that becomes ready
    /// would make the start of many a quadratic one.
    pub(crate) fn move_all(&self, moved: BTreeMap<Slot, Prospect>) {
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        moved.into_iter().for_each(|(slot, prospect)| ready.set(slot, prospect));
    }

    pub(crate) fn set_crowded(&self, slot: Slot, crowded: bool) {
        if let Some(place) = self.slots().get(&slot) {
            place.crowded.store(crowded, Ordering::Relaxed);
        }
    }

    fn is_crowded(&self, slot: Slot) -> bool {
        self.slots().get(&slot).is_some_and(|place| place.crowded.load(Ordering::Relaxed))
    }

    /// A ready member of the role, each as likely as the others, but for those where such messages pile up: one that has
    /// stopped would otherwise bind, message by message, what its siblings could take. Nobody ready: one that may become
    /// so, where it waits.
    pub(crate) fn pick(&self, role: Role, dice: &mut Dice) -> Option<Slot> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        for candidates in [&ready.ready, &ready.hopeful] {
            let Some(slots) = candidates.get(&role).filter(|slots| !slots.is_empty()) else { continue };
            let picked = slots[dice.below(slots.len())];
            if !self.is_crowded(picked) {
                return Some(picked);
            }
            let others: Vec<Slot> = slots.iter().copied().filter(|&slot| !self.is_crowded(slot)).collect();
            return Some(if others.is_empty() { picked } else { others[dice.below(others.len())] });
        }
        // All are put aside: any of them sends it back with the reason.
        self.slots().keys().copied().find(|slot| slot.role() == role)
    }

    /// Sends a run on its way, one copy for each slot that it is for. The bytes are shared.
    pub(crate) fn deliver(&self, destination: Destination, run: Run) {
        match destination {
            Destination::Slot(slot) => self.tell(slot, SlotMsg::Deliver(run)),
            Destination::Role(role) => self.deliver_to_all(&run, |slot| slot.role() == role),
            Destination::All => self.deliver_to_all(&run, |_| true),
            Destination::Shelf => self.tell_shelf(ShelfMsg::Deliver(run)),
        }
    }

    fn deliver_to_all(&self, run: &Run, of: impl Fn(Slot) -> bool) {
        for (_, place) in self.slots().iter().filter(|(slot, place)| of(**slot) && !place.is_closed()) {
            let _ = place.actor.cast(SlotMsg::Deliver(run.clone()));
        }
    }

    /// Tells others what the queue of one slot, or the shelf, wants them to know.
    pub(crate) fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Credit { to, account, charge } => {
                    self.tell(to.slot(), SlotMsg::Credit { to, account, charge });
                }
                Effect::Return { to, run, refund } => self.tell(to.slot(), SlotMsg::Return(run, refund)),
                Effect::Shelved { to, run } => self.tell(to.slot(), SlotMsg::Shelved(to, run)),
                Effect::Fetched { by, charge } => self.tell_shelf(ShelfMsg::Fetched(by, charge)),
            }
        }
    }
}
