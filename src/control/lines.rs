//! Lines over a socket that somebody else has the other end of: none longer than a bound, and nobody waited for longer than
//! they may take.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

/// What comes over the socket, cut into lines.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) stream: UnixStream,
    limit: usize,
    /// What has come and is not a whole line.
    waiting: Vec<u8>,
    ended: bool,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Line(Vec<u8>),
    /// The other end says no more.
    End,
    /// Its line is longer than the limit, whatever comes of it.
    TooLong,
    /// It has not said a whole line in its time.
    TooSlow,
}

/// How much is read at once.
const CHUNK: usize = 1024;

/// How often it is looked after one who says no more: whether it has left altogether.
const LOOK: Duration = Duration::from_secs(1);

impl Lines {
    pub(super) fn new(stream: UnixStream, limit: usize) -> Lines {
        Lines { stream, limit, waiting: Vec::new(), ended: false }
    }

    /// The next line, without its end. A socket that fails is at its end. Cancel-safe: what has come is kept.
    pub(super) async fn next(&mut self, patience: Duration) -> Read {
        timeout(patience, self.read()).await.unwrap_or(Read::TooSlow)
    }

    async fn read(&mut self) -> Read {
        loop {
            if let Some(end) = self.waiting.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.waiting.drain(..=end).collect();
                line.pop();
                return Read::Line(line);
            }
            if self.waiting.len() >= self.limit {
                return Read::TooLong;
            }
            if !self.fill().await {
                return Read::End;
            }
        }
    }

    /// Reads more. `false`: there is no more.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        while !self.ended {
            if self.stream.readable().await.is_err() {
                break;
            }
            match self.stream.try_read(&mut chunk) {
                Ok(0) => break,
                Ok(got) => {
                    self.waiting.extend_from_slice(&chunk[..got]);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        self.ended = true;
        false
    }

    /// Resolves when whoever is at the other end has left, and not before: one that says no more may still listen. Cancel-safe.
    pub(super) async fn gone(&mut self) {
        // Whoever has said more than was asked is there, and is read when it is its turn.
        while self.waiting.len() < self.limit {
            if !self.fill().await {
                break;
            }
        }
        loop {
            let is_gone = self.stream.ready(tokio::io::Interest::WRITABLE).await.map(|ready| ready.is_write_closed());
            match is_gone {
                Ok(false) => tokio::time::sleep(LOOK).await,
                Ok(true) | Err(_) => return,
            }
        }
    }

    /// Writes it all. `false`: it could not be, or was not read in time. Not cancel-safe: a part may have been written.
    pub(super) async fn write(&self, bytes: &[u8], patience: Duration) -> bool {
        let write = async {
            let mut rest = bytes;
            while !rest.is_empty() {
                self.stream.writable().await?;
                match self.stream.try_write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        timeout(patience, write).await.is_ok_and(|written| written.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn pair(limit: usize) -> (UnixStream, Lines) {
        let (near, far) = UnixStream::pair().expect("a pair");
        (near, Lines::new(far, limit))
    }

    fn line(text: &str) -> Read {
        Read::Line(text.into())
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_pieces_end() {
        let (mut near, mut lines) = pair(100);
        near.write_all(b"one\ntw").await.expect("room");
        assert_eq!(lines.next(LONG).await, line("one"));
        near.write_all(b"o\n\nthree").await.expect("room");
        assert_eq!(lines.next(LONG).await, line("two"));
        assert_eq!(lines.next(LONG).await, line(""));
        drop(near);
        assert_eq!(lines.next(LONG).await, Read::End, "half a line is none");
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_read_no_further_than_the_limit() {
        let (mut near, mut lines) = pair(100);
        let flood = tokio::spawn(async move {
            let mut sent = 0;
            while near.write_all(&[b'x'; 4096]).await.is_ok() {
                sent += 4096;
            }
            sent
        });
        assert_eq!(lines.next(LONG).await, Read::TooLong);
        assert!(lines.waiting.len() <= 100 + CHUNK);
        drop(lines);
        flood.await.expect("it is told that nobody reads");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_or_half_of_it_has_its_time_and_no_more() {
        let (mut near, mut lines) = pair(100);
        assert_eq!(lines.next(LONG).await, Read::TooSlow);
        near.write_all(b"half").await.expect("room");
        assert_eq!(lines.next(LONG).await, Read::TooSlow);
        near.write_all(b" a line\n").await.expect("room");
        assert_eq!(lines.next(LONG).await, line("half a line"), "what had come is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_read_has_its_time_and_no_more() {
        let (near, lines) = pair(100);
        let much = vec![b'x'; 4 << 20];
        assert!(!lines.write(&much, LONG).await);
        drop(near);
        assert!(!lines.write(&much, LONG).await);
    }

    #[tokio::test]
    async fn one_that_says_no_more_is_there_until_it_has_left() {
        let (mut near, mut lines) = pair(100);
        near.write_all(b"the next").await.expect("room");
        near.shutdown().await.expect("it is open");
        let gone = lines.gone();
        let mut gone = std::pin::pin!(gone);
        let soon = std::future::poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx).is_ready()));
        assert!(!soon.await);
        drop(near);
        timeout(LONG, gone).await.expect("it has left");
    }
}
