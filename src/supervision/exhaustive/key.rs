//! When two points are the same.
//!
//! Moments are told by how far they are from the present, and incarnations by how far they are from the last of their
//! slot: so the same state at another time, and after another number of processes, is the same. What only a strategy
//! would look at (the past, the dice, how often a slot was parked) is left out, for those in these searches look at
//! nothing.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::patience::Patience;
use super::super::phases::Phase;
use super::super::seat::{Place, Task};
use super::super::*;
use super::point::Point;
use crate::identity::Incarnation;

/// Nothing that is longer ago makes a difference: to have been of use takes a second.
const LONG_AGO: Duration = Duration::from_secs(1);

impl Point {
    /// The same for all points that differ in the present alone. Two others that share one of 64 bits would be taken for
    /// the same: among a million points, once in thirty million searches.
    pub(super) fn key(&self) -> u64 {
        let key = &mut Key { now: self.now, hasher: DefaultHasher::new() };
        let core = &self.supervisor;
        key.see(match &core.phase {
            Phase::Idle => (0, 0),
            Phase::Booting(role) => (1, *role),
            Phase::Running => (2, 0),
            Phase::Stopping(role, _) => (3, *role),
            Phase::Finished => (4, 0),
        });
        key.moment(core.stop_asked);
        key.moment(core.deadline());
        key.text(&core.regroup);
        for role in &core.roles {
            key.see((role.open, role.ready, role.processes, role.off));
            key.text(&role.scaling);
            match &role.patience {
                Patience::Whole => key.see(0),
                Patience::Wearing { out_at } => {
                    key.see(1);
                    key.moment(Some(*out_at));
                }
                Patience::Out { chances } => {
                    key.see(2);
                    let has_chance = |place: &Place| {
                        chances.iter().any(|id| Some(id.incarnation()) == place.last && id.slot() == place.slot)
                    };
                    role.places.iter().for_each(|place| key.see(has_chance(place)));
                }
            }
            role.places.iter().for_each(|place| key.place(place));
        }
        for (id, life) in &self.living {
            key.see((id.slot(), life.said_ready, life.leaving, life.killed));
        }
        key.see((self.announced, self.stopping, self.finished, &self.asked));
        key.see((self.left.crashes, &self.left.operations.len(), self.left.stops.len()));
        self.left.operations.iter().for_each(|(id, _)| key.see(id));
        key.hasher.finish()
    }
}

struct Key {
    now: Moment,
    hasher: DefaultHasher,
}

impl Key {
    fn see(&mut self, what: impl Hash) {
        what.hash(&mut self.hasher);
    }

    /// How far it is from the present. What is long ago is as long ago as anything else.
    fn moment(&mut self, at: Option<Moment>) {
        let now = self.now;
        self.see(at.map(|at| (at - now, (now - at).min(LONG_AGO))));
    }

    fn place(&mut self, place: &Place) {
        let ago = |incarnation: Option<Incarnation>| Some(place.last?.get() - incarnation?.get());
        match &place.seat {
            Seat::Unstarted => self.see(0),
            Seat::Starting { ready_by, .. } => {
                self.see(1);
                self.moment(Some(*ready_by));
            }
            Seat::Ready { since, .. } => {
                self.see(2);
                self.moment(Some(*since));
            }
            Seat::Leaving { departure, ready_for, errand } => {
                self.see((3, ready_for.map(|ready_for| ready_for.min(LONG_AGO))));
                self.text(departure);
                self.text(errand);
            }
            Seat::Waiting { restart_at } => {
                self.see(4);
                self.moment(Some(*restart_at));
            }
            Seat::Parked { probe_at } => {
                self.see(5);
                self.moment(*probe_at);
            }
            Seat::Vacant => self.see(6),
            Seat::Stopped => self.see(7),
            Seat::Closed => self.see(8),
        }
        for departure in &place.outgoing {
            self.see(ago(Some(departure.incarnation)));
            self.text(departure);
        }
        match place.task {
            None => self.see(0),
            Some(Task::Restart { id, later_than }) => self.see((1, id, ago(later_than))),
            Some(Task::Stop { id }) => self.see((2, id)),
        }
        self.see((place.next, place.closing, place.scaled));
    }

    /// What only shows itself as text: its moments as how far they are from the present, its incarnations not at all.
    fn text(&mut self, what: &impl std::fmt::Debug) {
        let text = format!("{what:?}");
        let mut rest = text.as_str();
        let first = |text: &str| ["+", "#", "incarnation: "].into_iter().filter_map(|mark| text.find(mark)).min();
        while let Some(at) = first(rest) {
            self.see(&rest[..at]);
            let is_moment = rest[at..].starts_with('+');
            rest = rest[at..].trim_start_matches(['+', '#']).trim_start_matches("incarnation: ");
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(rest.len());
            if is_moment {
                self.moment(Some(Moment::from_start(duration(&rest[..end]))));
            }
            rest = &rest[end..];
        }
        self.see(rest);
    }
}

/// Reads what a duration is written as.
fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let number: f64 = digits.parse().expect("a number");
    let unit = match &text[digits.len()..] {
        "s" => 1e6,
        "ms" => 1e3,
        "µs" => 1.0,
        "ns" => 1e-3,
        other => panic!("{other} is no unit of time"),
    };
    Duration::from_micros((number * unit).round() as u64)
}
