//! What a process has logged and is not written yet: in batches, up to a bound, and how much did not fit.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::member::{Answering, Busy};

/// The most files that a batch is for. What is about to be written to them is one record.
const FILES: usize = 12;

/// From any thread; nobody waits here but whoever carries it away.
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Rings when there is something where nothing was.
    bell: Notify,
    /// The most bytes of lines.
    limit: usize,
    /// The most of them in a batch.
    batch: usize,
    /// A member that leaves waits a moment until all of it is written. `None`: nobody does.
    busy: Option<Busy>,
    /// What is written of how many lines did not fit, and to which file.
    notice: (u8, Box<Notice>),
}

/// A line that says how many are missing before it.
pub(super) type Notice = dyn Fn(u64) -> Vec<u8> + Send + Sync;

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// In all chunks, and in what was carried away and is not known to be written.
    bytes: usize,
    dropped: u64,
    holding: Option<Answering>,
    closed: bool,
}

/// Lines for several files, each in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) parts: Vec<(u8, Vec<u8>)>,
    bytes: usize,
}

impl Chunk {
    fn add(&mut self, file: u8, line: &[u8]) {
        self.bytes += line.len();
        match self.parts.iter_mut().find(|(of, _)| *of == file) {
            Some((_, lines)) => lines.extend_from_slice(line),
            None => self.parts.push((file, line.to_vec())),
        }
    }
}

impl Outbox {
    pub(super) fn new(
        (limit, batch): (usize, usize),
        busy: Option<Busy>,
        file: u8,
        notice: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> Outbox {
        let notice: (u8, Box<Notice>) = (file, Box::new(notice));
        Outbox { state: Mutex::default(), bell: Notify::new(), limit, batch, busy, notice }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line for one or two files, whole, with its end. Before the first that fits after some did not, it is told how many those
    /// were.
    pub(super) fn put(&self, files: &[u8], line: &[u8]) {
        let mut state = self.state();
        let cost = files.len() * line.len();
        let was_empty = state.chunks.is_empty();
        if state.closed {
            return;
        }
        if cost > self.batch || state.bytes + cost > self.limit {
            state.dropped += 1;
            if was_empty {
                // Nothing that follows may ever tell of it.
                drop(state);
                self.bell.notify_one();
            }
            return;
        }
        if state.dropped > 0 {
            let (file, notice) = (self.notice.0, self.notice.1(state.dropped));
            // It needs room, too: else with the next.
            if state.bytes + cost + notice.len() > self.limit {
                state.dropped += 1;
                return;
            }
            state.dropped = 0;
            self.add(&mut state, &[file], &notice);
        }
        self.add(&mut state, files, line);
        if was_empty {
            if state.holding.is_none() {
                state.holding = self.busy.as_ref().map(Busy::answer);
            }
            drop(state);
            self.bell.notify_one();
        }
    }

    fn add(&self, state: &mut State, files: &[u8], line: &[u8]) {
        let cost = files.len() * line.len();
        state.bytes += cost;
        match state.chunks.back_mut() {
            Some(chunk) if chunk.bytes + cost <= self.batch && chunk.parts.len() + files.len() <= FILES => {
                files.iter().for_each(|&file| chunk.add(file, line))
            }
            _ => {
                let mut chunk = Chunk::default();
                files.iter().for_each(|&file| chunk.add(file, line));
                state.chunks.push_back(chunk);
            }
        }
    }

    /// The next batch, when there is one. Cancel-safe. For one who carries: its bytes count until [`Outbox::written`].
    pub(super) async fn next(&self) -> Chunk {
        loop {
            if let Some(chunk) = self.take() {
                return chunk;
            }
            self.bell.notified().await;
        }
    }

    /// The same at once, if there is one.
    pub(super) fn take(&self) -> Option<Chunk> {
        let mut state = self.state();
        if state.chunks.is_empty() && state.dropped > 0 {
            // Nothing has come since that would have told it.
            let notice = self.notice.1(std::mem::take(&mut state.dropped));
            self.add(&mut state, &[self.notice.0], &notice);
        }
        state.chunks.pop_front()
    }

    /// A batch that was carried away is written.
    pub(super) fn written(&self, chunk: &Chunk) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(chunk.bytes);
        let holding = if state.chunks.is_empty() { state.holding.take() } else { None };
        drop(state);
        drop(holding);
    }

    /// Nobody carries anything away any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let holding = state.holding.take();
        drop(state);
        drop(holding);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn outbox(limit: usize, batch: usize) -> Outbox {
        Outbox::new((limit, batch), None, 1, |count| format!("{count} lost\n").into_bytes())
    }

    fn lines(chunk: &Chunk) -> Vec<(u8, String)> {
        chunk.parts.iter().map(|(file, lines)| (*file, String::from_utf8_lossy(lines).into_owned())).collect()
    }

    #[test]
    fn lines_keep_their_order_in_batches_and_an_error_is_in_two_files() {
        let outbox = outbox(1000, 12);
        outbox.put(&[1], b"one\n");
        outbox.put(&[1, 2], b"bad\n");
        outbox.put(&[1], b"two\n");
        let first = outbox.take().expect("there is one");
        assert_eq!(lines(&first), [(1, "one\nbad\n".to_owned()), (2, "bad\n".to_owned())]);
        assert_eq!(lines(&outbox.take().expect("another")), [(1, "two\n".to_owned())]);
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_before_the_next_that_does() {
        let outbox = outbox(24, 12);
        for n in 0..9 {
            outbox.put(&[1], format!("line{n}\n\n\n").as_bytes());
        }
        outbox.put(&[1], b"longer than a batch\n");
        let mut told = String::new();
        for more in [true, true, true, false] {
            let chunk = outbox.take().expect("there is one");
            told.extend(lines(&chunk).into_iter().map(|(_, lines)| lines));
            // Carried away is not written: until it is, it takes its room. The second time the notice has none.
            if more {
                outbox.put(&[1], b"x\n");
            }
            outbox.written(&chunk);
        }
        assert_eq!((told.as_str(), outbox.take()), ("line0\n\n\nline1\n\n\nline2\n\n\n9 lost\nx\n", None));
        outbox.put(&[1], b"longer than a batch\n");
        assert_eq!(
            outbox.take().map(|chunk| lines(&chunk)),
            Some(vec![(1, "1 lost\n".to_owned())]),
            "also if none follows"
        );
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_the_first_line_and_nothing_is_taken_in_after_the_end() {
        let outbox = Arc::new(outbox(1000, 100));
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next().await }
        });
        tokio::task::yield_now().await;
        outbox.put(&[3], b"here\n");
        assert_eq!(lines(&waiting.await.expect("it does not panic")), [(3, "here\n".to_owned())]);
        outbox.close();
        outbox.put(&[3], b"late\n");
        assert_eq!(outbox.take(), None);
    }
}
