//! The first words over a link: written by the nursery right after the spawn, read by the member before its first
//! thread. They carry the descriptors that a member cannot inherit, and a body that is the transport's business.
//!
//! ```text
//! magic 8 | body length 4 | pid of the master 4 | number of listeners 4 | body        + descriptors: channel,
//!                                                                                        black box, stderr
//! then, over the channel, one message per listener: its index 2                        + descriptor
//! ```

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{clock, descriptors};

const MAGIC: [u8; 8] = *b"hatchery";
const HEAD: usize = 20;

/// Longer first words than this come from nobody we know.
const BODY_LIMIT: usize = 64 * 1024;

/// The master sends them in the breath in which it starts a member: who waits longer waits for nobody.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What the master sends.
pub(crate) struct Words<'a> {
    pub(crate) body: &'a [u8],
    /// The member's end of the channel for descriptors.
    pub(crate) channel: BorrowedFd<'a>,
    pub(crate) black_box: BorrowedFd<'a>,
    /// The stderr that the member puts back once it is ready.
    pub(crate) stderr: BorrowedFd<'a>,
    pub(crate) listeners: Vec<BorrowedFd<'a>>,
}

/// What the member gets.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) master_pid: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) channel: OwnedFd,
    pub(crate) black_box: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) listeners: Vec<OwnedFd>,
}

/// Sends the first words over `link`, and the listeners over `channel`, the master's end.
pub(crate) fn send(link: impl AsFd, channel: impl AsFd, words: &Words<'_>) -> io::Result<()> {
    if words.body.len() > BODY_LIMIT {
        return Err(io::Error::other(format!("the first words are {} bytes long", words.body.len())));
    }
    let mut block = Vec::with_capacity(HEAD + words.body.len());
    block.extend(MAGIC);
    block.extend((words.body.len() as u32).to_le_bytes());
    block.extend(std::process::id().to_le_bytes());
    block.extend((words.listeners.len() as u32).to_le_bytes());
    block.extend(words.body);
    descriptors::send(link, &block, &[words.channel, words.black_box, words.stderr])?;
    for (index, listener) in words.listeners.iter().enumerate() {
        descriptors::send(channel.as_fd(), &(index as u16).to_le_bytes(), &[*listener])?;
    }
    Ok(())
}

/// Reads the first words from `link`.
///
/// # Errors
/// `UnexpectedEof` when the master has gone, `TimedOut` when nothing comes, anything else when it is not the words of a
/// master of this version.
pub(crate) fn receive(link: &UnixStream) -> io::Result<Boot> {
    let deadline = clock::now() + PATIENCE;
    let mut head = [0; HEAD];
    wait_readable(link, deadline)?;
    let (mut got, mut received) = descriptors::receive(link, &mut head)?;
    while got < HEAD {
        got += read_some(link, &mut head[got..], deadline)?;
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, master_pid, listeners) = (word(8) as usize, word(12) as i32, word(16));
    if head[..8] != MAGIC || length > BODY_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "these are not the first words of a master"));
    }
    let mut body = vec![0; length];
    let mut filled = 0;
    while filled < length {
        filled += read_some(link, &mut body[filled..], deadline)?;
    }
    if received.len() != 3 {
        return Err(io::Error::other(format!("{} descriptors came with the first words, not 3", received.len())));
    }
    let (stderr, black_box, channel) = (received.remove(2), received.remove(1), received.remove(0));
    let listeners =
        (0..listeners).map(|index| receive_listener(&channel, index, deadline)).collect::<Result<_, _>>()?;
    Ok(Boot { master_pid, body, channel, black_box, stderr, listeners })
}

fn receive_listener(channel: &OwnedFd, index: u32, deadline: std::time::Instant) -> io::Result<OwnedFd> {
    wait_readable(channel, deadline)?;
    let mut bytes = [0; 2];
    let (got, mut received) = descriptors::receive(channel, &mut bytes)?;
    if got == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match received.pop() {
        Some(listener) if u32::from(u16::from_le_bytes(bytes)) == index && received.is_empty() => Ok(listener),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a listener came without its descriptor")),
    }
}

fn read_some(mut link: &UnixStream, into: &mut [u8], deadline: std::time::Instant) -> io::Result<usize> {
    wait_readable(link, deadline)?;
    match link.read(into)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        got => Ok(got),
    }
}

fn wait_readable(socket: impl AsFd, deadline: std::time::Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn memory(text: &str) -> OwnedFd {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
        let mut file = std::fs::File::from(file);
        file.write_all(text.as_bytes()).expect("room in memory");
        file.into()
    }

    fn read(descriptor: OwnedFd) -> String {
        let mut file = std::fs::File::from(descriptor);
        file.seek(SeekFrom::Start(0)).expect("a file in memory can be rewound");
        io::read_to_string(file).expect("text")
    }

    fn channel() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a socket pair")
    }

    #[test]
    fn the_first_words_arrive_with_every_descriptor_in_its_place() {
        let (master, member) = UnixStream::pair().expect("a socket pair");
        let (kept, lent) = channel();
        let (black_box, stderr, port, other) = (memory("box"), memory("err"), memory("port"), memory("other"));
        let words = Words {
            body: &[7; 5_000],
            channel: lent.as_fd(),
            black_box: black_box.as_fd(),
            stderr: stderr.as_fd(),
            listeners: vec![port.as_fd(), other.as_fd()],
        };
        send(&master, &kept, &words).expect("the socket is empty");
        let boot = receive(&member).expect("they were sent");
        assert_eq!((boot.body.len(), boot.master_pid), (5_000, std::process::id() as i32));
        assert_eq!((read(boot.black_box), read(boot.stderr)), ("box".into(), "err".into()));
        assert_eq!(boot.listeners.into_iter().map(read).collect::<Vec<_>>(), ["port", "other"]);
    }

    #[test]
    fn other_words_and_none_are_told_apart() {
        let (mut master, member) = UnixStream::pair().expect("a socket pair");
        master.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("room");
        assert_eq!(receive(&member).expect_err("garbage").kind(), io::ErrorKind::InvalidData);
        let (master, member) = UnixStream::pair().expect("a socket pair");
        drop(master);
        assert_eq!(receive(&member).expect_err("nobody there").kind(), io::ErrorKind::UnexpectedEof);
    }
}
