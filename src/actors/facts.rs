//! What was found out about a process, in the words of the core.

use crate::process::{ExitRecord, ExitStatus as Found, SpawnError};
use crate::supervision::{Exception, ExceptionKind, Exit, ExitStatus, LinkError};
use crate::transport::{Report, What, WireError};

/// A Rust program that panics on its main thread exits with this code, one that aborts dies of this signal.
const PANICKED: i32 = 101;
const ABORTED: i32 = 6;

/// A member's exit code after an exception.
const EXCEPTION: i32 = 70;

/// How a process ended. `reported`: the last exception that it told us of.
///
/// The black box holds the latest panic, whether or not it was the end: it explains an end that looks like one.
pub(crate) fn exit(record: ExitRecord, reported: Option<&Exception>) -> Exit {
    let panic = || {
        let text = record.last_words.as_deref()?;
        Some(Exception::new(ExceptionKind::Panic, printable(text)))
    };
    let exception = match record.status {
        Found::Code(PANICKED) | Found::Signal { number: ABORTED, .. } => panic(),
        Found::Code(EXCEPTION) => reported.cloned().or_else(panic),
        Found::Code(_) | Found::Signal { .. } | Found::Stolen => None,
    };
    let status = match record.status {
        Found::Code(code) => ExitStatus::Code(code),
        Found::Signal { number, core_dumped } => ExitStatus::Signal { number, core_dumped },
        // It has ended, and nobody knows how: no clean end.
        Found::Stolen => ExitStatus::Code(-1),
    };
    let mut exit = Exit::new(status);
    exit.exception = exception;
    exit.out_of_memory = record.out_of_memory;
    exit.stderr = record.stderr;
    exit.age = record.age;
    exit
}

/// The panic that a process has had last, and where it came from, if nobody was told: it had no time to, whatever it ended by.
pub(crate) fn last_words(record: &ExitRecord, panicked: Option<&Exception>) -> Option<(Exception, String)> {
    let text = printable(record.last_words.as_deref()?);
    // One that was told may have come to an abort, which the hook puts behind it.
    let is_told = panicked.is_some_and(|told| text.starts_with(&told.message));
    (!is_told).then(|| (Exception::new(ExceptionKind::Panic, text), record.backtrace.clone()))
}

/// The end of a process that never was.
pub(crate) fn not_started(error: &SpawnError) -> Exit {
    Exit::not_started(error.to_string(), error.errno)
}

pub(crate) fn exception(report: &Report) -> Exception {
    let kind = match report.what {
        What::Panic => ExceptionKind::Panic,
        What::Reported => ExceptionKind::Reported,
        What::Returned => ExceptionKind::Returned,
    };
    Exception::new(kind, printable(&report.text))
}

pub(crate) fn broken(error: &WireError) -> LinkError {
    LinkError::Protocol(error.to_string())
}

/// What a member wrote is shown to operators: nothing in it may move a cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record(status: Found, last_words: Option<&str>) -> ExitRecord {
        ExitRecord {
            status,
            last_words: last_words.map(str::to_owned),
            backtrace: String::new(),
            out_of_memory: false,
            stderr: String::new(),
            age: Duration::ZERO,
        }
    }

    #[test]
    fn a_black_box_explains_an_end_that_looks_like_a_panic_and_no_other() {
        let said =
            |status, reported: Option<&Exception>| exit(record(status, Some("a.rs:1:1: boom")), reported).to_string();
        let abort = Found::Signal { number: 6, core_dumped: false };
        assert_eq!(said(abort, None), "killed by signal 6: panicked at a.rs:1:1: boom");
        assert_eq!(said(Found::Code(101), None), "exited with code 101: panicked at a.rs:1:1: boom");
        assert_eq!(said(Found::Code(70), None), "exited with code 70: panicked at a.rs:1:1: boom");
        assert_eq!(said(Found::Signal { number: 9, core_dumped: false }, None), "killed by signal 9");
        assert_eq!(said(Found::Code(3), None), "exited with code 3", "it had survived that panic");
        let reported = Exception::new(ExceptionKind::Returned, "no database");
        assert_eq!(said(Found::Code(70), Some(&reported)), "exited with code 70: its function returned no database");
    }

    #[test]
    fn the_last_panic_of_a_process_is_told_unless_it_was() {
        let untold = |text: Option<&str>, reported: Option<&str>| {
            let reported = reported.map(|text| Exception::new(ExceptionKind::Panic, text));
            last_words(&record(Found::Code(1), text), reported.as_ref()).map(|(exception, _)| exception.message)
        };
        assert_eq!(untold(Some("a.rs:1: boom"), None).as_deref(), Some("a.rs:1: boom"), "a hook of its own has exited");
        assert_eq!(untold(Some("a.rs:1: boom"), Some("a.rs:1: boom")), None);
        assert_eq!(untold(Some("a.rs:1: boom, then it cannot unwind"), Some("a.rs:1: boom")), None);
        assert_eq!(untold(Some("b.rs:2: again"), Some("a.rs:1: boom")).as_deref(), Some("b.rs:2: again"));
        assert_eq!(untold(None, Some("a.rs:1: boom")), None);
    }

    #[test]
    fn what_a_member_wrote_moves_no_cursor() {
        let report =
            Report { what: What::Reported, leaving: false, text: "a\x1b[2Jb\nc".into(), backtrace: String::new() };
        assert_eq!(exception(&report).message, "a\u{fffd}[2Jb\nc");
    }
}
