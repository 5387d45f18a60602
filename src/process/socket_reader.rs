//! The receiving half of a link that is a socket of the system's.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::OwnedReadHalf;

use super::backend::LinkRead;

/// The receiving half of a link that is a socket.
pub(crate) struct SocketReader(pub(crate) OwnedReadHalf);

impl AsyncRead for SocketReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl LinkRead for SocketReader {
    fn read_now(&mut self, into: &mut BytesMut) -> io::Result<Option<usize>> {
        // Not tokio's `try_read`: it believes that there is nothing until the reactor has said otherwise.
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match rustix::net::recv(self.0.as_ref().as_fd(), &mut buffer, RecvFlags::DONTWAIT) {
                Ok((got, _)) => {
                    into.extend_from_slice(&buffer[..got]);
                    return Ok(Some(got));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                // The other end went without having read all that we sent. What it sent has been read before.
                Err(rustix::io::Errno::CONNRESET) => return Ok(Some(0)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
