//! What members add to their subscriber: a layer that writes each event as a line into the member's outbox.

use std::io;
use std::sync::Arc;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::format::{Line, name_member, plain};
use super::handle::{Local, local};
use super::outbox::Outbox;
use super::settings::Rules;
use crate::context::Context;
use crate::member::EXCEPTION_TARGET;

/// A layer for a `tracing` subscriber of this member: what is logged goes to the agent, which writes it to the files that the
/// plan's [`Logs`](super::Logs) say, from their [level](super::Logs::level) on. Without those it goes to this process's stderr.
///
/// Logging waits for nobody: what cannot be taken in is dropped and counted. [`init`](super::init) makes a subscriber of it.
pub fn layer<S>(cx: &Context) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let Some(Local { rules, outbox, clock }) = local(cx) else {
        return fmt::layer().with_ansi(false).with_writer(io::stderr).boxed();
    };
    let member = cx.id().to_string();
    let (level, json) = (rules.level, rules.json);
    let desk = Desk { file: rules.of_role(cx.role()), rules, outbox, member: member.clone() };
    let layer = fmt::layer().with_ansi(false).with_writer(desk);
    match json {
        true => layer.json().with_current_span(false).with_timer(clock).with_filter(level).boxed(),
        false => layer.event_format(Line { clock, member }).with_filter(level).boxed(),
    }
}

/// Where lines are put down.
struct Desk {
    rules: Arc<Rules>,
    outbox: Arc<Outbox>,
    member: String,
    /// That of the role.
    file: u8,
}

/// For one line.
struct Pen<'a> {
    desk: &'a Desk,
    file: u8,
    is_error: bool,
    /// The master has it written down, also if this process does not live that long.
    is_told: bool,
}

impl<'a> MakeWriter<'a> for Desk {
    type Writer = Pen<'a>;

    fn make_writer(&'a self) -> Pen<'a> {
        Pen { desk: self, file: self.file, is_error: false, is_told: false }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Pen<'a> {
        let file = self.rules.of_target(about.target()).unwrap_or(self.file);
        let is_told = about.target() == EXCEPTION_TARGET;
        Pen { desk: self, file, is_error: *about.level() == Level::ERROR, is_told }
    }
}

impl io::Write for Pen<'_> {
    /// Is given a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_told {
            return Ok(line.len());
        }
        let Desk { rules, outbox, member, .. } = self.desk;
        let files = [self.file, rules.errors()];
        let files = &files[..1 + usize::from(self.is_error)];
        match rules.json {
            // All that could be an end of a line is escaped already. One that is too long is none when it is cut.
            true => outbox.put(files, &name_member(line, member)),
            false => outbox.put(files, &plain(line, rules.line())),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
