//! The order in which a group is restarted: nobody of it before all that go along are gone, and no role before those of it
//! that come earlier are ready.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{MemberId, Role, Slot};
use crate::supervision::Scope;

/// The group that is being restarted, as far as it can be told from outside. One that has come to its end is empty.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Who has still to go.
    going: BTreeSet<MemberId>,
    slots: BTreeMap<Slot, Turn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It is, or will be, empty, and is to be started again.
    ToCome,
    /// It was started, and is not ready.
    Begun,
}

impl Group {
    /// `first` has failed, and of `alive` those in its scope go along. One that is under way becomes larger by it, and begins
    /// again: who has been started and is not in scope is waited for no longer. `off`: slots without a successor, though
    /// somebody may still leave them.
    pub(super) fn begin<'a>(
        &mut self,
        first: MemberId,
        scope: Scope,
        alive: impl Iterator<Item = &'a MemberId>,
        off: &BTreeSet<Slot>,
    ) {
        self.slots.retain(|_, turn| *turn == Turn::ToCome);
        for id in alive.filter(|id| reaches(scope, first.slot(), id.slot())) {
            self.going.insert(*id);
            if !off.contains(&id.slot()) {
                self.slots.insert(id.slot(), Turn::ToCome);
            }
        }
        self.slots.insert(first.slot(), Turn::ToCome);
    }

    /// Whether it is to leave for the group.
    pub(super) fn has(&self, id: MemberId) -> bool {
        self.going.contains(&id)
    }

    pub(super) fn gone(&mut self, id: MemberId) {
        self.going.remove(&id);
    }

    pub(super) fn started(&mut self, id: MemberId) -> Option<String> {
        let turn = self.slots.get_mut(&id.slot())?;
        // Begun, it is started again by itself.
        if std::mem::replace(turn, Turn::Begun) == Turn::Begun {
            return None;
        }
        if let Some(left) = self.going.first() {
            return Some(format!("group: {id} is started before {left} has gone"));
        }
        let earlier = self.slots.keys().find(|slot| slot.role() < id.role())?;
        Some(format!("group: {id} is started before {earlier} is ready"))
    }

    pub(super) fn ready(&mut self, slot: Slot) {
        if self.slots.get(&slot) == Some(&Turn::Begun) {
            self.slots.remove(&slot);
        }
    }

    /// The slot is not waited for any more: it is empty, and to stay so.
    pub(super) fn leaves_out(&mut self, slot: Slot) {
        self.slots.remove(&slot);
    }

    /// The same of a whole role. Which of its slots an operator's new number leaves is the core's to know.
    pub(super) fn leaves_out_role(&mut self, role: Role) {
        self.slots.retain(|slot, _| slot.role() != role);
    }

    /// The cluster stops.
    pub(super) fn end(&mut self) {
        *self = Group::default();
    }
}

/// Whether who is in `slot` goes along when somebody in `first` has failed.
fn reaches(scope: Scope, first: Slot, slot: Slot) -> bool {
    match scope {
        Scope::One => slot == first,
        Scope::Rest => slot >= first,
        Scope::Role => slot.role() == first.role(),
        Scope::All => true,
    }
}
