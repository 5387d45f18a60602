//! The one who writes: in the agent, and in the master what is left when the agent has gone for good.
//!
//! A batch is written to all of its files or to none. Before it is, the journal says what will be where; after a writer that was
//! killed, its successor looks how far that came, and takes back what is half done: whoever sent it sends it again.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::civil::Date;

use super::journal::{Author, InUse, Intent, Journal, Place};
use super::rolling::{Progress, Rolling, progress, take_back};
use super::settings::Rules;

/// Where what is about to be written is written down.
const JOURNAL: &str = ".hatchery-journal";

pub(super) struct Archive {
    rules: Arc<Rules>,
    journal: Journal,
    files: Vec<Rolling>,
    /// What was begun and could not be finished, nor taken back yet: until that is, nothing is written.
    undo: Option<Undo>,
    /// The last day on which old files were deleted.
    swept: Option<Date>,
}

/// A batch that is to be as if it had never come.
struct Undo {
    author: Author,
    /// The one before it.
    last: u64,
    places: Vec<Place>,
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
    /// Opens it, and takes back what a predecessor has left half done.
    pub(super) fn open(rules: &Arc<Rules>) -> Result<Archive, ArchiveError> {
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
        let mut archive = Archive { rules: rules.clone(), journal, files, undo: None, swept: None };
        archive.settle().map_err(|error| ArchiveError::Io { dir, error })?;
        Ok(archive)
    }

    /// The last batch that was about to be written is written, or nothing of it is. Its files may not be among ours any more.
    fn settle(&mut self) -> io::Result<()> {
        let Some(Intent { batch, places, author, .. }) = self.journal.latest() else { return Ok(()) };
        let dir = &self.rules.dir;
        let mut done = true;
        for place in &places {
            done &= progress(dir, place)? == Progress::Done;
        }
        if done {
            return Ok(());
        }
        for place in &places {
            take_back(dir, place)?;
        }
        self.journal.write(author, batch - 1, Vec::new())
    }

    fn file(&mut self, number: u8) -> io::Result<&mut Rolling> {
        self.files.get_mut(usize::from(number)).ok_or_else(|| io::Error::other(format!("there is no file {number}")))
    }

    /// Writes a batch, unless it is written already. An error: nothing of it is, or will be when the next one is.
    pub(super) fn write(
        &mut self,
        author: Author,
        batch: u64,
        parts: &[(u8, impl AsRef<[u8]>)],
        now: SystemTime,
    ) -> io::Result<()> {
        self.journal.keep()?;
        self.undo()?;
        let last = self.journal.last(author);
        if batch <= last {
            return Ok(());
        }
        let places = self.places(parts, now)?;
        self.journal.write(author, batch, places.clone())?;
        self.undo = Some(Undo { author, last, places });
        let written = parts.iter().try_for_each(|(number, lines)| self.file(*number)?.write(lines.as_ref()));
        if written.is_err() {
            // If that fails, it is tried again before anything else is written.
            let _ = self.undo();
            return written;
        }
        self.undo = None;
        // If that fails, whoever comes next sees by the files that all of it is there.
        let _ = self.journal.write(author, batch, Vec::new());
        Ok(())
    }

    fn undo(&mut self) -> io::Result<()> {
        let Some(Undo { author, last, places }) = &self.undo else { return Ok(()) };
        let (author, last, places) = (*author, *last, places.clone());
        for place in &places {
            self.file(place.file)?.cut(place.offset)?;
        }
        self.journal.write(author, last, Vec::new())?;
        self.undo = None;
        Ok(())
    }

    fn places(&mut self, parts: &[(u8, impl AsRef<[u8]>)], now: SystemTime) -> io::Result<Vec<Place>> {
        let stamp = self.rules.stamp.clone();
        let today = stamp.day(now);
        if self.swept != Some(today) {
            self.files.iter().for_each(|file| file.delete_old(today));
            self.swept = Some(today);
        }
        let mut places: Vec<Place> = Vec::with_capacity(parts.len());
        for (number, lines) in parts {
            if places.iter().any(|place| place.file == *number) {
                return Err(io::Error::other(format!("file {number} comes twice in a batch")));
            }
            places.push(self.file(*number)?.place(lines.as_ref().len() as u64, today, |at| stamp.day(at))?);
        }
        Ok(places)
    }

    /// Opens all files by their names again: those that there are now, the others when there is something to write.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(super) fn reopen(&mut self, now: SystemTime) -> io::Result<()> {
        let today = self.rules.stamp.day(now);
        self.journal.keep()?;
        self.undo()?;
        self.files.iter_mut().try_for_each(|file| file.try_open(today))
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

    fn open(rules: &Arc<Rules>) -> Archive {
        Archive::open(rules).unwrap_or_else(|error| panic!("{error}"))
    }

    const ONE: Author = (1, 0, 1, 77);

    fn read(rules: &Rules, name: &str) -> String {
        fs::read_to_string(rules.dir.join(name)).unwrap_or_default()
    }

    /// Writes a line to the file of the workers, and the same to that of the errors.
    fn write(archive: &mut Archive, batch: u64, line: &str) -> io::Result<()> {
        archive.write(ONE, batch, &[(1, line), (2, line)], UNIX_EPOCH + NOON)
    }

    #[test]
    fn a_batch_that_comes_again_is_written_once_also_by_a_successor() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = rules(dir.path());
        let mut archive = open(&rules);
        for batch in [1, 1, 2, 1, 2] {
            write(&mut archive, batch, &format!("{batch}\n")).expect("there is room");
        }
        drop(archive);
        let mut archive = open(&rules);
        write(&mut archive, 2, "2\n").expect("there is room");
        write(&mut archive, 3, "3\n").expect("there is room");
        assert_eq!((read(&rules, "worker.log"), read(&rules, "error.log")), ("1\n2\n3\n".into(), "1\n2\n3\n".into()));
        drop(archive);
        // One of the next cluster counts from the beginning.
        let next = (1, 0, 1, 78);
        let again = open(&rules).write(next, 1, &[(1, "again\n")], UNIX_EPOCH + NOON);
        again.expect("there is room");
        assert_eq!(read(&rules, "worker.log"), "1\n2\n3\nagain\n");
    }

    #[test]
    fn wherever_a_writer_is_killed_its_successor_has_the_batch_whole_or_not_at_all() {
        // Into the first file, and into the second, so many bytes of a batch are written before the end.
        for (first, second) in [(0, 0), (3, 0), (6, 0), (6, 2), (6, 6)] {
            let dir = tempfile::tempdir().expect("a directory");
            let rules = rules(dir.path());
            let mut archive = open(&rules);
            write(&mut archive, 1, "before\n").expect("there is room");
            let places = archive.places(&[(1, "batch\n"), (2, "batch\n")], UNIX_EPOCH + NOON).expect("there is room");
            archive.journal.write(ONE, 2, places).expect("there is room");
            archive.files[1].write(&b"batch\n"[..first]).expect("there is room");
            archive.files[2].write(&b"batch\n"[..second]).expect("there is room");
            drop(archive);
            let mut archive = open(&rules);
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
        let mut archive = open(&rules);
        write(&mut archive, 1, "before\n").expect("there is room");
        // What is always full.
        drop(archive.files[2].place(1, rules.stamp.day(UNIX_EPOCH + NOON), |at| rules.stamp.day(at)));
        fs::remove_file(dir.path().join("error.log")).expect("it is there");
        std::os::unix::fs::symlink("/dev/full", dir.path().join("error.log")).expect("a link");
        let error = write(&mut archive, 2, "batch\n").expect_err("the second file is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(read(&rules, "worker.log"), "before\n", "and so it is in none");
        fs::remove_file(dir.path().join("error.log")).expect("it is there");
        archive.reopen(UNIX_EPOCH + NOON).expect("it can be opened");
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
        let _archive = open(&rules);
        let second = Archive::open(&rules).err().expect("it is in use");
        assert!(
            second.to_string().ends_with("are written by somebody else: each cluster needs a directory of its own")
        );
        fs::write(dir.path().join("file"), "").expect("there is room");
        let rules = self::rules(&dir.path().join("file/log"));
        let error = Archive::open(&rules).err().expect("a file is no directory").to_string();
        assert!(error.contains("failed to open the logs in") && error.contains("file/log"), "{error}");
    }
    #[test]
    fn what_was_left_half_done_in_a_file_that_the_plan_has_no_more_is_taken_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let more = Logs::new(dir.path()).kind("access", "web").check(&[Role::AGENT, Role::WORKER], 1 << 20);
        let mut archive = open(&Arc::new(more.expect("it is good")));
        archive.write(ONE, 1, &[(3, "whole\n")], UNIX_EPOCH + NOON).expect("there is room");
        let places = archive.places(&[(3, "batch\n")], UNIX_EPOCH + NOON).expect("there is room");
        archive.journal.write(ONE, 2, places).expect("there is room");
        archive.files[3].write(b"bat").expect("there is room");
        drop(archive);
        let rules = rules(dir.path());
        write(&mut open(&rules), 2, "batch\n").expect("there is room");
        assert_eq!(read(&rules, "access.log"), "whole\n");
    }

    #[test]
    fn what_somebody_has_emptied_since_it_was_written_costs_no_other_file_anything() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = rules(dir.path());
        write(&mut open(&rules), 1, "kept\n").expect("there is room");
        fs::write(dir.path().join("worker.log"), "").expect("it is there");
        drop(open(&rules));
        assert_eq!(read(&rules, "error.log"), "kept\n");
    }

    #[test]
    fn a_directory_that_is_removed_is_made_again_with_all_that_is_known() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = rules(&dir.path().join("log"));
        let mut archive = open(&rules);
        write(&mut archive, 1, "one\n").expect("there is room");
        fs::rename(&rules.dir, dir.path().join("aside")).expect("it is there");
        archive.reopen(UNIX_EPOCH + NOON).expect("it can be made");
        write(&mut archive, 2, "two\n").expect("there is room");
        write(&mut archive, 2, "two\n").expect("there is room");
        drop(archive);
        write(&mut open(&rules), 2, "two\n").expect("there is room");
        assert_eq!(read(&rules, "worker.log"), "two\n");
    }
}
