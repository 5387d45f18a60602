//! The stderr of members that boot: kept for the sentence of a failed start, and passed on line by line. And our own: a
//! reader that has stalled loses lines, but neither a member nor the master ever waits for it without an end.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::ioctl_fionread;
use rustix::net::{SendFlags, send};
use rustix::pipe::{PIPE_BUF, PipeFlags, fcntl_getpipe_size};

use super::clock;

/// What is kept of one member: a screen's worth.
const TAIL: usize = 2 * 1024;

/// A line longer than this is passed on in pieces.
const LINE: usize = 16 * 1024;

/// How long a reader of our own stderr may take to make room for the last sentence. One that reads at all has done so
/// long before.
const LAST_WORDS: Duration = Duration::from_secs(1);

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

/// Says one sentence on our own stderr, as the last thing that a process does. A reader that has stalled gets a while,
/// one that has gone misses it: there is an exit code, which says it too.
pub(crate) fn say(sentence: &str) {
    let Ok(mut way) = Way::find() else { return };
    let text = format!("hatchery: {sentence}\n");
    let mut rest = text.as_bytes();
    let deadline = clock::now() + LAST_WORDS;
    while !rest.is_empty() && way.is_writable(deadline.saturating_duration_since(clock::now())) {
        match way.write(rest) {
            Ok(written) => rest = &rest[written..],
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && clock::now() < deadline => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Whether a few lines can be written to our own stderr now by somebody who cannot but wait for room, as a panic hook.
pub(super) fn has_room() -> bool {
    let stderr = io::stderr();
    // A pipe may take one more byte and make the writer wait for the next: a backtrace needs more. Not a pipe: no size.
    let half_empty = match (ioctl_fionread(&stderr), fcntl_getpipe_size(&stderr)) {
        (Ok(unread), Ok(size)) => unread <= size as u64 / 2,
        (Err(_), _) | (_, Err(_)) => true,
    };
    half_empty && is_writable(&stderr, Duration::ZERO)
}

/// Waits until writing to `descriptor` has an effect: it takes something, or fails.
fn is_writable(descriptor: impl AsFd, patience: Duration) -> bool {
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    loop {
        match poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Our own stderr, written to without waiting.
#[derive(Debug)]
pub(super) struct Forward {
    /// `None`: there is none that does not make us wait.
    way: Option<Way>,
    dropped: usize,
    /// The last that was written is not a whole line.
    torn: bool,
}

impl Forward {
    pub(super) fn to_own_stderr() -> Forward {
        let way = Way::find().ok().filter(|way| !matches!(way, Way::Shared(_)));
        Forward { way, dropped: 0, torn: false }
    }

    /// Writes whole lines, or drops them and says so with the next that fit.
    fn write(&mut self, lines: &[u8]) {
        if self.dropped > 0 {
            let end = if self.torn { "\n" } else { "" };
            let lost =
                format!("{end}hatchery: {} bytes of stderr were dropped: its reader has stalled\n", self.dropped);
            if self.put(lost.as_bytes()) < lost.len() {
                self.dropped += lines.len();
                return;
            }
            (self.dropped, self.torn) = (0, false);
        }
        let written = self.put(lines);
        self.dropped += lines.len() - written;
        self.torn = written > 0 && written < lines.len();
    }

    /// How much of it was taken.
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.way.as_mut().and_then(|way| way.write(bytes).ok()).unwrap_or(0)
    }
}

/// How our own stderr is written to without waiting.
#[derive(Debug)]
enum Way {
    /// A pipe or a terminal, opened anew: "do not wait" belongs to the open file, and the original is shared with
    /// everyone who inherited it.
    Own(File),
    /// A socket takes the flag with each message.
    Socket(OwnedFd),
    /// A file never makes its writer wait. Written to as our stderr, which may be put in another place meanwhile.
    File,
    /// It cannot be opened anew, as after a change of user. Who has seen room in it writes as much as fits into any:
    /// unless somebody else is faster, that does not wait.
    Shared(OwnedFd),
}

impl Way {
    fn find() -> io::Result<Way> {
        let stderr = io::stderr();
        let own = || stderr.as_fd().try_clone_to_owned();
        Ok(match FileType::from_raw_mode(fstat(&stderr)?.st_mode) {
            FileType::Socket => Way::Socket(own()?),
            FileType::RegularFile => Way::File,
            _ => {
                let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
                let mut options = OpenOptions::new();
                match options.write(true).custom_flags(flags.bits() as i32).open("/proc/self/fd/2") {
                    Ok(file) => Way::Own(file),
                    Err(_) => Way::Shared(own()?),
                }
            }
        })
    }

    /// Whether writing has an effect within `patience`: something is taken, or it fails.
    fn is_writable(&self, patience: Duration) -> bool {
        match self {
            Way::Own(file) => is_writable(file, patience),
            Way::File => is_writable(io::stderr(), patience),
            Way::Socket(descriptor) | Way::Shared(descriptor) => is_writable(descriptor, patience),
        }
    }

    /// How much of it was taken.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Way::Own(file) => file.write(bytes),
            Way::Socket(socket) => Ok(send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?),
            Way::File => Ok(rustix::io::write(io::stderr(), bytes)?),
            Way::Shared(shared) => Ok(rustix::io::write(shared, &bytes[..bytes.len().min(PIPE_BUF)])?),
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
        (File::from(read), Forward { way: Some(Way::Own(File::from(write))), dropped: 0, torn: false })
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

    #[test]
    fn of_a_line_that_fits_in_part_the_rest_is_counted_as_lost() {
        let (mut out, mut forward) = pipe();
        let line = [b'x'; 99_999].into_iter().chain([b'\n']).collect::<Vec<_>>();
        forward.write(&line);
        let lost = forward.dropped;
        assert!(lost > 0 && lost < line.len(), "a part of it fits: {lost}");
        forward.write(b"lost as a whole\n");
        let mut all = vec![0; 1 << 20];
        let got = out.read(&mut all).expect("the part that fitted");
        assert_eq!(got + lost, line.len());
        forward.write(b"again\n");
        let got = out.read(&mut all).expect("news");
        let said = format!("\nhatchery: {} bytes of stderr were dropped: its reader has stalled\nagain\n", lost + 16);
        assert_eq!(String::from_utf8_lossy(&all[..got]), said);
    }
}
