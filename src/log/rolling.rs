//! One log file: opened, put aside when its day is over or it is long enough, and deleted when it is too old.
//!
//! Not one of the crates that do this: a batch is written once or not at all, so whoever writes it has to know which file it is
//! in and where, and has to hear of every error. They hide the first, and what cannot be opened they swallow
//! (ARCHITECTURE.md, "Logs").

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
        // Where it cannot be renamed, it is written to all the same.
        if size > 0 && (is_over || is_long) && self.put_aside(day).is_ok() {
            self.open = None;
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
                let open = || OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
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
        let mut name = first.clone();
        // Whatever became of those before: a number that was given is not given again while a later one is there.
        let numbers = fs::read_dir(&self.dir)?.flatten().filter_map(|entry| {
            let file = entry.file_name();
            let rest = file.to_str()?.strip_prefix(&first)?;
            let digits = rest.strip_prefix('.').map_or("", |rest| rest.split('.').next().unwrap_or_default());
            Some(digits.parse::<u32>().unwrap_or(0))
        });
        if let Some(last) = numbers.max() {
            name = format!("{first}.{}", last.saturating_add(1));
        }
        fs::rename(self.path(), self.dir.join(name))
    }

    /// Deletes what is too old. What cannot be deleted stays.
    pub(super) fn delete_old(&self, today: Date) {
        // Who else renames them, keeps them.
        if self.keep_days == 0 || self.rotation == Rotation::never() {
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
    pub(super) fn cut(&mut self, offset: u64) -> io::Result<()> {
        match &self.open {
            Some(open) if open.file.metadata()?.is_file() => open.file.set_len(offset),
            // Nothing that keeps what it is given: a pipe, a device.
            Some(_) | None => Ok(()),
        }
    }

    /// Opens it by its name now, to see whether that can be.
    pub(super) fn try_open(&mut self, today: Date) -> io::Result<()> {
        self.open = None;
        self.opened(today, |_| today).map(drop)
    }
}

/// How far a predecessor has come with what it was about to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of it is there, or was: somebody else has made the file shorter since.
    Done,
    /// Nothing or a part of it. Whoever has sent it sends it again.
    Begun,
}

/// How far it has come there.
pub(super) fn progress(dir: &Path, place: &Place) -> io::Result<Progress> {
    let Some(path) = find(dir, place.inode)? else { return Ok(Progress::Begun) };
    let size = path.metadata()?.len();
    let is_part = (place.offset..place.offset + place.length).contains(&size);
    Ok(if is_part { Progress::Begun } else { Progress::Done })
}

/// Takes back what it has written from there on.
pub(super) fn take_back(dir: &Path, place: &Place) -> io::Result<()> {
    let Some(path) = find(dir, place.inode)? else { return Ok(()) };
    let file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() > place.offset {
        file.set_len(place.offset)?;
    }
    Ok(())
}

/// What the file of that number is called by now, if it is a log.
fn find(dir: &Path, inode: u64) -> io::Result<Option<PathBuf>> {
    let device = dir.metadata()?.dev();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_log = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(".log"));
        // Through links: it was opened so.
        let is_it = |about: fs::Metadata| about.is_file() && about.ino() == inode && about.dev() == device;
        if is_log && path.metadata().is_ok_and(is_it) {
            return Ok(Some(path));
        }
    }
    Ok(None)
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
        log.delete_old(date(2026, 11, 6));
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
        log.try_open(day).expect("it can be made");
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
        let progress = || progress(dir.path(), &place).expect("it is there");
        assert_eq!(progress(), Progress::Begun, "nothing of it was written");
        log.write(b"half").expect("there is room");
        fs::rename(dir.path().join("worker.log"), dir.path().join("worker.log.2026-11-02")).expect("it is there");
        assert_eq!(progress(), Progress::Begun);
        take_back(dir.path(), &place).expect("it is there");
        expect(dir.path(), &[("worker.log.2026-11-02", "whole\n")]);
        log.write(b"whole..\n").expect("there is room");
        assert_eq!(progress(), Progress::Done);
        fs::write(dir.path().join("worker.log.2026-11-02"), "").expect("it is there");
        assert_eq!(progress(), Progress::Done, "somebody has emptied it");
        fs::remove_file(dir.path().join("worker.log.2026-11-02")).expect("it is there");
        assert_eq!(progress(), Progress::Begun, "nobody has it: rather in another file than nowhere");
    }

    #[test]
    fn a_number_is_not_given_again_because_somebody_has_compressed_what_had_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = rolling(dir.path(), Rotation::size(4));
        for name in ["worker.log.2026-11-02.gz", "worker.log.2026-11-02.7.gz"] {
            fs::write(dir.path().join(name), "").expect("there is room");
        }
        write(&mut log, date(2026, 11, 2), "one\n");
        write(&mut log, date(2026, 11, 2), "two\n");
        assert!(dir.path().join("worker.log.2026-11-02.8").exists());
    }
}
