//! The only reader of the clock. Monotonic: nothing here decides by what a calendar says.

use std::time::Instant;

/// The present.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
