//! What members add to their subscriber: a layer that writes each event as a line into the member's outbox.

use std::io;
use std::sync::Arc;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::format::{Clock, Entry, Line, Whole, name_member, plain};
use super::handle::{Local, local};
use super::outbox::Outbox;
use super::settings::{LEVEL, Rules};
use super::stamp::Stamp;
use crate::context::Context;
use crate::member::EXCEPTION_TARGET;
use crate::text::cut;

/// A layer for a `tracing` subscriber of this member: what is logged goes to the agent, which writes it to the files that the
/// plan's [`Logs`](super::Logs) say, from their [level](super::Logs::level) on. Without those it goes to this process's stderr.
///
/// Logging waits for nobody: what cannot be taken in is dropped and counted. [`init`](super::init) makes a subscriber of it.
pub fn layer<S>(cx: &Context) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let member = cx.id().to_string();
    let Some(Local { rules, outbox, clock }) = local(cx) else {
        let spawner = cx.member().spawner.clone();
        let clock = Clock { calendar: Arc::new(move || spawner.calendar()), stamp: Arc::new(Stamp::utc()) };
        let layer = fmt::layer().with_ansi(false).with_writer(io::stderr);
        return layer.event_format(Whole(Line { clock, member })).with_filter(LEVEL).boxed();
    };
    let (level, json) = (rules.level, rules.json);
    let desk = Desk { file: rules.of_role(cx.role()), rules, outbox, clock: clock.clone(), member: member.clone() };
    let layer = fmt::layer().with_ansi(false).with_writer(desk);
    match json {
        true => {
            let object = fmt::format().json().with_current_span(false).with_timer(clock);
            layer.fmt_fields(JsonFields::new()).event_format(Whole(object)).with_filter(level).boxed()
        }
        false => layer.event_format(Whole(Line { clock, member })).with_filter(level).boxed(),
    }
}

/// Where lines are put down.
struct Desk {
    rules: Arc<Rules>,
    outbox: Arc<Outbox>,
    clock: Clock,
    member: String,
    /// That of the role.
    file: u8,
}

/// For one line.
struct Pen<'a> {
    desk: &'a Desk,
    file: u8,
    level: Level,
    /// The master has it written down, also if this process does not live that long.
    is_told: bool,
}

impl<'a> MakeWriter<'a> for Desk {
    type Writer = Pen<'a>;

    fn make_writer(&'a self) -> Pen<'a> {
        Pen { desk: self, file: self.file, level: Level::INFO, is_told: false }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Pen<'a> {
        let file = self.rules.of_target(about.target()).unwrap_or(self.file);
        let is_told = about.target() == EXCEPTION_TARGET;
        Pen { desk: self, file, level: *about.level(), is_told }
    }
}

impl io::Write for Pen<'_> {
    /// Is given a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_told {
            return Ok(line.len());
        }
        let Desk { rules, outbox, clock, member, .. } = self.desk;
        let files = [self.file, rules.errors()];
        let files = &files[..1 + usize::from(self.level == Level::ERROR)];
        match rules.json {
            true if line.len() > rules.line() => {
                // Cut, it would be no object.
                let text = String::from_utf8_lossy(line);
                let message = format!("a line of {} bytes begins with {}", line.len(), cut(&text, rules.line() / 8));
                let (level, target) = (self.level.as_str(), "hatchery::log");
                let entry = Entry { level, member, target, message: &message, backtrace: "" };
                outbox.put(files, &entry.line(clock, true));
            }
            true => outbox.put(files, &name_member(line, member)),
            false => outbox.put(files, &plain(line, rules.line())),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
