//! One log file: opened, put aside when its day is over or it is long enough, and deleted when it is too old.
//!
//! Not one of the crates that do this: a batch is written once or not at all, so whoever writes it has to know which file it is
//! in and where, and has to hear of every error. They hide the first, and what cannot be opened they swallow
//! (ARCHITECTURE.md, "Logs").

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::ToSpan;
use jiff::civil::Date;

use super::journal::Place;
use super::settings::Rotation;

pub(super) struct Rolling {
    /// Its number among the files of the family.
    number: u8,
    dir: PathBuf,
    /// `worker.log`.
    name: String,
    rotation: Rotation,
    keep_days: u16,
    open: Option<Open>,
}

struct Open {
    file: File,
    /// Of what is in it.
    day: Date,
}

impl Rolling {
    pub(super) fn new(number: u8, dir: &Path, name: &str, rotation: Rotation, keep_days: u16) -> Rolling {
        Rolling { number, dir: dir.to_owned(), name: format!("{name}.log"), rotation, keep_days, open: None }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Where so many bytes will be, in a file of today. `day_of`: the day of a moment.
    pub(super) fn place(
        &mut self,
        length: u64,
        today: Date,
        day_of: impl Fn(std::time::SystemTime) -> Date,
    ) -> io::Result<Place> {
        if let Some(open) = &self.open
            && open.file.metadata()?.nlink() == 0
        {
            // Somebody has deleted it: nobody would ever see what goes there.
            self.open = None;
        }
        let (mut size, mut inode) = self.opened(today, &day_of)?;
        let day = self.open.as_ref().map_or(today, |open| open.day);
        let is_over = self.rotation.daily && day < today;
        let is_long = self.rotation.size.is_some_and(|limit| size + length > limit);
        if size > 0 && (is_over || is_long) {
            self.open = None;
            self.put_aside(day)?;
            self.delete_old(today);
            (size, inode) = self.opened(today, &day_of)?;
        }
        if let Some(open) = &mut self.open {
            open.day = today;
        }
        Ok(Place { file: self.number, inode, offset: size, length })
    }

    /// Its size and its number in the file system.
    fn opened(&mut self, today: Date, day_of: impl Fn(std::time::SystemTime) -> Date) -> io::Result<(u64, u64)> {
        let open = match &self.open {
            Some(open) => open,
            None => {
                let path = self.path();
                let open = || OpenOptions::new().create(true).append(true).open(&path);
                let file = match open() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        fs::create_dir_all(&self.dir)?;
                        open()?
                    }
                    opened => opened?,
                };
                let about = file.metadata()?;
                // What is in it is of the day on which it was written to last.
                let day = if about.len() == 0 { today } else { day_of(about.modified()?) };
                self.open.insert(Open { file, day })
            }
        };
        let about = open.file.metadata()?;
        Ok((about.len(), about.ino()))
    }

    /// Renames it after its day, with a number where the day has one already.
    fn put_aside(&self, day: Date) -> io::Result<()> {
        let first = format!("{}.{day}", self.name);
        let taken = |name: &str| self.dir.join(name).symlink_metadata().is_ok();
        let mut name = first.clone();
        let mut nth = 0;
        while taken(&name) {
            nth += 1;
            name = format!("{first}.{nth}");
        }
        fs::rename(self.path(), self.dir.join(name))
    }

    /// Deletes what is too old. What cannot be deleted stays.
    pub(super) fn delete_old(&self, today: Date) {
        if self.keep_days == 0 {
            return;
        }
        let Ok(oldest) = today.checked_sub(i64::from(self.keep_days).days()) else { return };
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let day = name.to_str().and_then(|name| day_in(name.strip_prefix(&self.name)?.strip_prefix('.')?));
            if day.is_some_and(|day| day < oldest) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Writes lines where [`Rolling::place`] has said.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.file.write_all(lines),
            None => Err(io::Error::other("it is not open")),
        }
    }

    /// Takes back what was written from there on.
    pub(super) fn cut(&mut self, offset: u64) {
        // An error here comes again with the next batch, which begins wherever this one has ended.
        let cut = self.open.as_ref().map(|open| open.file.set_len(offset));
        debug_assert!(cut.is_some(), "what is cut was written to");
    }

    /// Opens it by its name again when there is something to write.
    pub(super) fn reopen(&mut self) {
        self.open = None;
    }

    /// Whether what a predecessor was about to write is in the file, whole. What is there in part is taken back.
    pub(super) fn settle(&self, place: &Place) -> io::Result<bool> {
        let Some(path) = self.find(place.inode)? else {
            // Deleted, or moved elsewhere: nothing of it will come back.
            return Ok(true);
        };
        let file = OpenOptions::new().write(true).open(path)?;
        let size = file.metadata()?.len();
        if size >= place.offset + place.length {
            return Ok(true);
        }
        if size > place.offset {
            file.set_len(place.offset)?;
        }
        Ok(false)
    }

    /// Takes back what a predecessor has written from there on, where it has not finished the rest.
    pub(super) fn take_back(&self, place: &Place) -> io::Result<()> {
        let Some(path) = self.find(place.inode)? else { return Ok(()) };
        let file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() > place.offset {
            file.set_len(place.offset)?;
        }
        Ok(())
    }

    /// What that file is called by now.
    fn find(&self, inode: u64) -> io::Result<Option<PathBuf>> {
        let is_it = |path: &Path| path.symlink_metadata().is_ok_and(|about| about.ino() == inode);
        let path = self.path();
        if is_it(&path) {
            return Ok(Some(path));
        }
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if is_it(&path) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// The day in `2026-11-28` or `2026-11-28.3`.
fn day_in(text: &str) -> Option<Date> {
    let (day, number) = match text.split_once('.') {
        Some((day, number)) => (day, Some(number)),
        None => (text, None),
    };
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if day.len() != 10 || number.is_some_and(|number| !is_number(number)) {
        return None;
    }
    day.parse().ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn rolling(dir: &Path, rotation: Rotation) -> Rolling {
        Rolling::new(0, dir, "worker", rotation, 3)
    }

    fn write(rolling: &mut Rolling, day: Date, line: &str) -> Place {
        // What is found there is of the day before yesterday.
        let place = rolling.place(line.len() as u64, day, |_| date(2026, 11, 1)).expect("there is room");
        rolling.write(line.as_bytes()).expect("there is room");
        place
    }

    fn files(dir: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(dir).expect("it is there").flatten();
        let mut files: Vec<_> = entries
            .map(|entry| {
                (entry.file_name().into_string().expect("plain"), fs::read_to_string(entry.path()).expect("text"))
            })
            .collect();
        files.sort();
        files
    }

    fn expect(dir: &Path, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        assert_eq!(files(dir), expected);
    }

    #[test]
    fn a_day_that_is_over_is_put_aside_under_its_name_and_kept_for_its_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = rolling(dir.path(), Rotation::daily());
        write(&mut log, date(2026, 11, 2), "a\n");
        write(&mut log, date(2026, 11, 2), "b\n");
        write(&mut log, date(2026, 11, 3), "c\n");
        write(&mut log, date(2026, 11, 3), "d\n");
        expect(dir.path(), &[("worker.log", "c\nd\n"), ("worker.log.2026-11-02", "a\nb\n")]);
        // A successor finds a file that was written to on a day before.
        let mut log = rolling(dir.path(), Rotation::daily());
        write(&mut log, date(2026, 11, 5), "e\n");
        fs::write(dir.path().join("worker.log.2026-10-01x"), "not ours").expect("there is room");
        fs::write(dir.path().join("worker.log.2026-11-01.12"), "put aside twelve times").expect("there is room");
        write(&mut log, date(2026, 11, 6), "f\n");
        let kept = ["worker.log", "worker.log.2026-10-01x", "worker.log.2026-11-05"];
        let there: Vec<_> = files(dir.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(there, kept, "what is older than three days is gone, and what is nobody's is not");
    }

    #[test]
    fn a_file_that_would_be_too_long_is_put_aside_and_the_day_has_several() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = rolling(dir.path(), Rotation::size(4));
        let day = date(2026, 11, 2);
        for line in ["a\n", "b\n", "c\n", "longer than that\n", "d\n"] {
            write(&mut log, day, line);
        }
        let day = |nth: &str| format!("worker.log.2026-11-02{nth}");
        let expected =
            [("worker.log", "d\n"), (&day(""), "a\nb\n"), (&day(".1"), "c\n"), (&day(".2"), "longer than that\n")];
        expect(dir.path(), &expected);
    }

    #[test]
    fn a_file_that_was_renamed_is_followed_until_it_is_reopened_and_one_that_was_deleted_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = rolling(dir.path(), Rotation::never());
        let day = date(2026, 11, 2);
        write(&mut log, day, "a\n");
        fs::rename(dir.path().join("worker.log"), dir.path().join("old")).expect("it is there");
        write(&mut log, day, "b\n");
        log.reopen();
        write(&mut log, day, "c\n");
        expect(dir.path(), &[("old", "a\nb\n"), ("worker.log", "c\n")]);
        fs::remove_file(dir.path().join("worker.log")).expect("it is there");
        write(&mut log, day, "d\n");
        fs::remove_dir_all(dir.path()).expect("it is there");
        write(&mut log, day, "e\n");
        expect(dir.path(), &[("worker.log", "e\n")]);
    }

    #[test]
    fn what_a_predecessor_has_written_in_part_is_taken_back_also_under_another_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = rolling(dir.path(), Rotation::never());
        let day = date(2026, 11, 2);
        write(&mut log, day, "whole\n");
        let place = log.place(8, day, |_| day).expect("there is room");
        assert!(!log.settle(&place).expect("it is there"), "nothing of it was written");
        log.write(b"half").expect("there is room");
        fs::rename(dir.path().join("worker.log"), dir.path().join("worker.log.2026-11-02")).expect("it is there");
        assert!(!log.settle(&place).expect("it is there"));
        expect(dir.path(), &[("worker.log.2026-11-02", "whole\n")]);
        log.write(b"all of it").expect("there is room");
        assert!(log.settle(&place).expect("it is there"));
        log.take_back(&place).expect("it is there");
        expect(dir.path(), &[("worker.log.2026-11-02", "whole\n")]);
        fs::remove_file(dir.path().join("worker.log.2026-11-02")).expect("it is there");
        assert!(log.settle(&place).expect("it is there"), "nobody has it any more");
    }
}
