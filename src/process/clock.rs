//! The only reader of the clocks. What the master decides, it decides by the monotonic one. By the calendar only schedules
//! are run, in members.

use std::time::{Instant, SystemTime};

/// The present, by the clock of the runtime that this is called in: where a test has paused it, that of the test. Outside
/// of a runtime, by the system's.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What the calendar of the machine shows. It can be set, forwards and back.
pub(crate) fn calendar() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "this is the reader")]
    SystemTime::now()
}
