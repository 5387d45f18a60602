//! Bytes one way, bounded as in a socket.
//!
//! What a kernel may do happens here too: a read gives less than there is, a write takes less than was offered, bytes
//! arrive a while after they were sent. How often is the [`Weather`]'s business. What only a fault does is done by its
//! handle, [`Pipe`].

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How much is under way before the writer has to wait: about what a Unix socket of Linux takes.
const CAPACITY: usize = 200 * 1024;

/// What may happen to bytes on their way without anybody's fault.
pub(crate) trait Weather: Send {
    /// How many of `offered` bytes one read or one write moves: at least one.
    fn portion(&mut self, offered: usize) -> usize;

    /// How long what is written now takes to arrive.
    fn delay(&mut self) -> Option<Duration>;

    /// These bytes have been written, as they were sent.
    fn carries(&mut self, _bytes: &[u8]) {}
}

/// The handle on a pipe for those who break it.
#[derive(Clone)]
pub(crate) struct Pipe(Arc<Mutex<State>>);

/// The end that is read.
pub(crate) struct PipeReader(Pipe);

/// The end that is written.
pub(crate) struct PipeWriter(Pipe);

struct State {
    pieces: VecDeque<Piece>,
    /// Bytes in `pieces`.
    held: usize,
    weather: Box<dyn Weather>,
    end: End,
    /// How many hold everything that is on its way. They may overlap.
    stalls: u32,
    /// What happens to the next write, and who is told when it has.
    spoil: Option<(Spoil, Told)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What a fault does to one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// It arrives otherwise than it was sent.
    Garble,
    /// It arrives in part, and nothing after it.
    Truncate,
}

type Told = Box<dyn FnOnce() + Send>;

enum Piece {
    Bytes(Bytes),
    /// What is behind it is still on its way.
    Delay(Pin<Box<Sleep>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The writer is done: what is held can still be read.
    Finished,
    /// The reader is gone: nobody takes anything any more.
    Deserted,
    /// Broken: what was held is lost.
    Reset,
}

/// A pipe: its reading and its writing end, and the handle for those who break it.
pub(crate) fn pipe(weather: Box<dyn Weather>) -> (PipeReader, PipeWriter, Pipe) {
    let pipe = Pipe(Arc::new(Mutex::new(State {
        pieces: VecDeque::new(),
        held: 0,
        weather,
        end: End::Open,
        stalls: 0,
        spoil: None,
        reader: None,
        writer: None,
    })));
    (PipeReader(pipe.clone()), PipeWriter(pipe.clone()), pipe)
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks it: what is on its way is lost, and both ends hear of it.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        if state.end != End::Reset {
            state.end = End::Reset;
            state.pieces.clear();
            state.held = 0;
            state.wake();
        }
    }

    /// The process at the writing end is gone: what it wrote can still be read.
    pub(crate) fn finish(&self) {
        self.state().close(End::Finished);
    }

    /// The process at the reading end is gone.
    pub(crate) fn desert(&self) {
        let mut state = self.state();
        state.close(End::Deserted);
        state.pieces.clear();
        state.held = 0;
    }

    /// Nothing moves until there has been a [`Pipe::flow`] for each stall.
    pub(crate) fn stall(&self) {
        self.state().stalls += 1;
    }

    /// The end of one stall.
    pub(crate) fn flow(&self) {
        let mut state = self.state();
        state.stalls = state.stalls.saturating_sub(1);
        state.wake();
    }

    /// Spoils the next write, if there is one, and then tells.
    pub(crate) fn spoil(&self, spoil: Spoil, told: Told) {
        self.state().spoil = Some((spoil, told));
    }

    /// Whether either end is still held by somebody who has not given it up.
    pub(crate) fn is_open(&self) -> bool {
        self.state().end == End::Open
    }

    /// Whether there is something that nobody has read.
    pub(crate) fn holds_any(&self) -> bool {
        self.state().held > 0
    }
}

impl State {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn close(&mut self, end: End) {
        if self.end == End::Open {
            self.end = end;
            self.wake();
        }
    }

    fn reset(&self) -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.end {
            End::Open => {}
            End::Finished | End::Deserted => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            End::Reset => return Poll::Ready(Err(self.reset())),
        }
        let room = CAPACITY - self.held;
        if self.stalls > 0 || room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let offered = bytes.len().min(room);
        if offered == 0 {
            return Poll::Ready(Ok(0));
        }
        let taken = self.weather.portion(offered).clamp(1, offered);
        self.weather.carries(&bytes[..taken]);
        let mut piece = BytesMut::from(&bytes[..taken]);
        if let Some((spoil, told)) = self.spoil.take() {
            match spoil {
                Spoil::Garble => piece.iter_mut().for_each(|byte| *byte ^= 0x5a),
                Spoil::Truncate => {
                    piece.truncate(taken / 2);
                    self.end = End::Finished;
                }
            }
            told();
        }
        if let Some(delay) = self.weather.delay() {
            self.pieces.push_back(Piece::Delay(Box::pin(tokio::time::sleep(delay))));
        }
        self.held += piece.len();
        self.pieces.push_back(Piece::Bytes(piece.freeze()));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(taken))
    }

    /// Moves up to `room` bytes to `into`. `Ok(None)`: there is nothing, now.
    fn read(&mut self, room: usize, mut into: impl FnMut(&[u8])) -> io::Result<Option<usize>> {
        if self.end == End::Reset {
            return Err(self.reset());
        }
        let mut budget = self.weather.portion(room.min(self.held).max(1)).min(room);
        let mut moved = 0;
        while let Some(Piece::Bytes(bytes)) = self.pieces.front_mut() {
            let now = bytes.len().min(budget);
            into(&bytes[..now]);
            bytes.advance(now);
            (budget, moved) = (budget - now, moved + now);
            if !bytes.is_empty() {
                break;
            }
            self.pieces.pop_front();
        }
        self.held -= moved;
        if moved > 0
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
        match (moved, self.pieces.is_empty(), self.end) {
            (0, true, End::Finished | End::Deserted) => Ok(Some(0)),
            (0, ..) => Ok(None),
            (moved, ..) => Ok(Some(moved)),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.stalls > 0 && self.end != End::Reset {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        while let Some(Piece::Delay(delay)) = self.pieces.front_mut() {
            if delay.as_mut().poll(cx).is_pending() {
                // A reset does not wait for what it overtakes.
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.pieces.pop_front();
        }
        match self.read(buf.remaining(), |bytes| buf.put_slice(bytes)) {
            Ok(Some(_)) => Poll::Ready(Ok(())),
            Ok(None) => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl PipeReader {
    /// What is there, delays and stalls left aside: the kernel has it. `None`: nothing, now. `Some(0)`: the end.
    pub(crate) fn read_now(&mut self, into: &mut BytesMut) -> io::Result<Option<usize>> {
        let mut state = self.0.state();
        state.pieces.retain(|piece| matches!(piece, Piece::Bytes(_)));
        let room = state.held.max(1);
        state.read(room, |bytes| into.extend_from_slice(bytes))
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.state().poll_read(cx, buf)
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.state().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.desert();
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipe")
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeReader")
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeWriter")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Moves `0` bytes at once: all that is offered.
    struct Bad(usize);

    impl Weather for Bad {
        fn portion(&mut self, offered: usize) -> usize {
            if self.0 == 0 { offered } else { self.0 }
        }

        fn delay(&mut self) -> Option<Duration> {
            (self.0 > 0).then_some(Duration::from_millis(3))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_in_in_any_weather_comes_out_in_order_and_then_the_end() {
        let (mut reader, mut writer, _) = pipe(Box::new(Bad(7)));
        let sent: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move { writer.write_all(&sent).await });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.expect("it ends");
        assert_eq!(got, expected);
        writing.await.expect("no panic").expect("it was read");
    }

    #[tokio::test]
    async fn a_full_pipe_waits_for_its_reader_and_a_reset_for_nobody() {
        let (mut reader, mut writer, handle) = pipe(Box::new(Bad(0)));
        writer.write_all(&[0; CAPACITY]).await.expect("room");
        let mut more = tokio::spawn(async move { writer.write(&[1]).await });
        tokio::task::yield_now().await;
        assert!(!more.is_finished());
        reader.read_exact(&mut [0; 10]).await.expect("it is full");
        assert_eq!((&mut more).await.expect("no panic").expect("room"), 1);
        handle.reset();
        let error = reader.read(&mut [0; 10]).await.expect_err("all is lost");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_stall_holds_everything_and_what_is_there_can_be_read_now() {
        let (mut reader, mut writer, handle) = pipe(Box::new(Bad(0)));
        writer.write_all(b"abc").await.expect("room");
        handle.stall();
        let mut buffer = BytesMut::new();
        let waiting = std::future::poll_fn(|cx| {
            let mut bytes = [0; 8];
            Poll::Ready(Pin::new(&mut reader).poll_read(cx, &mut ReadBuf::new(&mut bytes)).is_pending())
        });
        assert!(waiting.await);
        assert_eq!(reader.read_now(&mut buffer).expect("it is whole"), Some(3));
        assert_eq!(reader.read_now(&mut buffer).expect("it is whole"), None);
        drop(writer);
        assert_eq!(reader.read_now(&mut buffer).expect("it is whole"), Some(0));
        assert_eq!(&buffer[..], b"abc");
    }

    #[tokio::test]
    async fn of_two_stalls_the_end_of_the_first_is_not_that_of_the_second() {
        let (mut reader, mut writer, handle) = pipe(Box::new(Bad(0)));
        writer.write_all(b"abc").await.expect("room");
        handle.stall();
        handle.stall();
        let mut moves = || {
            let mut bytes = [0; 1];
            let waker = std::task::Waker::noop();
            let poll = Pin::new(&mut reader).poll_read(&mut Context::from_waker(waker), &mut ReadBuf::new(&mut bytes));
            poll.is_ready()
        };
        handle.flow();
        assert!(!moves(), "the second has not ended");
        handle.flow();
        assert!(moves());
    }

    #[tokio::test]
    async fn a_truncated_write_is_the_last_and_arrives_in_part() {
        let (mut reader, mut writer, handle) = pipe(Box::new(Bad(0)));
        let told = Arc::new(Mutex::new(0));
        let count = told.clone();
        handle.spoil(Spoil::Truncate, Box::new(move || *count.lock().expect("nobody panicked") += 1));
        writer.write_all(b"12345678").await.expect("it looks well");
        assert_eq!(writer.write(b"9").await.expect_err("broken").kind(), io::ErrorKind::BrokenPipe);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.expect("it ends");
        assert_eq!(got, b"1234");
        assert_eq!(*told.lock().expect("nobody panicked"), 1);
    }
}
