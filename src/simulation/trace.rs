//! What happened in a simulation, line by line: to be read, compared and hashed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::world::World;
use crate::actors::{Beat, Observe};
use crate::identity::MemberId;
use crate::supervision::{Action, Event, Moment, Supervisor};

/// What happened, in order: one line for each thing, `+12.345678s worker/2#3 exited with code 1 -> restart at once`.
///
/// Two runs of one seed have the same trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    text: String,
}

impl Trace {
    /// All of it, each line with its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its lines.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.text.lines()
    }

    /// A number that depends on every byte of it, the same on every machine (FNV-1a, 64 bits).
    pub fn hash(&self) -> u64 {
        hash(0xcbf2_9ce4_8422_2325, self.text.as_bytes())
    }

    /// The last lines of it.
    pub fn tail(&self, lines: usize) -> String {
        let all: Vec<&str> = self.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// The first line in which it differs from `other`, in both. `None`: it does not.
    pub(super) fn difference(&self, other: &Trace) -> Option<(String, String)> {
        let mut lines = (self.lines(), other.lines());
        loop {
            match (lines.0.next(), lines.1.next()) {
                (None, None) => return None,
                (one, two) if one == two => {}
                (one, two) => {
                    let said = |line: Option<&str>| line.unwrap_or("(nothing)").to_owned();
                    return Some((said(one), said(two)));
                }
            }
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Goes on with a hash.
pub(super) fn hash(so_far: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(so_far, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The trace as it is written.
#[derive(Debug, Default)]
pub(super) struct Pen(Mutex<String>);

impl Pen {
    fn text(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn line(&self, at: Duration, what: impl fmt::Display) {
        let mut text = self.text();
        let written =
            fmt::Write::write_fmt(&mut *text, format_args!("+{}.{:06}s {what}\n", at.as_secs(), at.subsec_micros()));
        debug_assert!(written.is_ok(), "a text takes whatever is written to it");
    }

    pub(super) fn trace(&self) -> Trace {
        Trace { text: self.text().clone() }
    }
}

/// Writes down the steps of the core.
#[derive(Debug)]
pub(super) struct Scribe(pub(super) Arc<World>);

impl Observe for Scribe {
    fn step(&self, _: Moment, event: &Event, actions: &[Action], _: &Supervisor) {
        self.0.count_fact();
        if let Some(text) = told(event, actions) {
            self.0.say(text);
        }
        for action in actions {
            if let Some(text) = done(action) {
                self.0.say(text);
            }
            // Whom the next chaos may strike.
            if let Action::Open(slot) = action {
                self.0.state().slots.push(*slot);
            }
            if let Action::Close(slot) = action {
                self.0.state().slots.retain(|there| there != slot);
            }
        }
    }

    fn started(&self, _: Moment, id: MemberId, pid: u32) {
        self.0.say(format_args!("{id} has started as process {pid}"));
    }

    fn beat(&self, _: Moment, id: MemberId, beat: Beat) {
        match beat {
            Beat::Silent(span) => self.0.say(format_args!("{id} is unresponsive, silent for {span:?}")),
            Beat::Heard => self.0.say(format_args!("{id} is responsive again")),
        }
    }
}

/// A fact, unless the record of what follows from it says the same.
fn told(event: &Event, actions: &[Action]) -> Option<String> {
    let recorded = actions.iter().any(|action| matches!(action, Action::Record(_)));
    let idle = if actions.is_empty() { ": nothing follows" } else { "" };
    match event {
        Event::Boot => Some("boot".to_owned()),
        Event::Ready(id) => Some(format!("{id} is ready{idle}")),
        Event::Exception(..) | Event::Exited(..) if recorded => None,
        Event::Exception(id, exception) => Some(format!("{id} {exception}{idle}")),
        Event::Exited(id, exit) => Some(format!("{id} {exit}{idle}")),
        Event::Unresponsive(id, span) => Some(format!("{id} is silent for {span:?}{idle}")),
        Event::Operate(id, operation) => Some(format!("{id}: {operation}")),
        Event::LinkLost(id, error) => Some(format!("{id} link lost: {error}{idle}")),
        Event::Stop(urgency) => Some(format!("stop asked for, {urgency:?}")),
        Event::DeadlinePassed if actions.is_empty() => None,
        Event::DeadlinePassed => Some("deadline".to_owned()),
    }
}

/// An action.
fn done(action: &Action) -> Option<String> {
    match action {
        Action::Spawn(id) => Some(format!("{id} is to start")),
        Action::AnnounceReady => Some("cluster ready".to_owned()),
        Action::Stay(id) => Some(format!("{id} stays")),
        Action::Drain(id, within) => Some(format!("{id} is to drain within {within:?}")),
        Action::Terminate(id, within) => Some(format!("{id} is to stop within {within:?}")),
        Action::Kill(id) => Some(format!("{id} is killed")),
        Action::Abandon(id) => Some(format!("{id} is abandoned")),
        Action::Park(slot) => Some(format!("{slot} is parked")),
        Action::Vacate(slot) => Some(format!("{slot} is vacant")),
        Action::Open(slot) => Some(format!("{slot} is opened")),
        Action::Close(slot) => Some(format!("{slot} is closed")),
        Action::Conclude(id, conclusion) => Some(format!("{id} {conclusion}")),
        Action::Record(record) => Some(format!("{} {} -> {}", record.member, record.cause, record.decision)),
        Action::Finish(outcome) => Some(format!("finished: {:?}", outcome.verdict)),
        // Said by the fact that it follows from.
        Action::Admit(_) | Action::ResendReady(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_lines_with_the_time_and_its_hash_is_that_of_its_bytes() {
        let pen = Pen::default();
        pen.line(Duration::from_micros(12_345_678), "worker/2#3 is ready");
        pen.line(Duration::from_secs(60), "stop asked for");
        let trace = pen.trace();
        assert_eq!(trace.as_str(), "+12.345678s worker/2#3 is ready\n+60.000000s stop asked for\n");
        assert_eq!(trace.tail(1), "+60.000000s stop asked for");
        assert_eq!(trace.tail(9).lines().count(), 2);
        assert_eq!(hash(0xcbf2_9ce4_8422_2325, b"a"), 0xaf63_dc4c_8601_ec8c, "as the reference has it");
        let other = Trace { text: trace.text.replace("stop", "halt") };
        let (one, two) = trace.difference(&other).expect("they differ");
        assert!(one.ends_with("stop asked for") && two.ends_with("halt asked for"));
        assert_eq!(trace.difference(&trace.clone()), None);
    }
}
