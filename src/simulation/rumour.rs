//! Late news: what was or could have been said of a process is told when it serves, leaves, or has ended and its successor
//! has begun. It must change nothing.

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
        // What had no consequences was a rumour itself.
        if actions.is_empty() {
            return;
        }
        let (Some(world), Some(tell)) = (self.world.upgrade(), self.tell.get().cloned()) else { return };
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let old = match (event, dice.below(12)) {
            (Event::Ready(id) | Event::Exited(id, _), 0) => Event::Ready(*id),
            (Event::Exited(id, _), 1) => Event::LinkLost(*id, LinkError::Closed),
            (Event::Exited(id, exit), 2) => Event::Exited(*id, exit.clone()),
            (Event::Exited(id, _), 3) => Event::Unresponsive(*id, Duration::from_secs(30)),
            _ => return,
        };
        let told_in = self.world.clone();
        world.after(Duration::from_millis(dice.below(5_000) as u64), move || {
            // Whoever reads the trace would take it for something that happens.
            told_in.upgrade().inspect(|world| world.say(format_args!("late news: {old}")));
            tell(old);
        });
    }

    fn started(&self, _: Moment, _: MemberId, _: u32) {}

    fn beat(&self, _: Moment, _: MemberId, _: Beat) {}
}

impl fmt::Debug for Rumour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rumour")
    }
}
