//! Files that one process has to itself, and room in them.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

/// Locks a file for as long as this handle, or one that was copied from it, is open: also past a kill. `false`: somebody has it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Has a file be so long, and room on the disk for all of it, where the file system can promise that. What is new is zeroes.
pub(crate) fn reserve(file: &File, length: u64) -> io::Result<()> {
    loop {
        return match fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            Err(Errno::INTR) => continue,
            // Not everywhere: then it is only made so long.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) if file.metadata()?.len() >= length => {
                Ok(())
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => file.set_len(length),
            Err(error) => Err(error.into()),
        };
    }
}
