//! One log file that is followed.
//!
//! A file is followed by its name: where another one has it by now, what is left of the old one is read first, then those that had
//! the name in between, under whatever name they have been put aside. One in which something else is than was read was emptied in
//! place, and begins anew; or its end was taken back, as the agent does with what it could not write whole, and it goes on there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// A line that has grown to this is shown in pieces.
const LONGEST: usize = 64 * 1024;

/// How the names end of what was compressed.
const COMPRESSED: [&str; 7] = [".gz", ".zst", ".xz", ".bz2", ".lz4", ".lzma", ".Z"];

/// How much of one file is read before it is the next one's turn: a log may be larger than memory.
const AT_ONCE: u64 = 1024 * 1024;

/// So much of what was read last is kept: more than the agent may take back.
const RECENT: usize = 256 * 1024;

/// By so much of what was read last it is known that nothing was taken back.
const KNOWN: usize = 256;

/// Which file it is, whatever it is called.
type Identity = (u64, u64);

fn identity(about: &fs::Metadata) -> Identity {
    (about.dev(), about.ino())
}

/// One file, as far as it was read.
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    file: File,
    /// Those beside it that are none of its successors: they were there while it had the name, or were read.
    aside: BTreeSet<Identity>,
    pub(super) read: u64,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// What was read last, the beginning of that line included.
    recent: Vec<u8>,
    /// Lines that were shown and then taken back. Who took them back writes them again, or nobody does.
    again: Vec<u8>,
}

impl LogFile {
    pub(super) fn open(path: PathBuf, lines: Option<usize>) -> io::Result<LogFile> {
        let mut file = File::open(&path)?;
        let read = match lines {
            Some(lines) => last_lines(&mut file, lines)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(read))?;
        let (begun, recent, again) = (Vec::new(), Vec::new(), Vec::new());
        let mut file = LogFile { path, file, aside: BTreeSet::new(), read, begun, recent, again };
        file.look_aside();
        Ok(file)
    }

    /// The lines that have become whole since it was last looked at, or some of them.
    pub(super) fn new_lines(&mut self) -> io::Result<Vec<u8>> {
        // Where nothing was read since it was begun, there is nothing by which it could be known.
        if self.file.metadata()?.len() < self.read && self.recent.is_empty() {
            self.go_on(0)?;
        } else if let Some(from) = self.changed()? {
            self.go_on(from)?;
        }
        // Asked first: what was written before it lost its name is read before it is left.
        let successor = self.successor();
        let mut lines = self.some()?;
        if let Some(successor) = successor
            && self.file.metadata()?.len() <= self.read
        {
            lines.append(&mut self.cut());
            self.aside.insert(identity(&self.file.metadata()?));
            self.file = successor;
            self.go_on(0)?;
            lines.extend(self.some()?);
        }
        Ok(lines)
    }

    /// Where to go on, if what was read is not there any more, or something else is: behind the last line that is as it was.
    fn changed(&self) -> io::Result<Option<u64>> {
        let there = |from: u64, bytes: usize| {
            let mut there = vec![0; bytes];
            // Less than was asked for is all that there is.
            let got = self.file.read_at(&mut there, from)?;
            there.truncate(got);
            Ok::<_, io::Error>(there)
        };
        let last = &self.recent[self.recent.len().saturating_sub(KNOWN)..];
        if there(self.read - last.len() as u64, last.len())? == last {
            return Ok(None);
        }
        let begin = self.read - self.recent.len() as u64;
        let left = there(begin, self.recent.len())?;
        let same = left.iter().zip(&self.recent).take_while(|(one, other)| one == other).count();
        let whole = self.recent[..same].iter().rposition(|&byte| byte == b'\n').map(|end| begin + end as u64 + 1);
        Ok(Some(whole.unwrap_or(0)))
    }

    /// Goes on from there: from the beginning, or from where something was taken back.
    fn go_on(&mut self, from: u64) -> io::Result<()> {
        match from {
            0 => (self.begun, self.recent, self.again) = Default::default(),
            _ => {
                let gone = ((self.read - from) as usize).min(self.recent.len());
                let taken = self.recent.split_off(self.recent.len() - gone);
                // What of it was no whole line has not been shown.
                self.again = taken[..gone.saturating_sub(self.begun.len())].to_vec();
                self.begun.truncate(self.begun.len().saturating_sub(gone));
            }
        }
        self.read = from;
        self.file.seek(SeekFrom::Start(from)).map(drop)
    }

    /// The file that had the name after this one, if it has lost it: the first that was put aside since, or the one that has it.
    fn successor(&mut self) -> Option<File> {
        let now = File::open(&self.path).ok()?;
        let (own, latest) = (identity(&self.file.metadata().ok()?), identity(&now.metadata().ok()?));
        if own == latest {
            self.look_aside();
            return None;
        }
        let unread = |found: &Identity| *found != own && *found != latest && !self.aside.contains(found);
        let mut between: Vec<_> = self.put_aside().into_iter().filter(|(_, found, _)| unread(found)).collect();
        // Each was written to until the next was begun. The kernel's clock for files stands still for milliseconds: then by the
        // names that we give, `worker.log.2026-11-28` and `worker.log.2026-11-28.1`.
        between.sort_by_cached_key(|(modified, _, path)| (*modified, path.as_os_str().len(), path.clone()));
        between.into_iter().find_map(|(.., path)| File::open(path).ok()).or(Some(now))
    }

    /// What is there while it has its name comes before it, or is a copy.
    fn look_aside(&mut self) {
        self.aside = self.put_aside().into_iter().map(|(_, identity, _)| identity).collect();
    }

    /// The files whose names begin with this one's, with when they were written to last, in nanoseconds. Not those that were
    /// compressed: they are no text.
    fn put_aside(&self) -> Vec<(i128, Identity, PathBuf)> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
        let entries = self.path.parent().and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten();
        let of = |path: PathBuf| {
            let file = path.file_name()?.to_str()?;
            let about = path.metadata().ok()?;
            let is_text = !COMPRESSED.iter().any(|ending| file.ends_with(ending));
            let is_one = file.starts_with(&name) && is_text && about.is_file();
            let modified = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
            is_one.then(|| (modified, identity(&about), path))
        };
        entries.flatten().filter_map(|entry| of(entry.path())).collect()
    }

    /// The whole lines of what comes next in the file.
    fn some(&mut self) -> io::Result<Vec<u8>> {
        let before = self.begun.len();
        self.read += (&self.file).take(AT_ONCE).read_to_end(&mut self.begun)? as u64;
        self.recent.extend_from_slice(&self.begun[before..]);
        self.recent.drain(..self.recent.len().saturating_sub(RECENT));
        let whole = match self.begun.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.begun.len() > LONGEST => self.begun.len(),
            None => 0,
        };
        let mut lines: Vec<u8> = self.begun.drain(..whole).collect();
        if !self.again.is_empty() && !lines.is_empty() {
            let same = lines.iter().zip(&self.again).take_while(|(one, other)| one == other).count();
            let shown = lines[..same].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            match shown < lines.len().min(self.again.len()) {
                // Something else has come instead.
                true => self.again.clear(),
                false => drop(self.again.drain(..shown)),
            }
            lines.drain(..shown);
        }
        Ok(lines)
    }

    /// The line whose end will not come, with one.
    pub(super) fn cut(&mut self) -> Vec<u8> {
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
