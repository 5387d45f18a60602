//! How a line looks.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::stamp::Stamp;
use crate::member::Calendar;
use crate::text::{cut, may_mislead, misleads, show};

/// The span of a member, which every line names in a place of its own.
const MEMBER_SPAN: &str = "member";

/// What the time is, for a line.
#[derive(Clone)]
pub(super) struct Clock {
    pub(super) calendar: Calendar,
    pub(super) stamp: Arc<Stamp>,
}

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        self.stamp.write((self.calendar)(), writer)
    }
}

/// `2026-11-28T11:48:00.932Z  INFO worker/2#1 web::routes request{id=7}: answered status=200`
pub(super) struct Line {
    pub(super) clock: Clock,
    pub(super) member: String,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        self.clock.format_time(&mut out)?;
        out.write_str(match *about.level() {
            tracing::Level::ERROR => " ERROR ",
            tracing::Level::WARN => "  WARN ",
            tracing::Level::INFO => "  INFO ",
            tracing::Level::DEBUG => " DEBUG ",
            tracing::Level::TRACE => " TRACE ",
        })?;
        out.write_str(&self.member)?;
        out.write_char(' ')?;
        out.write_str(about.target())?;
        let spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root());
        for span in spans.filter(|span| !is_of_member(span.metadata())) {
            out.write_char(' ')?;
            out.write_str(span.name())?;
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                out.write_char('{')?;
                out.write_str(fields)?;
                out.write_char('}')?;
            }
        }
        out.write_str(": ")?;
        context.field_format().format_fields(out.by_ref(), event)?;
        out.write_char('\n')
    }
}

thread_local! {
    /// Where lines are made: its memory is used again.
    static DRAFT: Cell<String> = const { Cell::new(String::new()) };
}

/// A format that leaves nothing behind when what it formats panics: the subscriber's own buffer would begin the next line with what
/// there was of this one.
pub(super) struct Whole<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Whole<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // A thread that is ending may have none any more; nor has one that logs while it formats.
        let mut draft = DRAFT.try_with(Cell::take).unwrap_or_default();
        draft.clear();
        self.0.format_event(context, Writer::new(&mut draft), event)?;
        let written = out.write_str(&draft);
        let _ = DRAFT.try_with(|kept| kept.set(draft));
        written
    }
}

fn is_of_member(about: &tracing::Metadata<'_>) -> bool {
    about.name() == MEMBER_SPAN && about.target().starts_with(env!("CARGO_PKG_NAME"))
}

/// A line as it may be written: no control character but its end, and not too long. What was logged may be somebody else's text.
pub(super) fn plain(line: &[u8], longest: usize) -> Cow<'_, [u8]> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    if !may_mislead(body) && line.len() <= longest && body.len() < line.len() {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(body.len() + 16);
    for c in String::from_utf8_lossy(body).chars() {
        show(c, &mut text);
    }
    if text.len() >= longest {
        const NOTE: usize = 40;
        let kept = cut(&text, longest - NOTE);
        text = format!("{kept}… and {} bytes more", text.len() - kept.len());
    }
    text.push('\n');
    Cow::Owned(text.into_bytes())
}

/// What is said in the name of a member, or of nobody in particular, by the library.
pub(super) struct Entry<'a> {
    pub(super) level: &'static str,
    pub(super) member: &'a str,
    pub(super) target: &'a str,
    pub(super) message: &'a str,
    /// Empty: there is none.
    pub(super) backtrace: &'a str,
}

impl Entry<'_> {
    /// As a line; with a backtrace, as text, as several, of which all but the first begin with spaces.
    pub(super) fn line(&self, clock: &Clock, json: bool) -> Vec<u8> {
        let mut time = String::new();
        // A string takes everything.
        let _ = clock.stamp.write((clock.calendar)(), &mut time);
        let Entry { level, member, target, message, backtrace } = self;
        if json {
            let mut fields = serde_json::json!({ "message": message });
            if !backtrace.is_empty() {
                fields["backtrace"] = (*backtrace).into();
            }
            let entry = serde_json::json!({
                "timestamp": time, "level": level, "member": member, "fields": fields, "target": target,
            });
            return format!("{entry}\n").into_bytes();
        }
        let mut text = format!("{time} {level:>5} {member} {target}: ");
        message.chars().for_each(|c| show(c, &mut text));
        text.push('\n');
        for line in backtrace.lines() {
            text.push_str("    ");
            line.chars().for_each(|c| show(c, &mut text));
            text.push('\n');
        }
        text.into_bytes()
    }
}

/// What says how many lines of a process did not fit.
pub(super) fn dropped(clock: Clock, json: bool, member: String) -> impl Fn(u64) -> Vec<u8> + Send + Sync + 'static {
    move |count| {
        let message = format!("{count} lines were dropped: there was no room for them");
        let entry = Entry { level: "WARN", member: &member, target: "hatchery::log", message: &message, backtrace: "" };
        entry.line(&clock, json)
    }
}

/// What a line of JSON is without the member's name: it is put behind the brace that all begin with. And the control characters that
/// JSON does not mind are escaped; they are in texts, or the line is none.
pub(super) fn name_member(line: &[u8], member: &str) -> Vec<u8> {
    let mut named = Vec::with_capacity(line.len() + member.len() + 16);
    let rest = line.strip_prefix(b"{").unwrap_or(line);
    // The name of a member is plain.
    let _ = write!(named, "{{\"member\":\"{member}\",");
    if !may_mislead(rest.strip_suffix(b"\n").unwrap_or(rest)) {
        named.extend_from_slice(rest);
        return named;
    }
    for c in String::from_utf8_lossy(rest).chars() {
        let _ = match c {
            // Its end is the only one of ASCII.
            c if misleads(c) && c != '\n' => write!(named, "\\u{:04x}", u32::from(c)),
            c => write!(named, "{c}"),
        };
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_text(line: &str, longest: usize) -> String {
        String::from_utf8(plain(line.as_bytes(), longest).into_owned()).expect("it is text")
    }

    #[test]
    fn nothing_that_was_logged_ends_a_line_or_moves_a_cursor() {
        assert!(matches!(plain(b"an ordinary line\n", 100), Cow::Borrowed(_)));
        assert_eq!(plain_text("größer, »µ« €…\n", 100), "größer, »µ« €…\n");
        assert_eq!(plain_text("\u{202e}txt.exe\u{2028}\n", 100), "\\u{202e}txt.exe\\u{2028}\n");
        let forged = plain_text("user=a\n2026-11-28T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}31m\u{7f}\tend\n", 200);
        assert_eq!(forged, "user=a\\n2026-11-28T00:00:00Z ERROR forged\\r\\u{1b}[2J\\u{9b}31m\\u{7f}\tend\n");
        assert_eq!(plain_text("without an end", 100), "without an end\n");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters_and_says_so() {
        let long = plain_text(&format!("{}\n", "ü".repeat(100)), 101);
        assert_eq!(long, format!("{}… and 140 bytes more\n", "ü".repeat(30)));
        assert!(long.len() <= 101);
    }

    #[test]
    fn json_names_the_member_first() {
        let named = name_member(b"{\"level\":\"INFO\"}\n", "worker/1#2");
        assert_eq!(named, b"{\"member\":\"worker/1#2\",\"level\":\"INFO\"}\n");
        let named = name_member("{\"m\":\"ü\u{9b}31m\u{7f}€\u{2028}\"}\n".as_bytes(), "a/0#1");
        assert_eq!(String::from_utf8_lossy(&named), "{\"member\":\"a/0#1\",\"m\":\"ü\\u009b31m\\u007f€\\u2028\"}\n");
    }
}
