//! Stdout: lines, or a terminal that is drawn anew.

use std::io::{self, Write};

use super::exit::ExitCode;
use crate::process::surroundings;

/// Writes it all. Whoever has stopped reading, as `head` does, has had enough: that is no fault of ours.
pub(super) fn print(text: &str) -> ExitCode {
    match write(text) {
        Ok(()) => ExitCode::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Done,
        Err(error) => ExitCode::Failed.with(&format!("failed to write to stdout: {error}")),
    }
}

/// What is shown again and again: on a terminal in place of the one before, elsewhere below it. Dropped, the terminal is as
/// it was.
#[derive(Debug)]
pub(super) struct Screen {
    is_terminal: bool,
    is_first: bool,
}

impl Screen {
    /// The second screen of a terminal, without a cursor.
    pub(super) fn open() -> io::Result<Screen> {
        let screen = Screen { is_terminal: surroundings::screen().is_some(), is_first: true };
        if screen.is_terminal {
            write("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(screen)
    }

    /// Shows it. Of what is longer than the terminal, the beginning.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        let gap = if std::mem::take(&mut self.is_first) { "" } else { "\n" };
        match surroundings::screen().filter(|_| self.is_terminal) {
            Some((_, rows)) => write(&frame(text, rows.into())),
            None => write(&format!("{gap}{text}")),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write("\x1b[?25h\x1b[?1049l");
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The text from the upper left corner on: what was there before is written over, so that nothing flickers.
fn frame(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().take(rows).collect();
    format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_no_more_lines_than_the_terminal_and_clears_what_was_there() {
        assert_eq!(frame("one\ntwo\nthree\n", 2), "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J");
        assert_eq!(frame("one\n", 24), "\x1b[Hone\x1b[K\x1b[J");
    }
}
