//! The file with the number of the master: a lock first, and a number for people and scripts second.

#[cfg(feature = "cli")]
use std::fs::{self, File, OpenOptions};
use std::io;
#[cfg(feature = "cli")]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[cfg(feature = "cli")]
use rustix::fs::OFlags;

#[cfg(feature = "cli")]
use super::lock::number_in;
use super::lock::{LockError, LockFile};
#[cfg(feature = "cli")]
use super::stranger::Stranger;

/// Why a pid file cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidFileError {
    #[error("the pid file {} is held by a process that runs{}: stop that first", path.display(), numbered(*holder))]
    Held { path: PathBuf, holder: Option<u32> },
    #[error("{} cannot be the pid file: {why}", path.display())]
    Foreign { path: PathBuf, why: &'static str },
    #[error("failed to take the pid file {}: {error}", path.display())]
    Os { path: PathBuf, error: io::Error },
}

fn numbered(pid: Option<u32>) -> String {
    pid.map(|pid| format!(", pid {pid}")).unwrap_or_default()
}

/// A pid file that is held. Dropped, it is removed, unless its name has come to be another file's.
#[derive(Debug)]
pub(crate) struct PidFile {
    _lock: LockFile,
}

impl PidFile {
    /// Takes the file and writes the number of this process into it. One that nobody holds is taken over.
    pub(crate) fn take(path: &Path) -> Result<PidFile, PidFileError> {
        let taken = path.to_owned();
        match LockFile::take(path, 0o644) {
            Ok(lock) => Ok(PidFile { _lock: lock }),
            Err(LockError::Held { holder }) => Err(PidFileError::Held { path: taken, holder }),
            Err(LockError::Foreign(why)) => Err(PidFileError::Foreign { path: taken, why }),
            Err(LockError::Os(error)) => Err(PidFileError::Os { path: taken, error }),
        }
    }
}

/// The process that holds a pid file, held by a descriptor of its own, so that it cannot come to mean another. `None`:
/// there is no such file, or nobody that this user can see holds it. A file that was left behind names a number that may
/// be anybody's by now.
///
/// # Errors
/// The file cannot be read.
#[cfg(feature = "cli")]
pub(crate) fn holder_of(path: &Path) -> io::Result<Option<Stranger>> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(pid) = number_in(&file) else { return Ok(None) };
    // First taken hold of, then asked whether it is the one: between the two its number cannot change hands.
    let Ok(stranger) = Stranger::open(pid) else { return Ok(None) };
    Ok(has_locked(pid, &file).then_some(stranger))
}

/// Whether the process has this file open and locked. By its descriptors, not by the kernel's list of locks: that names
/// files by a device that is not always the one that is shown of them.
#[cfg(feature = "cli")]
fn has_locked(pid: u32, file: &File) -> bool {
    let Ok(wanted) = file.metadata() else { return false };
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|entry| {
        let is_it =
            fs::metadata(entry.path()).is_ok_and(|open| (open.dev(), open.ino()) == (wanted.dev(), wanted.ino()));
        let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
        // `lock:   1: FLOCK  ADVISORY  WRITE 7747 fe:00:10011071 0 EOF`
        let is_lock = |line: &str| line.starts_with("lock:") && line.contains("FLOCK") && line.contains("WRITE");
        is_it && fs::read_to_string(info).is_ok_and(|info| info.lines().any(is_lock))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn own() -> String {
        format!("{}\n", std::process::id())
    }

    #[test]
    fn a_pid_file_is_held_once_names_its_holder_and_goes_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        let held = PidFile::take(&path).expect("a free path");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), own());
        let refused = PidFile::take(&path).map(drop).map_err(|error| error.to_string());
        let sentence = format!(
            "the pid file {} is held by a process that runs, pid {}: stop that first",
            path.display(),
            std::process::id()
        );
        assert_eq!(refused, Err(sentence));
        assert_eq!(fs::read_to_string(&path).expect("it is there"), own(), "the refused one has not touched it");
        drop(held);
        assert!(!path.exists());
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_holder_is_whoever_has_the_lock_and_not_whoever_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        let named = || holder_of(&path).expect("it can be read").map(|holder| holder.pid());
        assert_eq!(named(), None, "no file");
        let held = PidFile::take(&path).expect("a free path");
        assert_eq!(named(), Some(std::process::id()));
        // Somebody who runs, and does not hold it.
        let parent = std::os::unix::process::parent_id();
        fs::write(&path, format!("{parent}\n")).expect("room");
        assert_eq!(named(), None);
        for text in ["", "12", "garbage\n", "99999999999\n"] {
            fs::write(&path, text).expect("room");
            assert_eq!(named(), None, "{text:?}");
        }
        drop(held);
        // Nobody has locked it, though the number is that of a process which runs.
        fs::write(&path, own()).expect("room");
        assert_eq!(named(), None);
        assert!(holder_of(directory.path()).expect("it can be opened").is_none());
    }

    #[test]
    fn what_nobody_holds_is_taken_over_whatever_stands_in_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        for stale in ["1\n", "", "99999999999999999999", "no number at all\n\n\0"] {
            fs::write(&path, stale).expect("room");
            let held = PidFile::take(&path).expect("nobody holds it");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), own(), "{stale:?}");
            drop(held);
        }
    }

    #[test]
    fn a_file_that_took_its_name_is_not_removed_and_one_that_was_removed_is_no_loss() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        let held = PidFile::take(&path).expect("a free path");
        fs::remove_file(&path).expect("it is there");
        let second = PidFile::take(&path).expect("a free path again");
        drop(held);
        assert_eq!(fs::read_to_string(&path).expect("it is the second's"), own());
        fs::remove_file(&path).expect("it is there");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_pid_file_is_left_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        let complaint = |path: &Path| PidFile::take(path).map(drop).expect_err("it is no pid file").to_string();
        let name = path.display();
        assert_eq!(
            complaint(directory.path()),
            format!("failed to take the pid file {}: Is a directory (os error 21)", directory.path().display())
        );
        let lost = directory.path().join("missing/pid");
        assert_eq!(
            complaint(&lost),
            format!("failed to take the pid file {}: No such file or directory (os error 2)", lost.display())
        );
        fs::write(&path, "a".repeat(65)).expect("room");
        assert_eq!(complaint(&path), format!("{name} cannot be the pid file: it is too long for one"));
        assert_eq!(fs::metadata(&path).expect("it is there").len(), 65);
        let link = directory.path().join("link");
        symlink(&path, &link).expect("room");
        assert!(complaint(&link).contains("Too many levels of symbolic links"));
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("room");
        assert_eq!(complaint(&pipe), format!("{} cannot be the pid file: it is no regular file", pipe.display()));
    }

    #[test]
    fn a_reader_sees_nothing_or_a_whole_number_and_of_many_takers_one_has_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        let (holders, over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while !over.load(Ordering::Relaxed) {
                    match fs::read_to_string(&path) {
                        Ok(text) => {
                            assert!(text.is_empty() || text == own(), "half of it: {text:?}");
                            seen += usize::from(!text.is_empty());
                        }
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
                    }
                }
                seen
            });
            let take = || {
                let mut taken = 0;
                while taken < 300 {
                    match PidFile::take(&path) {
                        Ok(held) => {
                            assert!(!holders.swap(true, Ordering::SeqCst), "two have it");
                            taken += 1;
                            std::thread::yield_now();
                            holders.store(false, Ordering::SeqCst);
                            drop(held);
                        }
                        Err(PidFileError::Held { .. }) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            };
            let takers = [scope.spawn(take), scope.spawn(take)];
            takers.into_iter().for_each(|taker| taker.join().expect("it has had its turns"));
            over.store(true, Ordering::Relaxed);
            assert!(reader.join().expect("it saw no half") > 0);
        });
        assert!(!path.exists());
    }
}
