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

/// Breaks a connection, whoever holds its ends.
#[derive(Clone, Debug)]
pub(crate) struct Sever([Pipe; 2]);

impl Duplex {
    /// Both ends of a connection.
    pub(crate) fn pair(mut weather: impl FnMut() -> Box<dyn Weather>) -> (Duplex, Duplex) {
        let (near_reader, far_writer, one) = pipe(weather());
        let (far_reader, near_writer, other) = pipe(weather());
        let sever = Sever([one, other]);
        (
            Duplex { reader: near_reader, writer: near_writer, sever: sever.clone() },
            Duplex { reader: far_reader, writer: far_writer, sever },
        )
    }

    pub(crate) fn sever(&self) -> Sever {
        self.sever.clone()
    }
}

impl Sever {
    /// Both ends hear of a reset.
    pub(crate) fn reset(&self) {
        self.0.iter().for_each(Pipe::reset);
    }

    /// Whether it still is a connection.
    pub(crate) fn is_open(&self) -> bool {
        self.0.iter().any(Pipe::is_open)
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
