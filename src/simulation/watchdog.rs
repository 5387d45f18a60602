//! A thread that looks from outside whether the time of a world passes, while that of the wall does. Where something goes on
//! and on without waiting, the clock of a paused runtime stands, and no limit in virtual time is ever reached.

use std::io::{self, Write};
use std::process::abort;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;

use super::run::failure;
use super::world::World;

/// Looks on until it is dropped.
pub(super) struct Watchdog {
    /// Dropped, it is the word that all is over.
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// So many looks at a clock that stands are as long as its patience.
const LOOKS: u32 = 8;

/// However short its patience, it does not look more often.
const SHORTEST: Duration = Duration::from_millis(1);

impl Watchdog {
    pub(super) fn watch(world: Arc<World>, runtime: Handle, patience: Duration) -> io::Result<Watchdog> {
        let (over, ended) = channel();
        let look = move || look_on(&world, &runtime, patience, &ended);
        let thread = Builder::new().name("watchdog".to_owned()).spawn(look)?;
        Ok(Watchdog { over: Some(over), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It has no panics of its own, and would have nothing to say.
            let _ = thread.join();
        }
    }
}

fn look_on(world: &Arc<World>, runtime: &Handle, patience: Duration, ended: &Receiver<()>) {
    let (mut last, mut stood) = (None, 0);
    loop {
        match ended.recv_timeout((patience / LOOKS).max(SHORTEST)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = {
            // The clock is that of the runtime.
            let _entered = runtime.enter();
            world.now()
        };
        stood = if last == Some(now) { stood + 1 } else { 0 };
        last = Some(now);
        if stood == LOOKS {
            // Whatever awaits now and then is dropped with the world.
            world.halt(format!(
                "its time has not moved for {patience:?} of the wall's: something goes on and on, without waiting for any \
                 time to pass"
            ));
        } else if stood == 2 * LOOKS {
            // No other thread can take a runtime from what never gives it back.
            let reason = format!(
                "it blocks, and has not come back for {:?}: nothing but the end of this process can end it",
                patience * 2
            );
            // Not with a macro: what those print in a test is kept, and would end with the process.
            let _ = writeln!(io::stderr(), "{}", failure(world.seed, reason, Some(world)));
            abort();
        }
    }
}
