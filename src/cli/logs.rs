//! `logs`: what stands in the log files of a directory, and what is being written to them.

mod follow;

use std::borrow::Cow;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use self::follow::LogFile;
use super::Logs;
use super::exit::ExitCode;
use crate::text::{may_mislead, show as show_char};

/// How soon a line that was written is shown. Looking at a few files costs next to nothing.
const PERIOD: Duration = Duration::from_millis(200);

pub(super) fn run(logs: &Logs) -> ExitCode {
    let stdout = io::stdout();
    match show(logs, stdout.is_terminal(), &mut stdout.lock()) {
        Ok(()) => ExitCode::Done,
        // Whoever has stopped reading has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Done,
        Err(error) => ExitCode::Failed.with(&format!("failed to show the logs in {}: {error}", logs.log_dir.display())),
    }
}

fn show(logs: &Logs, to_terminal: bool, to: &mut impl Write) -> io::Result<()> {
    let mut directory = Directory::new(logs.log_dir.clone(), to_terminal);
    directory.find(Some(logs.lines))?;
    if directory.files.is_empty() && !logs.follow {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no log file"));
    }
    loop {
        while directory.read(to)? {}
        if !logs.follow {
            return directory.finish(to);
        }
        std::thread::sleep(PERIOD);
        directory.find(None)?;
    }
}

/// The log files of a directory.
struct Directory {
    path: PathBuf,
    files: Vec<LogFile>,
    /// Whose lines were shown last, of several.
    shown: Option<PathBuf>,
    /// A terminal obeys what it is shown. A program is given what is there.
    to_terminal: bool,
}

impl Directory {
    fn new(path: PathBuf, to_terminal: bool) -> Directory {
        Directory { path, files: Vec::new(), shown: None, to_terminal }
    }

    /// Takes up files that it does not know yet: from their last `lines`, or from their beginning.
    fn find(&mut self, lines: Option<usize>) -> io::Result<()> {
        let entries = fs::read_dir(&self.path)?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "log") && path.is_file())
            .filter(|path| !self.files.iter().any(|file| file.path == *path))
            .collect();
        paths.sort();
        for path in paths {
            match LogFile::open(path, lines) {
                Ok(file) => self.files.push(file),
                // Rotated away in this moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Shows what is new, as whole lines. `false`: there was nothing.
    fn read(&mut self, to: &mut impl Write) -> io::Result<bool> {
        let mut any = false;
        for index in 0..self.files.len() {
            let before = self.files[index].read;
            let lines = self.files[index].new_lines()?;
            any |= self.files[index].read != before || !lines.is_empty();
            self.write(to, index, &lines)?;
        }
        to.flush()?;
        Ok(any)
    }

    /// Shows the lines that have no end.
    fn finish(&mut self, to: &mut impl Write) -> io::Result<()> {
        for index in 0..self.files.len() {
            let line = self.files[index].cut();
            self.write(to, index, &line)?;
        }
        to.flush()
    }

    fn write(&mut self, to: &mut impl Write, index: usize, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = &self.files[index].path;
        if self.files.len() > 1 && self.shown.as_ref() != Some(path) {
            writeln!(to, "==> {} <==", path.file_name().unwrap_or_default().to_string_lossy())?;
            self.shown = Some(path.clone());
        }
        match self.to_terminal {
            true => to.write_all(&visible(lines)),
            false => to.write_all(lines),
        }
    }
}

/// Lines as a terminal may be given them: what a program wrote on its stderr may be anybody's text.
fn visible(lines: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(lines).is_ok() && !lines.split(|&byte| byte == b'\n').any(may_mislead) {
        return Cow::Borrowed(lines);
    }
    let mut text = String::with_capacity(lines.len() + 16);
    for c in String::from_utf8_lossy(lines).chars() {
        match c {
            '\n' => text.push('\n'),
            c => show_char(c, &mut text),
        }
    }
    Cow::Owned(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("room");
        file.write_all(text.as_bytes()).expect("room");
    }

    fn of(path: &Path, lines: usize) -> Directory {
        let mut directory = Directory::new(path.to_owned(), true);
        directory.find(Some(lines)).expect("it is there");
        directory
    }

    fn news(directory: &mut Directory) -> String {
        directory.find(None).expect("it is there");
        let mut shown = Vec::new();
        while directory.read(&mut shown).expect("it can be read") {}
        String::from_utf8(shown).expect("text")
    }

    #[test]
    fn a_log_is_followed_over_renaming_emptying_and_removal_and_no_line_is_torn() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("worker.log");
        append(&log, "one\ntwo\nthr");
        let mut reader = of(directory.path(), 100);
        assert_eq!(news(&mut reader), "one\ntwo\n");
        append(&log, "ee\n");
        assert_eq!(news(&mut reader), "three\n");
        append(&log, "four\nlast words");
        fs::rename(&log, directory.path().join("worker.log.1")).expect("it is ours");
        append(&log, "five\n");
        assert_eq!(news(&mut reader), "four\nlast words\nfive\n");
        // Emptied in place, as `copytruncate` does, and written to again.
        File::create(&log).expect("room");
        append(&log, "6\n");
        assert_eq!(news(&mut reader), "6\n");
        fs::remove_file(&log).expect("it is there");
        assert_eq!(news(&mut reader), "");
        append(&log, "seven\n");
        assert_eq!(news(&mut reader), "seven\n");
    }

    #[test]
    fn a_file_that_had_the_name_between_two_looks_is_shown_and_one_of_before_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("worker.log");
        append(&directory.path().join("worker.log.2026-11-01"), "long ago\n");
        append(&log, "one\n");
        let mut reader = of(directory.path(), 100);
        assert_eq!(news(&mut reader), "one\n");
        for (nth, line) in ["two\n", "three\n", "four\n"].into_iter().enumerate() {
            append(&log, line);
            let written = UNIX_EPOCH + Duration::from_secs(nth as u64);
            File::options().write(true).open(&log).and_then(|file| file.set_modified(written)).expect("it is ours");
            // As another program numbers them: the latest is the first.
            for older in (1..=nth).rev() {
                let name = |nth: usize| directory.path().join(format!("worker.log.{nth}"));
                fs::rename(name(older), name(older + 1)).expect("it is there");
            }
            fs::rename(&log, directory.path().join("worker.log.1")).expect("it is there");
        }
        append(&log, "five\n");
        assert_eq!(news(&mut reader), "two\nthree\nfour\nfive\n");
        // As ours are called, and all in one moment of the clock that files have.
        for (nth, line) in ["six\n", "seven\n", "eight\n"].into_iter().enumerate() {
            append(&log, line);
            File::options().write(true).open(&log).and_then(|file| file.set_modified(UNIX_EPOCH)).expect("it is ours");
            let end = if nth == 0 { String::new() } else { format!(".{nth}") };
            fs::rename(&log, directory.path().join(format!("worker.log.2026-11-28{end}"))).expect("it is there");
        }
        append(&log, "nine\n");
        assert_eq!(news(&mut reader), "six\nseven\neight\nnine\n");
    }

    #[test]
    fn a_copy_that_somebody_makes_is_none_of_its_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("worker.log");
        append(&log, "one\n");
        let mut reader = of(directory.path(), 100);
        assert_eq!(news(&mut reader), "one\n");
        fs::copy(&log, directory.path().join("worker.log.bak")).expect("room");
        append(&log, "two\n");
        assert_eq!(news(&mut reader), "two\n");
        fs::rename(&log, directory.path().join("worker.log.1")).expect("it is there");
        append(&directory.path().join("worker.log.0.xz"), "no text\n");
        append(&log, "three\n");
        assert_eq!(news(&mut reader), "three\n");
    }

    #[test]
    fn what_was_taken_back_is_shown_once_and_what_comes_instead_is_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("worker.log");
        append(&log, "one\n");
        let mut reader = of(directory.path(), 100);
        assert_eq!(news(&mut reader), "one\n");
        let take_back =
            |to: u64| File::options().write(true).open(&log).and_then(|file| file.set_len(to)).expect("it is ours");
        append(&log, "two\nthree\nfo");
        assert_eq!(news(&mut reader), "two\nthree\n");
        take_back(4);
        assert_eq!(news(&mut reader), "");
        append(&log, "two\n");
        assert_eq!(news(&mut reader), "");
        append(&log, "three\nfour\n");
        assert_eq!(news(&mut reader), "four\n");
        take_back(14);
        append(&log, "other\n");
        assert_eq!(news(&mut reader), "other\n");
        // A part of a line that had not been shown.
        append(&log, "fi");
        assert_eq!(news(&mut reader), "");
        take_back(20);
        append(&log, "six\n");
        assert_eq!(news(&mut reader), "six\n");
        // Emptied, and longer than before when it is looked at.
        File::create(&log).expect("room");
        append(&log, "another log that is longer than the one before\n");
        assert_eq!(news(&mut reader), "another log that is longer than the one before\n");
    }

    #[test]
    fn what_would_move_a_cursor_is_shown_as_what_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        append(&directory.path().join("master.log"), "größer\u{1b}[2J\u{9b}31m\t€\u{202e}end\n");
        assert_eq!(news(&mut of(directory.path(), 100)), "größer\\u{1b}[2J\\u{9b}31m\t€\\u{202e}end\n");
        let mut piped = Directory::new(directory.path().to_owned(), false);
        assert_eq!(news(&mut piped), "größer\u{1b}[2J\u{9b}31m\t€\u{202e}end\n", "a program is given what is there");
    }

    #[test]
    fn of_several_logs_each_is_named_and_a_new_one_is_taken_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let (agent, worker) = (directory.path().join("agent.log"), directory.path().join("worker.log"));
        append(&agent, "a\n");
        append(&directory.path().join("notes.txt"), "no log\n");
        let mut reader = of(directory.path(), 100);
        assert_eq!(news(&mut reader), "a\n");
        append(&worker, "w\n");
        assert_eq!(news(&mut reader), "==> worker.log <==\nw\n");
        append(&worker, "x\n");
        append(&agent, "b\n");
        assert_eq!(news(&mut reader), "==> agent.log <==\nb\n==> worker.log <==\nx\n");
        append(&worker, "y\n");
        assert_eq!(news(&mut reader), "y\n");
    }

    #[test]
    fn it_begins_with_the_last_lines_however_long_the_file_is_and_ends_with_a_torn_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("worker.log");
        let lines: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
        append(&log, &lines);
        assert_eq!(news(&mut of(directory.path(), 2)), "line 199998\nline 199999\n");
        assert_eq!(news(&mut of(directory.path(), 0)), "");
        assert_eq!(news(&mut of(directory.path(), 100_000)).lines().next(), Some("line 100000"));
        assert_eq!(news(&mut of(directory.path(), 400_000)), lines);
        append(&log, "torn");
        let logs = Logs { log_dir: directory.path().to_owned(), follow: false, lines: 2 };
        let mut shown = Vec::new();
        show(&logs, false, &mut shown).expect("it can be read");
        assert_eq!(String::from_utf8_lossy(&shown), "line 199999\ntorn\n");
        fs::remove_file(&log).expect("it is there");
        assert_eq!(show(&logs, false, &mut shown).expect_err("nothing is there").kind(), io::ErrorKind::NotFound);
    }
}
