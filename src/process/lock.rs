//! Files that one process has to itself, and room in them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[cfg(feature = "log")]
use rustix::fs::{FallocateFlags, fallocate};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// A file that is longer is no lock of ours, but somebody's file whose name was given by mistake: it is not written over.
const LONGEST: u64 = 64;

/// How often a file may vanish under those who take it. Each time somebody has ended or begun in that moment.
const ATTEMPTS: usize = 100;

/// A file that is locked, with the number of the process that holds it in it. The kernel drops the lock with the process: so a file
/// without one is stale, whatever is written in it, and a number in a file with one cannot have come to mean somebody else.
///
/// Dropped, it is removed, unless its name has come to be another file's.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    /// Close-on-exec: a member with a copy would hold the lock on after the master.
    file: File,
}

/// Why it cannot be had.
#[derive(Debug)]
pub(super) enum LockError {
    Held { holder: Option<u32> },
    Foreign(&'static str),
    Os(io::Error),
}

impl LockFile {
    /// Takes the file and writes the number of this process into it. One that nobody holds is taken over.
    pub(super) fn take(path: &Path, mode: u32) -> Result<LockFile, LockError> {
        for _ in 0..ATTEMPTS {
            // Never through a link: in a directory that is everybody's it would lead to a file that is not ours to write.
            // Without waiting: a pipe of that name would wait for somebody at its other end.
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(mode).custom_flags(flags.bits() as i32);
            let file = options.open(path).map_err(LockError::Os)?;
            let found = file.metadata().map_err(LockError::Os)?;
            if !found.is_file() {
                return Err(LockError::Foreign("it is no regular file"));
            }
            if !try_lock(&file).map_err(LockError::Os)? {
                return Err(LockError::Held { holder: number_in(&file) });
            }
            // Whoever held it may have removed it between our two steps: then our lock is on a file without a name.
            if !is_called(&file, path) {
                continue;
            }
            if found.len() > LONGEST {
                return Err(LockError::Foreign("it is too long for one"));
            }
            let path = std::path::absolute(path).map_err(LockError::Os)?;
            // A reader finds what was there, nothing, or the number: a few bytes at the beginning of an empty file become
            // its content at once, with its new length.
            let line = format!("{}\n", std::process::id());
            file.set_len(0).and_then(|()| file.write_all_at(line.as_bytes(), 0)).map_err(LockError::Os)?;
            return Ok(LockFile { path, file });
        }
        Err(LockError::Os(io::Error::other("somebody else takes and removes it all the time")))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Removed while it is locked: whoever opens it meanwhile finds that it has lost its name, and makes a new one.
        if is_called(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
        // Said, and not left to the last descriptor: a process that is being started has a copy of it for a moment.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Whether `path` names this very file.
pub(crate) fn is_called(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// The number in a file that is a whole one: a process that writes it may not have come to its end.
pub(super) fn number_in(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let got = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..got]).ok()?.strip_suffix('\n')?.parse().ok()
}

/// Locks a file for as long as this handle, or one that was copied from it, is open: also past a kill. `false`: somebody has it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Has a file be so long, and room on the disk for all of it, where the file system can promise that. What is new is zeroes.
#[cfg(feature = "log")]
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
