//! Prints events as lines, with the names of the spans that they are in: what a program's own subscriber would get.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Prints `TRACE <spans> <message> <field>=<value> …`.
#[derive(Default)]
struct Tracer {
    last: AtomicU64,
    spans: Mutex<Vec<(u64, String)>>,
}

thread_local! {
    static INSIDE: std::cell::RefCell<Vec<u64>> = const { std::cell::RefCell::new(Vec::new()) };
}

pub fn install() {
    let _ = tracing::subscriber::set_global_default(Tracer::default());
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Tracer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("hatchery")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        span.record(&mut line);
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.spans.lock().expect("nobody panics here").push((id, format!("{}{}", span.metadata().name(), line.0)));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let inside = INSIDE.with_borrow(|inside| inside.last().copied());
        let parent = event.parent().map(Id::into_u64).or(inside);
        let spans = self.spans.lock().expect("nobody panics here");
        let span = spans.iter().find(|(id, _)| Some(*id) == parent).map_or("", |(_, name)| name);
        let text = format!("TRACE [{span}]{}\n", line.0);
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    fn enter(&self, span: &Id) {
        INSIDE.with_borrow_mut(|inside| inside.push(span.into_u64()));
    }

    fn exit(&self, _: &Id) {
        INSIDE.with_borrow_mut(|inside| {
            inside.pop();
        });
    }
}
