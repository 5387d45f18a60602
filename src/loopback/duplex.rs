//! One end of a connection in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pipe::{Pipe, PipeReader, PipeWriter, Weather, pipe};

/// One end of a connection. Dropped, its other end reads what was written, and then the end.
#[derive(Debug)]
pub(crate) struct Duplex {
    reader: PipeReader,
    writer: PipeWriter,
    sever: Sever,
}

/// Ends a connection from one end of it, whoever holds that.
#[derive(Clone, Debug)]
pub(crate) struct Sever {
    incoming: Pipe,
    outgoing: Pipe,
}

impl Duplex {
    /// Both ends of a connection.
    pub(crate) fn pair(mut weather: impl FnMut() -> Box<dyn Weather>) -> (Duplex, Duplex) {
        let (near_reader, far_writer, one) = pipe(weather());
        let (far_reader, near_writer, other) = pipe(weather());
        let near = Sever { incoming: one.clone(), outgoing: other.clone() };
        let far = Sever { incoming: other, outgoing: one };
        (
            Duplex { reader: near_reader, writer: near_writer, sever: near },
            Duplex { reader: far_reader, writer: far_writer, sever: far },
        )
    }

    pub(crate) fn sever(&self) -> Sever {
        self.sever.clone()
    }
}

impl Sever {
    /// Both ends hear of a reset, and what was on its way is lost.
    pub(crate) fn reset(&self) {
        self.incoming.reset();
        self.outgoing.reset();
    }

    /// The process at this end is gone, and the kernel closes what it had: the other end still reads what was written.
    /// Unless there was something that nobody had read here, for which the kernel of Linux resets the connection.
    pub(crate) fn abandon(&self) {
        match self.incoming.holds_any() {
            true => self.reset(),
            false => {
                self.incoming.desert();
                self.outgoing.finish();
            }
        }
    }

    /// Whether it still is a connection.
    pub(crate) fn is_open(&self) -> bool {
        self.incoming.is_open() || self.outgoing.is_open()
    }
}

impl AsyncRead for Duplex {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Whatever is written arrives a while later.
    struct Slow;

    impl Weather for Slow {
        fn portion(&mut self, offered: usize) -> usize {
            offered
        }

        fn delay(&mut self) -> Option<Duration> {
            Some(Duration::from_millis(3))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_process_wrote_arrives_after_its_end_unless_it_left_something_unread() {
        for unread in [false, true] {
            let (mut near, mut far) = Duplex::pair(|| Box::new(Slow));
            near.write_all(b"the answer").await.expect("room");
            if unread {
                far.write_all(b"one more question").await.expect("room");
            }
            near.sever().abandon();
            drop(near);
            let mut got = String::new();
            let read = far.read_to_string(&mut got).await;
            match unread {
                false => assert_eq!(got, "the answer"),
                true => assert_eq!(read.expect_err("reset").kind(), io::ErrorKind::ConnectionReset),
            }
            assert!(far.write_all(b"?").await.is_err(), "nobody takes it");
        }
    }
}
