//! A small file in memory that a member shares with the master: the panic hook writes there, and the master reads it
//! after the end, so that a process that aborts still says why. No lock, no frame, no thread.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::text::cut;

/// Room for a panic message and its place, and for its backtrace.
const SIZE: usize = 16 * 1024;

/// The lengths of the two, in front of them.
const HEAD: usize = 8;

/// A longer message is cut.
const TEXT: usize = 4096 - HEAD;

/// What a member said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) text: String,
    /// Empty: there is none.
    pub(crate) backtrace: String,
}

/// Creates one of fixed size: who writes to it can neither grow nor shrink it.
pub(crate) fn create() -> io::Result<OwnedFd> {
    let file = memfd_create("hatchery-black-box", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, SIZE as u64)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

/// Replaces what is in it. One system call, so that two threads that fail at once do not mix their texts. There is
/// nobody to tell if it fails.
pub(crate) fn write(file: &File, text: &str, backtrace: &str) {
    let text = cut(text, TEXT);
    let backtrace = cut(backtrace, SIZE - HEAD - text.len());
    let mut record = Vec::with_capacity(HEAD + text.len() + backtrace.len());
    record.extend((text.len() as u32).to_le_bytes());
    record.extend((backtrace.len() as u32).to_le_bytes());
    record.extend(text.as_bytes());
    record.extend(backtrace.as_bytes());
    let _ = file.write_at(&record, 0);
}

/// What is in it. `None`: nothing, or not what [`write()`] leaves.
pub(crate) fn read(file: &File) -> Option<Words> {
    let mut record = [0; SIZE];
    let got = file.read_at(&mut record, 0).ok()?;
    let length = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]) as usize;
    let body = record.get(HEAD..got)?;
    let (text, rest) = body.split_at_checked(length(0)).filter(|(text, _)| !text.is_empty())?;
    let backtrace = rest.get(..length(4))?;
    let owned = |text| String::from_utf8_lossy(text).into_owned();
    Some(Words { text: owned(text), backtrace: owned(backtrace) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_is_found_and_a_long_one_is_cut_between_characters() {
        let file = File::from(create().expect("a file in memory"));
        assert_eq!(read(&file), None);
        write(&file, "first, and rather long", "from here");
        write(&file, "second", "");
        assert_eq!(read(&file), Some(Words { text: "second".into(), backtrace: String::new() }));
        write(&file, &"ü".repeat(SIZE), &"ö".repeat(SIZE));
        let Words { text, backtrace } = read(&file).expect("it was written");
        assert!(text.len() > TEXT - 2 && text.chars().all(|c| c == 'ü'));
        assert!(backtrace.len() > SIZE - HEAD - TEXT - 2 && backtrace.chars().all(|c| c == 'ö'));
        write(&file, "", "");
        assert_eq!(read(&file), None);
    }

    #[test]
    fn whoever_holds_it_cannot_make_it_grow_or_make_the_reader_believe_a_length() {
        let file = File::from(create().expect("a file in memory"));
        assert!(file.set_len(1 << 30).is_err());
        assert!(file.write_at(b"x", SIZE as u64).is_err());
        for lengths in [[u32::MAX, 0], [1, u32::MAX], [SIZE as u32, 1]] {
            file.write_at(&lengths.map(u32::to_le_bytes).concat(), 0).expect("it is writable");
            assert_eq!(read(&file), None);
        }
    }
}
