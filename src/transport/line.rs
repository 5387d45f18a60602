//! What waits to be written to one link: control ahead of data, and as much of it per system call as there is. Shared
//! between those who send and the task that writes.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::account::Account;
use super::control::{self, Ack};
use super::frame;
use super::header::Header;
use super::kind::{Kind, Lane};

/// How much is taken for one write: a socket buffer takes about 200 KiB, and control that comes meanwhile waits for it.
const BATCH: usize = 128 * 1024;

/// A payload from here on is handed to the kernel where it is; a smaller one is copied behind its header.
const COPY_BELOW: usize = 8 * 1024;

/// The outbox of a link and the bell of its writer.
#[derive(Debug, Default)]
pub(crate) struct Line {
    outbox: Mutex<Outbox>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Outbox {
    control: BytesMut,
    credits: BTreeMap<Account, u32>,
    acks: Ack,
    /// The last word about exceptions that have no consequence. One says it of all before it.
    stay: bool,
    data: VecDeque<Piece>,
    /// Small frames since the last of `data`, not yet frozen.
    tail: BytesMut,
    written: Written,
    closed: bool,
}

/// Frames that go out in one breath: nothing comes between a head and its payload.
#[derive(Debug, Default)]
struct Piece {
    frames: Bytes,
    /// The payload of the last of them, where it is too long to be copied behind its head.
    payload: Bytes,
    counts: Written,
}

/// How many frames of each lane have been given to the writer. More cannot have been handed on by whoever reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) messages: u64,
    pub(crate) answers: u64,
}

impl Line {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Whoever panicked while it held the lock left whole frames behind: each push is one step.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame of the control lane.
    pub(crate) fn control(&self, put: impl FnOnce(&mut BytesMut)) {
        put(&mut self.outbox().control);
        self.bell.notify_one();
    }

    /// How much of the control lane waits, in bytes. Whoever reads the link has stopped when it grows.
    pub(crate) fn control_backlog(&self) -> usize {
        self.outbox().control.len()
    }

    /// Tells that an exception has no consequence.
    pub(crate) fn stay(&self) {
        self.outbox().stay = true;
        self.bell.notify_one();
    }

    /// Gives back credit. What was not written yet adds up.
    pub(crate) fn credit(&self, account: Account, charge: u32) {
        *self.outbox().credits.entry(account).or_default() += charge;
        self.bell.notify_one();
    }

    /// Acknowledges the message with this number. What was not written yet adds up.
    pub(crate) fn ack_message(&self, number: u64) {
        self.outbox().acks.add_message(number);
        self.bell.notify_one();
    }

    /// Acknowledges one answer.
    pub(crate) fn ack_answer(&self) {
        self.outbox().acks.answers += 1;
        self.bell.notify_one();
    }

    /// Queues so many whole frames of one lane as they are.
    pub(crate) fn frames(&self, frames: Bytes, lane: Lane, count: u32) {
        let count = u64::from(count);
        let counts = match lane {
            Lane::Messages => Written { messages: count, answers: 0 },
            Lane::Answers => Written { messages: 0, answers: count },
        };
        let mut outbox = self.outbox();
        outbox.seal();
        outbox.data.push_back(Piece { frames, payload: Bytes::new(), counts });
        drop(outbox);
        self.bell.notify_one();
    }

    /// How much has been given to the writer.
    pub(crate) fn written(&self) -> Written {
        self.outbox().written
    }

    /// Queues one frame.
    pub(crate) fn frame(&self, header: Header, action: &str, payload: Bytes) {
        let mut outbox = self.outbox();
        if payload.len() < COPY_BELOW {
            frame::put(&mut outbox.tail, header, action, &payload);
            if outbox.tail.len() >= BATCH {
                outbox.seal();
            }
        } else {
            frame::put_head(&mut outbox.tail, header, action, payload.len());
            let frames = outbox.tail.split().freeze();
            outbox.data.push_back(Piece { frames, payload, counts: Written::default() });
        }
        drop(outbox);
        self.bell.notify_one();
    }

    /// Nothing more will be queued: the writer ends when all is written.
    pub(crate) fn close(&self) {
        self.outbox().closed = true;
        self.bell.notify_one();
    }

    /// Writes what is queued, and what is queued later, until the line is closed. A lone frame is never held back for
    /// company.
    ///
    /// Not cancel-safe: dropped in between, part of a frame may have been written.
    pub(crate) async fn write_to(&self, mut link: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut batch = VecDeque::new();
        loop {
            let closed = self.outbox().take(&mut batch);
            if !batch.is_empty() {
                write_all(&mut link, &mut batch).await?;
            } else if closed {
                return link.shutdown().await;
            } else {
                self.bell.notified().await;
            }
        }
    }
}

impl Outbox {
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let frames = self.tail.split().freeze();
            self.data.push_back(Piece { frames, ..Piece::default() });
        }
    }

    /// Moves the next batch out. Returns whether nothing will follow what is queued.
    fn take(&mut self, batch: &mut VecDeque<Bytes>) -> bool {
        if !self.acks.is_empty() {
            std::mem::take(&mut self.acks).put(&mut self.control);
        }
        if std::mem::take(&mut self.stay) {
            frame::put_bare(Kind::Stay, &mut self.control);
        }
        if !self.credits.is_empty() {
            control::put_credits(std::mem::take(&mut self.credits).into_iter(), &mut self.control);
        }
        if !self.control.is_empty() {
            batch.push_back(self.control.split().freeze());
        }
        self.seal();
        let mut taken = 0;
        while taken < BATCH {
            let Some(Piece { frames, payload, counts }) = self.data.pop_front() else { break };
            taken += frames.len() + payload.len();
            self.written.messages += counts.messages;
            self.written.answers += counts.answers;
            batch.push_back(frames);
            if !payload.is_empty() {
                batch.push_back(payload);
            }
        }
        self.closed
    }
}

/// As many buffers as one system call takes gladly.
const SLICES: usize = 64;

async fn write_all(link: &mut (impl AsyncWrite + Unpin), batch: &mut VecDeque<Bytes>) -> io::Result<()> {
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = batch.len().min(SLICES);
        for (slice, bytes) in slices.iter_mut().zip(batch.iter()) {
            *slice = IoSlice::new(bytes);
        }
        let mut written = link.write_vectored(&slices[..used]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(first) = batch.front_mut() {
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            batch.pop_front();
        }
    }
    Ok(())
}

#[cfg(test)]
impl Line {
    /// Takes out all that is queued, as the writer would.
    pub(super) fn queued(&self) -> Vec<u8> {
        let (mut all, mut batch) = (Vec::new(), VecDeque::new());
        loop {
            self.outbox().take(&mut batch);
            if batch.is_empty() {
                return all;
            }
            batch.drain(..).for_each(|bytes| all.extend(bytes));
        }
    }

    /// The first data that is queued.
    pub(super) fn first(&self) -> Option<Bytes> {
        self.outbox().data.front().map(|piece| piece.frames.clone())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::control::Span;
    use super::super::frame::Frames;
    use super::*;

    async fn written(line: &Line) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(1000);
        line.close();
        let mut all = Vec::new();
        let (wrote, read) = tokio::join!(line.write_to(near), far.read_to_end(&mut all));
        wrote.expect("the other end reads");
        read.expect("the other end reads");
        all
    }

    #[tokio::test]
    async fn control_goes_first_and_data_keeps_its_order_whatever_its_size() {
        let line = Line::default();
        for (correlation, size) in [(1, 3), (2, 100_000), (3, 0), (4, 9_000), (5, 7)] {
            let header = Header { correlation, ..Header::bare(Kind::Message) };
            line.frame(header, "act", Bytes::from(vec![correlation as u8; size]));
        }
        let mut ready_made = BytesMut::new();
        frame::put(&mut ready_made, Header { correlation: 6, ..Header::bare(Kind::Message) }, "", b"");
        line.frames(ready_made.freeze(), Lane::Messages, 1);
        line.credit(Account::Group, 3);
        line.credit(Account::Group, 4);
        line.ack_message(8);
        line.ack_message(9);
        line.ack_answer();
        line.control(|out| frame::put(out, Header::bare(Kind::Ready), "", b""));

        let all = written(&line).await;
        let frames: Vec<_> = Frames(&all).collect();
        let kinds: Vec<_> = frames.iter().map(|(header, _)| header.kind).collect();
        assert_eq!(kinds[..3], [Kind::Ready, Kind::Ack, Kind::Credit]);
        let acks = Ack { messages: vec![Span { first: 8, count: 2 }], answers: 1 };
        assert_eq!(Ack::read(&frames[1].0, &frames[1].1[32..]), Ok(acks));
        assert_eq!(line.written(), Written { messages: 1, answers: 0 }, "of what was made here nobody need know");
        assert_eq!(control::read_credits(&frames[2].1[32..]), Ok(vec![(Account::Group, 7)]));
        let order: Vec<_> = frames[3..].iter().map(|(header, _)| header.correlation).collect();
        assert_eq!(order, [1, 2, 3, 4, 5, 6]);
        assert!(frames[4].1[35..].iter().all(|&byte| byte == 2) && frames[4].1.len() == 100_035);
    }

    #[test]
    fn verdicts_that_wait_are_one_however_many_exceptions_there_were() {
        let line = Line::default();
        (0..1_000).for_each(|_| line.stay());
        let kinds: Vec<_> = Frames(&line.queued()).map(|(header, _)| header.kind).collect();
        assert_eq!(kinds, [Kind::Stay]);
        line.control(|out| out.extend([0; 100]));
        assert_eq!(line.control_backlog(), 100);
    }

    #[tokio::test]
    async fn control_does_not_go_between_a_head_and_its_payload() {
        let line = Line::default();
        // The head of the second is the last that fits one batch.
        for (correlation, size) in [(1, BATCH - 40), (2, COPY_BELOW), (3, BATCH), (4, COPY_BELOW)] {
            line.frame(Header { correlation, ..Header::bare(Kind::Message) }, "", Bytes::from(vec![0; size]));
        }
        let (mut all, mut batch) = (Vec::new(), VecDeque::new());
        for _ in 0..6 {
            line.control(|out| frame::put_bare(Kind::Ready, out));
            line.outbox().take(&mut batch);
            batch.drain(..).for_each(|bytes| all.extend(bytes));
        }
        let data: Vec<_> = Frames(&all).filter(|(header, _)| header.kind == Kind::Message).collect();
        assert_eq!(data.iter().map(|(header, _)| header.correlation).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(Frames(&all).map(|(_, frame)| frame.len()).sum::<usize>(), all.len());
    }

    #[tokio::test]
    async fn what_is_queued_while_the_writer_waits_is_written() {
        let line = Line::default();
        let (near, mut far) = tokio::io::duplex(64);
        let both = async {
            let mut head = [0; 32];
            for correlation in 1..=3 {
                line.frame(Header { correlation, ..Header::bare(Kind::Message) }, "", Bytes::new());
                far.read_exact(&mut head).await.expect("it is written at once");
                assert_eq!(Header::decode(&head).map(|header| header.correlation), Ok(correlation));
            }
            line.close();
        };
        tokio::join!(line.write_to(near), both).0.expect("all was read");
    }
}
