//! Where chance comes from that nobody can foresee.

use std::io;

use rand::TryRng;
use rand::rngs::SysRng;

/// A number that nobody else has.
pub(crate) fn random() -> io::Result<u64> {
    SysRng.try_next_u64().map_err(io::Error::other)
}
