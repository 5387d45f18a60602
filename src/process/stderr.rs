//! The stderr of members that boot: kept for the sentence of a failed start, and passed on line by line. A reader of
//! our own stderr that has stalled loses lines, but neither a member nor the master ever waits for it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{FileType, OFlags, fstat};
use rustix::net::SendFlags;
use rustix::pipe::PipeFlags;

/// What is kept of one member: a screen's worth.
const TAIL: usize = 2 * 1024;

/// A line longer than this is passed on in pieces.
const LINE: usize = 16 * 1024;

/// The reading end of a member's stderr.
#[derive(Debug)]
pub(super) struct Capture {
    pipe: OwnedFd,
    tail: VecDeque<u8>,
    /// The beginning of a line whose end has not come.
    pending: Vec<u8>,
}

impl Capture {
    /// A pipe: what is read, and the end that the member writes to.
    pub(super) fn new() -> io::Result<(Capture, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // Only our end must not block; the flag belongs to each end alone.
        rustix::io::ioctl_fionbio(&read, true)?;
        Ok((Capture { pipe: read, tail: VecDeque::new(), pending: Vec::new() }, write))
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.pipe
    }

    /// Reads what is there and passes on whole lines. `false`: nobody holds the other end any more.
    pub(super) fn pump(&mut self, to: &mut Forward) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => {
                    self.flush(to);
                    return false;
                }
                Ok(got) => self.take(&buffer[..got], to),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], to: &mut Forward) {
        self.tail.extend(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.pending.extend(bytes);
        if let Some(end) = self.pending.iter().rposition(|&byte| byte == b'\n') {
            to.write(&self.pending[..=end]);
            self.pending.drain(..=end);
        } else if self.pending.len() >= LINE {
            self.flush(to);
        }
    }

    /// Passes on a line whose end will not come.
    pub(super) fn flush(&mut self, to: &mut Forward) {
        if !self.pending.is_empty() {
            self.pending.push(b'\n');
            to.write(&self.pending);
            self.pending.clear();
        }
    }

    /// The last lines, without what would move a terminal's cursor or colour.
    pub(super) fn tail(&mut self) -> String {
        let text = String::from_utf8_lossy(self.tail.make_contiguous()).into_owned();
        text.chars().filter(|&c| c == '\n' || c == '\t' || !c.is_control()).collect::<String>().trim_end().to_owned()
    }
}

/// Our own stderr, written to without waiting.
#[derive(Debug)]
pub(super) struct Forward {
    way: Way,
    dropped: usize,
}

#[derive(Debug)]
enum Way {
    /// A pipe or a terminal, opened anew: "do not wait" belongs to the open file, and the original is shared with
    /// everyone who inherited it.
    Own(File),
    /// A socket takes the flag with each message.
    Socket(OwnedFd),
    /// A file never makes its writer wait.
    File(OwnedFd),
    /// It cannot be opened, as after a change of user.
    Nowhere,
}

impl Forward {
    pub(super) fn to_own_stderr() -> Forward {
        Forward { way: Way::find().unwrap_or(Way::Nowhere), dropped: 0 }
    }

    /// Writes whole lines, or drops them and says so with the next that fit.
    fn write(&mut self, lines: &[u8]) {
        if self.dropped > 0 {
            let lost = format!("hatchery: {} bytes of stderr were dropped: its reader has stalled\n", self.dropped);
            if self.way.write(lost.as_bytes()) {
                self.dropped = 0;
            }
        }
        if !self.way.write(lines) {
            self.dropped += lines.len();
        }
    }
}

impl Way {
    fn find() -> io::Result<Way> {
        let stderr = io::stderr();
        let own = || stderr.as_fd().try_clone_to_owned();
        Ok(match FileType::from_raw_mode(fstat(&stderr)?.st_mode) {
            FileType::Socket => Way::Socket(own()?),
            FileType::RegularFile => Way::File(own()?),
            _ => {
                let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
                let mut options = OpenOptions::new();
                Way::Own(options.write(true).custom_flags(flags.bits() as i32).open("/proc/self/fd/2")?)
            }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        match self {
            Way::Own(file) => file.write(bytes).is_ok(),
            Way::Socket(socket) => rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok(),
            Way::File(file) => rustix::io::write(file, bytes).is_ok(),
            Way::Nowhere => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A `Forward` into a pipe of its own.
    fn pipe() -> (File, Forward) {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
        (File::from(read), Forward { way: Way::Own(File::from(write)), dropped: 0 })
    }

    #[test]
    fn lines_are_passed_on_whole_and_the_last_are_kept_without_control_characters() {
        let (mut out, mut forward) = pipe();
        let (mut capture, member) = Capture::new().expect("a pipe");
        let mut member = File::from(member);
        member.write_all(b"one\ntw").expect("room");
        assert!(capture.pump(&mut forward));
        let mut read = || {
            let mut buffer = [0; 64];
            let got = out.read(&mut buffer).expect("a line");
            String::from_utf8_lossy(&buffer[..got]).into_owned()
        };
        assert_eq!(read(), "one\n");
        member.write_all(b"o\n\x1b[31mthree").expect("room");
        drop(member);
        assert!(!capture.pump(&mut forward));
        assert_eq!(read(), "two\n\x1b[31mthree\n");
        assert_eq!(capture.tail(), "one\ntwo\n[31mthree");
    }

    #[test]
    fn a_reader_that_has_stalled_makes_nobody_wait_and_hears_what_it_missed() {
        let (mut out, mut forward) = pipe();
        let (mut capture, member) = Capture::new().expect("a pipe");
        let mut member = File::from(member);
        let line = [b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<_>>();
        for _ in 0..200 {
            member.write_all(&line).expect("the capture keeps up");
            assert!(capture.pump(&mut forward));
        }
        assert!(forward.dropped > 0);
        assert_eq!(capture.tail().len(), TAIL - 1);
        let mut all = vec![0; 1 << 20];
        assert!(out.read(&mut all).expect("what fitted") > 0);
        member.write_all(b"again\n").expect("room");
        capture.pump(&mut forward);
        let got = out.read(&mut all).expect("news");
        let text = String::from_utf8_lossy(&all[..got]).into_owned();
        assert!(text.contains("bytes of stderr were dropped") && text.ends_with("again\n"), "{text}");
    }
}
