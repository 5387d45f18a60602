//! What a cluster says, line by line.

use std::io::{BufRead, BufReader};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::PATIENCE;

/// Lines that are read as they come.
pub struct Lines(Arc<(Mutex<Read>, Condvar)>);

#[derive(Default)]
struct Read {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    pub fn read(from: impl std::io::Read + Send + 'static) -> Lines {
        let shared = Arc::new((Mutex::new(Read::default()), Condvar::new()));
        let reader = shared.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|got| got > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                Lines(reader.clone()).lock().lines.push(text);
                reader.1.notify_all();
                line.clear();
            }
            Lines(reader.clone()).lock().ended = true;
            reader.1.notify_all();
        });
        Lines(shared)
    }

    /// A test that fails while it looks at lines has left them whole.
    fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn so_far(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    pub fn ended(&self) -> bool {
        self.lock().ended
    }

    #[track_caller]
    pub fn find_text(&self, text: &str) -> String {
        self.find_or(|line| line.contains(text), || format!("a line with {text:?}"))
    }

    #[track_caller]
    pub fn find(&self, is_it: impl Fn(&str) -> bool) -> String {
        self.find_or(is_it, || "a line".into())
    }

    #[track_caller]
    fn find_or(&self, is_it: impl Fn(&str) -> bool, what: impl Fn() -> String) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut read = self.lock();
        loop {
            if let Some(line) = read.lines.iter().find(|line| is_it(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {}: {:#?}", what(), read.lines);
            assert!(!read.ended, "it ended without {}: {:#?}", what(), read.lines);
            read = self.0.1.wait_timeout(read, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
