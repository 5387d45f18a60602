//! A small file in memory that a member shares with the master: the panic hook writes there, and the master reads it
//! after the end, so that a process that aborts still says why. No lock, no frame, no thread.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::text::cut;

/// Room for a panic message and its place; a longer one is cut.
const SIZE: usize = 4096;

/// The length of the text, in front of it.
const HEAD: usize = 4;

/// Creates one of fixed size: who writes to it can neither grow nor shrink it.
pub(crate) fn create() -> io::Result<OwnedFd> {
    let file = memfd_create("hatchery-black-box", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, SIZE as u64)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

/// Replaces what is in it. One system call, so that two threads that fail at once do not mix their texts. There is
/// nobody to tell if it fails.
pub(crate) fn write(file: &File, text: &str) {
    let text = cut(text, SIZE - HEAD);
    let mut record = Vec::with_capacity(HEAD + text.len());
    record.extend((text.len() as u32).to_le_bytes());
    record.extend(text.as_bytes());
    let _ = file.write_at(&record, 0);
}

/// What is in it. `None`: nothing, or not what [`write()`] leaves.
pub(crate) fn read(file: &File) -> Option<String> {
    let mut record = [0; SIZE];
    let got = file.read_at(&mut record, 0).ok()?;
    let length = u32::from_le_bytes([record[0], record[1], record[2], record[3]]) as usize;
    (length > 0 && HEAD + length <= got).then(|| String::from_utf8_lossy(&record[HEAD..HEAD + length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_is_found_and_a_long_one_is_cut_between_characters() {
        let file = File::from(create().expect("a file in memory"));
        assert_eq!(read(&file), None);
        write(&file, "first, and rather long");
        write(&file, "second");
        assert_eq!(read(&file).as_deref(), Some("second"));
        write(&file, &"ü".repeat(SIZE));
        let text = read(&file).expect("it was written");
        assert!(text.len() > SIZE - HEAD - 2 && text.chars().all(|c| c == 'ü'));
    }

    #[test]
    fn whoever_holds_it_cannot_make_it_grow_or_make_the_reader_believe_a_length() {
        let file = File::from(create().expect("a file in memory"));
        assert!(file.set_len(1 << 30).is_err());
        assert!(file.write_at(b"x", SIZE as u64).is_err());
        file.write_at(&u32::MAX.to_le_bytes(), 0).expect("it is writable");
        assert_eq!(read(&file), None);
    }
}
