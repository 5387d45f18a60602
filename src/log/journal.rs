//! What is about to be written where: so that whoever comes after a killed writer knows what it has done.
//!
//! One record for each member, in a file of fixed size, written before the lines are, which batch, and where in which files it
//! begins and ends, and again when they are written. A record is written by one system call and lies in one page, so that a process that is killed leaves the old
//! one or the new one. Only the batch of the latest record can be half done: every other was finished before the next was begun.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::{is_called, reserve, try_lock};
use crate::transport;

/// One record: a whole part of a page, with room for the positions in the files of one batch.
const RECORD: usize = 512;

/// So many members can be known at once. More have not logged at the same time, or one batch of the one that was heard of least
/// lately may be written twice if it comes again.
const RECORDS: usize = 1024;

/// Who a batch is of: rank, index and incarnation, and a number by chance. Those of the next cluster have the same names.
pub(super) type Author = (u8, u16, u32, u64);

/// Where a part of a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) file: u8,
    /// The number of the file in its file system: a name may have been given to another since.
    pub(super) inode: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// What is about to be written, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub(super) author: Author,
    /// The number of the batch.
    pub(super) batch: u64,
    /// The number of the record: the latest is the highest.
    turn: u64,
    /// None: it is written.
    pub(super) places: Vec<Place>,
}

pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Where the record of an author is, and what it says.
    known: BTreeMap<Author, (usize, Intent)>,
    turn: u64,
    used: usize,
}

/// Whose it is already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InUse;

impl Journal {
    /// Opens it, creates it where there is none, and locks it. `Ok(Err(InUse))`: somebody else has it.
    pub(super) fn open(path: &Path) -> io::Result<Result<Journal, InUse>> {
        let Some(file) = claim(path)? else { return Ok(Err(InUse)) };
        let (path, known) = (path.to_owned(), BTreeMap::new());
        let mut journal = Journal { file, path, known, turn: 0, used: 0 };
        let mut record = [0; RECORD];
        for at in 0..RECORDS {
            journal.file.read_exact_at(&mut record, (at * RECORD) as u64)?;
            let Some(intent) = read(&record) else { continue };
            journal.turn = journal.turn.max(intent.turn);
            journal.used = at + 1;
            journal.known.insert(intent.author, (at, intent));
        }
        Ok(Ok(journal))
    }

    /// Where somebody has removed or renamed it, there is another from now on, which says the same: nobody would find the old one.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        if is_called(&self.file, &self.path) {
            return Ok(());
        }
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let taken = || io::Error::other("the journal was removed, and somebody else has begun another");
        let file = claim(&self.path)?.ok_or_else(taken)?;
        for (at, intent) in self.known.values() {
            file.write_all_at(&record(intent)?, (at * RECORD) as u64)?;
        }
        self.file = file;
        Ok(())
    }

    /// The batch that may be half done.
    pub(super) fn latest(&self) -> Option<Intent> {
        self.known.values().map(|(_, intent)| intent).max_by_key(|intent| intent.turn).cloned()
    }

    /// The last batch of an author that was written, or is about to be. 0: none.
    pub(super) fn last(&self, author: Author) -> u64 {
        self.known.get(&author).map_or(0, |(_, intent)| intent.batch)
    }

    /// Writes down what is about to be written, or, without places, what is.
    pub(super) fn write(&mut self, author: Author, batch: u64, places: Vec<Place>) -> io::Result<()> {
        let at = match self.known.get(&author) {
            Some((at, _)) => *at,
            None if self.used < RECORDS => self.used,
            None => self.oldest(),
        };
        let intent = Intent { author, batch, turn: self.turn + 1, places };
        self.file.write_all_at(&record(&intent)?, (at * RECORD) as u64)?;
        self.turn += 1;
        self.used = self.used.max(at + 1);
        if !self.known.contains_key(&author) {
            self.known.retain(|_, (of, _)| *of != at);
        }
        self.known.insert(author, (at, intent));
        Ok(())
    }

    fn oldest(&self) -> usize {
        let oldest = self.known.values().min_by_key(|(_, intent)| intent.turn);
        oldest.map_or(0, |(at, _)| *at)
    }
}

/// Opens it for this process alone. `None`: somebody else has it.
fn claim(path: &Path) -> io::Result<Option<File>> {
    // Whoever can read it could lock it.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if !try_lock(&file)? {
        return Ok(None);
    }
    // A disk that is full later has room for this.
    reserve(&file, (RECORD * RECORDS) as u64)?;
    Ok(Some(file))
}

/// Its length, and itself.
fn record(intent: &Intent) -> io::Result<[u8; RECORD]> {
    let body = transport::encode(intent).map_err(io::Error::other)?;
    let mut record = [0; RECORD];
    let room = record.get_mut(2..2 + body.len()).ok_or_else(|| io::Error::other("too many files in one batch"))?;
    room.copy_from_slice(&body);
    record[..2].copy_from_slice(&(body.len() as u16).to_le_bytes());
    Ok(record)
}

/// `None`: there is none, or it is not of this version.
fn read(record: &[u8; RECORD]) -> Option<Intent> {
    let length = usize::from(u16::from_le_bytes([record[0], record[1]]));
    let body = record.get(2..2 + length).filter(|body| !body.is_empty())?;
    transport::decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> Place {
        Place { file: 1, inode: 7, offset, length: 10 }
    }

    fn open(path: &Path) -> Journal {
        Journal::open(path).expect("it can be opened").unwrap_or_else(|_| panic!("it is in use"))
    }

    #[test]
    fn a_successor_knows_what_was_about_to_be_written_and_only_one_has_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let (one, two) = ((1, 0, 1, 77), (1, 1, 3, 78));
        let mut journal = open(&path);
        assert_eq!((journal.latest(), journal.last(one)), (None, 0));
        journal.write(one, 1, vec![place(0)]).expect("it is reserved");
        journal.write(two, 1, vec![place(10)]).expect("it is reserved");
        journal.write(one, 2, vec![place(20), place(30)]).expect("it is reserved");
        assert_eq!(Journal::open(&path).map(|opened| opened.err()).expect("it can be opened"), Some(InUse));
        drop(journal);
        let journal = open(&path);
        assert_eq!((journal.last(one), journal.last(two)), (2, 1));
        let latest = journal.latest().expect("three were written down");
        assert_eq!((latest.author, latest.batch, latest.places), (one, 2, vec![place(20), place(30)]));
    }

    #[test]
    fn one_that_is_removed_or_renamed_is_written_anew_and_locked_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let (one, two) = ((1, 0, 1, 77), (1, 1, 3, 78));
        let mut journal = open(&path);
        journal.write(one, 4, vec![place(0)]).expect("it is reserved");
        std::fs::rename(&path, dir.path().join("old")).expect("it is there");
        journal.keep().expect("it can be made");
        journal.write(two, 5, vec![place(10)]).expect("it is reserved");
        assert!(Journal::open(&path).expect("it can be opened").is_err(), "it is in use");
        drop(journal);
        let journal = open(&path);
        assert_eq!((journal.last(one), journal.last(two)), (4, 5));
    }

    #[test]
    fn more_authors_than_it_has_room_for_take_the_place_of_the_oldest() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let mut journal = open(&path);
        for n in 0..=RECORDS as u32 {
            journal.write((1, 0, n, 7), 1, vec![place(0)]).expect("it is reserved");
        }
        let known = |journal: &Journal| [0, 1, RECORDS as u32].map(|n| journal.last((1, 0, n, 7)));
        assert_eq!(known(&journal), [0, 1, 1]);
        drop(journal);
        assert_eq!(known(&open(&path)), [0, 1, 1]);
    }

    #[test]
    fn the_longest_record_fits() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut journal = open(&dir.path().join("journal"));
        let place = Place { file: u8::MAX, inode: u64::MAX, offset: u64::MAX, length: u64::MAX };
        journal.write((u8::MAX, u16::MAX, u32::MAX, u64::MAX), u64::MAX, vec![place; 10]).expect("it fits");
    }
}
