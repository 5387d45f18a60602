//! The only reader of the clock. Monotonic: nothing here decides by what a calendar says.

use std::time::Instant;

/// The present, by the clock of the runtime that this is called in: where a test has paused it, that of the test. Outside
/// of a runtime, by the system's.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
