//! `logs`: what stands in the log files of a directory, and what is being written to them.
//!
//! A file is followed by its name: where another one has it by now, what is left of the old one is read first, then those that had
//! the name in between, under whatever name they have been put aside. One that has become shorter was emptied in place, and begins
//! anew.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::Logs;
use super::exit::ExitCode;
use crate::text::show as show_char;

/// How soon a line that was written is shown. Looking at a few files costs next to nothing.
const PERIOD: Duration = Duration::from_millis(200);

/// A line that has grown to this is shown in pieces.
const LONGEST: usize = 64 * 1024;

/// How much of one file is read before it is the next one's turn: a log may be larger than memory.
const AT_ONCE: u64 = 1024 * 1024;

pub(super) fn run(logs: &Logs) -> ExitCode {
    match show(logs, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::Done,
        // Whoever has stopped reading has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Done,
        Err(error) => ExitCode::Failed.with(&format!("failed to show the logs in {}: {error}", logs.log_dir.display())),
    }
}

fn show(logs: &Logs, to: &mut impl Write) -> io::Result<()> {
    let mut directory = Directory::new(logs.log_dir.clone());
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
}

impl Directory {
    fn new(path: PathBuf) -> Directory {
        Directory { path, files: Vec::new(), shown: None }
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
        to.write_all(&visible(lines))
    }
}

/// Lines as a terminal may be given them: what a program wrote on its stderr may be anybody's text.
fn visible(lines: &[u8]) -> Cow<'_, [u8]> {
    // Beyond ASCII, what is not to be shown begins with one of two bytes.
    if !lines.iter().any(|&byte| (byte < b' ' && byte != b'\n' && byte != b'\t') || matches!(byte, 0x7f | 0xc2 | 0xe2))
    {
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

/// Which file it is, whatever it is called.
type Identity = (u64, u64);

fn identity(about: &fs::Metadata) -> Identity {
    (about.dev(), about.ino())
}

/// One file, as far as it was read.
struct LogFile {
    path: PathBuf,
    file: File,
    /// Those that had been put aside before it was begun, or were read.
    aside: BTreeSet<Identity>,
    read: u64,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl LogFile {
    fn open(path: PathBuf, lines: Option<usize>) -> io::Result<LogFile> {
        let mut file = File::open(&path)?;
        let read = match lines {
            Some(lines) => last_lines(&mut file, lines)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(read))?;
        let mut file = LogFile { path, file, aside: BTreeSet::new(), read, begun: Vec::new() };
        file.aside = file.put_aside().into_iter().map(|(_, identity, _)| identity).collect();
        Ok(file)
    }

    /// The lines that have become whole since it was last looked at, or some of them.
    fn new_lines(&mut self) -> io::Result<Vec<u8>> {
        if self.file.metadata()?.len() < self.read {
            self.file.seek(SeekFrom::Start(0))?;
            (self.read, self.begun) = (0, Vec::new());
        }
        // Asked first: what was written before it lost its name is read before it is left.
        let successor = self.successor();
        let mut lines = self.some()?;
        if let Some(successor) = successor
            && self.file.metadata()?.len() <= self.read
        {
            lines.append(&mut self.cut());
            self.aside.insert(identity(&self.file.metadata()?));
            (self.file, self.read) = (successor, 0);
            lines.extend(self.some()?);
        }
        Ok(lines)
    }

    /// The file that had the name after this one, if it has lost it: the first that was put aside since, or the one that has it.
    fn successor(&self) -> Option<File> {
        let now = File::open(&self.path).ok()?;
        let (own, latest) = (identity(&self.file.metadata().ok()?), identity(&now.metadata().ok()?));
        if own == latest {
            return None;
        }
        let unread = |found: &Identity| *found != own && *found != latest && !self.aside.contains(found);
        let mut between: Vec<_> = self.put_aside().into_iter().filter(|(_, found, _)| unread(found)).collect();
        // Each was written to until the next was begun. The kernel's clock for files stands still for milliseconds: then by the
        // names that we give, `worker.log.2026-11-28` and `worker.log.2026-11-28.1`.
        between.sort_by_cached_key(|(modified, _, path)| (*modified, path.as_os_str().len(), path.clone()));
        between.into_iter().find_map(|(.., path)| File::open(path).ok()).or(Some(now))
    }

    /// The files whose names begin with this one's, with when they were written to last, in nanoseconds. Not those that were
    /// compressed: they are no text.
    fn put_aside(&self) -> Vec<(i128, Identity, PathBuf)> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
        let entries = self.path.parent().and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten();
        let of = |path: PathBuf| {
            let file = path.file_name()?.to_str()?;
            let about = path.metadata().ok()?;
            let is_one = file.starts_with(&name) && !file.ends_with("gz") && !file.ends_with("zst") && about.is_file();
            let modified = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
            is_one.then(|| (modified, identity(&about), path))
        };
        entries.flatten().filter_map(|entry| of(entry.path())).collect()
    }

    /// The whole lines of what comes next in the file.
    fn some(&mut self) -> io::Result<Vec<u8>> {
        self.read += (&self.file).take(AT_ONCE).read_to_end(&mut self.begun)? as u64;
        let whole = match self.begun.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.begun.len() > LONGEST => self.begun.len(),
            None => 0,
        };
        Ok(self.begun.drain(..whole).collect())
    }

    /// The line whose end will not come, with one.
    fn cut(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.begun);
        if !line.is_empty() {
            line.push(b'\n');
        }
        line
    }
}

/// Where the last `lines` of a file begin. Looked for from its end.
fn last_lines(file: &mut File, lines: usize) -> io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let end = file.metadata()?.len();
    if lines == 0 {
        return Ok(end);
    }
    let (mut begin, mut found) = (end, 0);
    while begin > 0 {
        let from = begin.saturating_sub(STEP);
        let mut chunk = vec![0; (begin - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut chunk)?;
        for (at, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let next = from + at as u64 + 1;
            // The end of the last line begins none.
            found += usize::from(next < end);
            if found == lines {
                return Ok(next);
            }
        }
        begin = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("room");
        file.write_all(text.as_bytes()).expect("room");
    }

    fn of(path: &Path, lines: usize) -> Directory {
        let mut directory = Directory::new(path.to_owned());
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
    fn what_would_move_a_cursor_is_shown_as_what_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        append(&directory.path().join("master.log"), "größer\u{1b}[2J\u{9b}31m\t€\u{202e}end\n");
        assert_eq!(news(&mut of(directory.path(), 100)), "größer\\u{1b}[2J\\u{9b}31m\t€\\u{202e}end\n");
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
        show(&logs, &mut shown).expect("it can be read");
        assert_eq!(String::from_utf8_lossy(&shown), "line 199999\ntorn\n");
        fs::remove_file(&log).expect("it is there");
        assert_eq!(show(&logs, &mut shown).expect_err("nothing is there").kind(), io::ErrorKind::NotFound);
    }
}
