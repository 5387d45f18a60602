//! The one who writes: in the agent, and in the master what is left when the agent has gone for good.
//!
//! A batch is written to all of its files or to none. Before it is, the journal says what will be where; after a writer that was
//! killed, its successor looks how far that came, and takes back what is half done: whoever sent it sends it again.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::journal::{Author, InUse, Intent, Journal, Place};
use super::rolling::Rolling;
use super::settings::Rules;

/// Where what is about to be written is written down.
const JOURNAL: &str = ".hatchery-journal";

pub(super) struct Archive {
    rules: Arc<Rules>,
    journal: Journal,
    files: Vec<Rolling>,
}

/// Why nothing can be written there.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("failed to open the logs in {dir}: {error}")]
    Io { dir: String, error: io::Error },
    #[error("the logs in {dir} are written by somebody else: each cluster needs a directory of its own")]
    InUse { dir: String },
}

impl Archive {
    /// Opens it, and finishes what a predecessor has left half done. `anew`: it was of a cluster that has ended.
    pub(super) fn open(rules: Arc<Rules>, anew: bool, now: SystemTime) -> Result<Archive, ArchiveError> {
        let dir = rules.dir.display().to_string();
        let opened = fs::create_dir_all(&rules.dir).and_then(|()| Journal::open(&rules.dir.join(JOURNAL)));
        let journal = match opened {
            Ok(Ok(journal)) => journal,
            Ok(Err(InUse)) => return Err(ArchiveError::InUse { dir }),
            Err(error) => return Err(ArchiveError::Io { dir, error }),
        };
        let file = |(number, name): (usize, &String)| {
            Rolling::new(number as u8, &rules.dir, name, rules.rotation, rules.keep_days)
        };
        let files = rules.files.iter().enumerate().map(file).collect();
        let mut archive = Archive { rules, journal, files };
        let begun = archive.settle().and_then(|()| if anew { archive.journal.clear() } else { Ok(()) });
        begun.map_err(|error| ArchiveError::Io { dir, error })?;
        let today = archive.rules.stamp.day(now);
        archive.files.iter().for_each(|file| file.delete_old(today));
        Ok(archive)
    }

    /// The last batch that was about to be written is written, or nothing of it is.
    fn settle(&mut self) -> io::Result<()> {
        let Some(Intent { batch, places, author, .. }) = self.journal.latest() else { return Ok(()) };
        let mut all = true;
        for place in &places {
            all &= self.file(place.file)?.settle(place)?;
        }
        if !all {
            for place in &places {
                self.file(place.file)?.take_back(place)?;
            }
            self.journal.intend(author, batch - 1, Vec::new())?;
        }
        Ok(())
    }

    fn file(&mut self, number: u8) -> io::Result<&mut Rolling> {
        self.files.get_mut(usize::from(number)).ok_or_else(|| io::Error::other(format!("there is no file {number}")))
    }

    /// Writes a batch, unless it is written already. An error: nothing of it is.
    pub(super) fn write(
        &mut self,
        author: Author,
        batch: u64,
        parts: &[(u8, impl AsRef<[u8]>)],
        now: SystemTime,
    ) -> io::Result<()> {
        let last = self.journal.last(author);
        if batch <= last {
            return Ok(());
        }
        let places = self.places(parts, now)?;
        self.journal.intend(author, batch, places.clone())?;
        let written = parts.iter().try_for_each(|(number, lines)| self.file(*number)?.write(lines.as_ref()));
        if written.is_err() {
            for place in &places {
                self.file(place.file)?.cut(place.offset);
            }
            self.journal.intend(author, last, Vec::new())?;
        }
        written
    }

    fn places(&mut self, parts: &[(u8, impl AsRef<[u8]>)], now: SystemTime) -> io::Result<Vec<Place>> {
        let stamp = self.rules.stamp.clone();
        let today = stamp.day(now);
        let mut places: Vec<Place> = Vec::with_capacity(parts.len());
        for (number, lines) in parts {
            if places.iter().any(|place| place.file == *number) {
                return Err(io::Error::other(format!("file {number} comes twice in a batch")));
            }
            places.push(self.file(*number)?.place(lines.as_ref().len() as u64, today, |at| stamp.day(at))?);
        }
        Ok(places)
    }

    /// Opens all files by their names again when there is something to write.
    pub(super) fn reopen(&mut self) {
        self.files.iter_mut().for_each(Rolling::reopen);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::identity::Role;
    use crate::log::Logs;

    const NOON: Duration = Duration::from_secs(1_772_323_200 + 12 * 3600);

    fn rules(dir: &std::path::Path) -> Arc<Rules> {
        Arc::new(Logs::new(dir).check(&[Role::AGENT, Role::WORKER], 1 << 20).expect("it is good"))
    }

    fn open(rules: &Arc<Rules>, anew: bool) -> Archive {
        Archive::open(rules.clone(), anew, UNIX_EPOCH + NOON).unwrap_or_else(|error| panic!("{error}"))
    }

    fn read(rules: &Rules, name: &str) -> String {
        fs::read_to_string(rules.dir.join(name)).unwrap_or_default()
    }

    /// Writes a line to the file of the workers, and the same to that of the errors.
    fn write(archive: &mut Archive, batch: u64, line: &str) -> io::Result<()> {
        archive.write((1, 0, 1), batch, &[(1, line), (2, line)], UNIX_EPOCH + NOON)
    }

    #[test]
    fn a_batch_that_comes_again_is_written_once_also_by_a_successor() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = rules(dir.path());
        let mut archive = open(&rules, true);
        for batch in [1, 1, 2, 1, 2] {
            write(&mut archive, batch, &format!("{batch}\n")).expect("there is room");
        }
        drop(archive);
        let mut archive = open(&rules, false);
        write(&mut archive, 2, "2\n").expect("there is room");
        write(&mut archive, 3, "3\n").expect("there is room");
        assert_eq!((read(&rules, "worker.log"), read(&rules, "error.log")), ("1\n2\n3\n".into(), "1\n2\n3\n".into()));
        drop(archive);
        // The next cluster counts from the beginning.
        write(&mut open(&rules, true), 1, "again\n").expect("there is room");
        assert_eq!(read(&rules, "worker.log"), "1\n2\n3\nagain\n");
    }

    #[test]
    fn wherever_a_writer_is_killed_its_successor_has_the_batch_whole_or_not_at_all() {
        // Into the first file, and into the second, so many bytes of a batch are written before the end.
        for (first, second) in [(0, 0), (3, 0), (6, 0), (6, 2), (6, 6)] {
            let dir = tempfile::tempdir().expect("a directory");
            let rules = rules(dir.path());
            let mut archive = open(&rules, true);
            write(&mut archive, 1, "before\n").expect("there is room");
            let places = archive.places(&[(1, "batch\n"), (2, "batch\n")], UNIX_EPOCH + NOON).expect("there is room");
            archive.journal.intend((1, 0, 1), 2, places).expect("there is room");
            archive.files[1].write(&b"batch\n"[..first]).expect("there is room");
            archive.files[2].write(&b"batch\n"[..second]).expect("there is room");
            drop(archive);
            let mut archive = open(&rules, false);
            let done = (first, second) == (6, 6);
            let expected = if done { "before\nbatch\n" } else { "before\n" };
            assert_eq!(read(&rules, "worker.log"), expected, "{first} {second}");
            assert_eq!(read(&rules, "error.log"), expected, "{first} {second}");
            write(&mut archive, 2, "batch\n").expect("there is room");
            assert_eq!(read(&rules, "worker.log"), "before\nbatch\n", "{first} {second}");
            assert_eq!(read(&rules, "error.log"), "before\nbatch\n", "{first} {second}");
        }
    }

    #[test]
    fn a_disk_that_is_full_takes_a_batch_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = rules(dir.path());
        let mut archive = open(&rules, true);
        write(&mut archive, 1, "before\n").expect("there is room");
        // What is always full.
        drop(archive.files[2].place(1, rules.stamp.day(UNIX_EPOCH + NOON), |at| rules.stamp.day(at)));
        fs::remove_file(dir.path().join("error.log")).expect("it is there");
        std::os::unix::fs::symlink("/dev/full", dir.path().join("error.log")).expect("a link");
        let error = write(&mut archive, 2, "batch\n").expect_err("the second file is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(read(&rules, "worker.log"), "before\n", "and so it is in none");
        fs::remove_file(dir.path().join("error.log")).expect("it is there");
        archive.reopen();
        write(&mut archive, 2, "batch\n").expect("there is room again");
        assert_eq!(
            (read(&rules, "worker.log"), read(&rules, "error.log")),
            ("before\nbatch\n".into(), "batch\n".into())
        );
    }

    #[test]
    fn a_directory_has_one_writer() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = rules(&dir.path().join("made/as/needed"));
        let _archive = open(&rules, true);
        let second = Archive::open(rules.clone(), true, UNIX_EPOCH + NOON).err().expect("it is in use");
        assert!(
            second.to_string().ends_with("are written by somebody else: each cluster needs a directory of its own")
        );
        fs::write(dir.path().join("file"), "").expect("there is room");
        let rules = self::rules(&dir.path().join("file/log"));
        let error = Archive::open(rules, true, UNIX_EPOCH + NOON).err().expect("a file is no directory").to_string();
        assert!(error.contains("failed to open the logs in") && error.contains("file/log"), "{error}");
    }
}
