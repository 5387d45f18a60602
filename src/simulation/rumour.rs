//! Old news, told again: a fact about a process that has ended is repeated after its successor has begun. It must change
//! nothing.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::world::World;
use crate::actors::{Beat, Observe};
use crate::identity::MemberId;
use crate::supervision::{Action, Dice, Event, LinkError, Moment, Supervisor};

/// Repeats what was true once.
pub(super) struct Rumour {
    world: Weak<World>,
    dice: Mutex<Dice>,
    tell: OnceLock<Arc<dyn Fn(Event) + Send + Sync>>,
}

impl Rumour {
    pub(super) fn new(world: &Arc<World>) -> Rumour {
        Rumour { world: Arc::downgrade(world), dice: Mutex::new(world.dice(0x01d)), tell: OnceLock::new() }
    }

    pub(super) fn reaches(&self, tell: impl Fn(Event) + Send + Sync + 'static) {
        let _ = self.tell.set(Arc::new(tell));
    }
}

impl Observe for Rumour {
    fn step(&self, _: Moment, event: &Event, actions: &[Action], _: &Supervisor) {
        let (Event::Exited(id, exit), false) = (event, actions.is_empty()) else { return };
        let (Some(world), Some(tell)) = (self.world.upgrade(), self.tell.get().cloned()) else { return };
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let old = match dice.below(12) {
            0 => Event::Ready(*id),
            1 => Event::LinkLost(*id, LinkError::Closed),
            2 => Event::Exited(*id, exit.clone()),
            3 => Event::Unresponsive(*id, Duration::from_secs(30)),
            _ => return,
        };
        world.after(Duration::from_millis(dice.below(5_000) as u64), move || tell(old));
    }

    fn started(&self, _: Moment, _: MemberId, _: u32) {}

    fn beat(&self, _: Moment, _: MemberId, _: Beat) {}
}

impl fmt::Debug for Rumour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rumour")
    }
}
