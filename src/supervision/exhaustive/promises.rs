//! What is promised of every point and of every step, whatever the strategy answers.

use super::super::seat::ABANDON_AFTER;
use super::super::*;
use super::point::{Life, Point};
use crate::identity::{Incarnation, MemberId, Role};

impl Point {
    /// Does what the core wants, and asserts that it may want that. `dead`: whose end it has just been told.
    pub(super) fn obey(&mut self, actions: Actions, dead: Option<MemberId>) {
        let ends: Vec<MemberId> = actions.iter().filter_map(end).collect();
        let gone = actions.iter().filter_map(|action| match action {
            Action::Abandon(id) => Some(*id),
            _ => None,
        });
        let mut gone: Vec<MemberId> = gone.chain(dead).collect();
        gone.sort();
        let mut told = ends.clone();
        told.sort();
        assert_eq!(told, gone, "one cause for every end, and none for others");
        for action in actions {
            self.step(action);
        }
    }

    fn step(&mut self, action: Action) {
        assert!(!self.finished, "{action} after the end");
        match action {
            Action::Spawn(id) => {
                assert!(!self.stopping, "{id} is started while the cluster stops");
                assert!(self.open.contains(&id.slot()), "{id} has no slot");
                let nth = self.spawned.entry(id.slot()).or_default();
                *nth += 1;
                assert_eq!(id.incarnation(), Incarnation::new(*nth), "{id} skips or repeats an incarnation");
                let serving =
                    |(other, life): &(&MemberId, &Life)| other.slot() == id.slot() && !life.leaving && !life.killed;
                assert_eq!(self.living.iter().find(serving).map(|(other, _)| other), None, "{id} would be the second");
                let agent = self.living.iter().any(|(other, life)| other.role() == Role::AGENT && life.said_ready);
                assert!(id.role() == Role::AGENT || self.announced || agent, "{id} is started without an agent");
                self.living.insert(id, Life::default());
            }
            Action::Drain(id, _) | Action::Terminate(id, _) => {
                // Who is told to stop shuts the port for all who share it.
                let shuts = matches!(action, Action::Terminate(..));
                assert!(self.supervisor.phase.is_stopping() || !shuts, "{id} is told to stop, and the others serve on");
                let later = self.living.keys().find(|other| other.role() > id.role());
                assert!(!self.stopping || later.is_none(), "{id} is stopped before {later:?} has gone");
                self.life(id).leaving = true;
            }
            Action::Kill(id) => {
                let given_up_at = self.now + ABANDON_AFTER;
                let life = self.life(id);
                assert!(!std::mem::replace(&mut life.killed, true), "{id} is killed twice");
                life.given_up_at = Some(given_up_at);
            }
            Action::Abandon(id) => {
                let at = self.living.remove(&id).and_then(|life| life.given_up_at);
                assert_eq!(at, Some(self.now), "{id} is given up at another moment");
            }
            Action::Admit(id) => {
                let life = self.life(id);
                assert!(life.said_ready && !life.leaving && !life.killed, "{id} is let in: {life:?}");
            }
            Action::AnnounceReady => {
                assert!(!std::mem::replace(&mut self.announced, true), "ready is announced twice");
                let everyone = self.living.iter().filter(|(_, life)| life.said_ready && !life.leaving).count();
                assert_eq!(everyone, self.open.len(), "ready is announced, and not everyone is");
            }
            Action::ResendReady(id) => assert!(self.announced, "{id} hears of a ready that nobody has announced"),
            Action::Open(slot) => assert!(self.open.insert(slot), "{slot} is opened twice"),
            Action::Close(slot) => {
                assert!(self.open.remove(&slot), "{slot} is closed twice");
                assert!(!self.living.keys().any(|id| id.slot() == slot), "{slot} is closed on somebody");
            }
            Action::Conclude(id, _) => assert!(self.asked.remove(&id), "{id} is concluded twice"),
            Action::Finish(_) => {
                assert!(self.living.is_empty(), "{:?} outlive the cluster", self.living);
                assert!(self.asked.is_empty(), "{:?} are never concluded", self.asked);
                self.finished = true;
            }
            Action::Record(record) => self.stopping |= ends_the_cluster(&record),
            Action::Stay(_) | Action::Park(_) | Action::Vacate(_) => {}
        }
    }

    /// What must hold wherever a walk has come to.
    pub(super) fn keeps_its_promises(&self) {
        let _telling = self.telling();
        self.believes_in_those_who_live();
        self.forgets_nobody();
        self.ends_in_silence();
        self.minds_no_old_news();
    }

    /// The core has the same processes as the operating system.
    fn believes_in_those_who_live(&self) {
        let places = self.supervisor.roles.iter().flat_map(|role| &role.places);
        let mut believed: Vec<MemberId> =
            places.flat_map(|place| place.processes().map(|incarnation| place.slot.member(incarnation))).collect();
        believed.sort();
        assert!(believed.iter().eq(self.living.keys()), "{believed:?} are believed in, {:?} live", self.living.keys());
    }

    /// Where nothing is due and nobody is on the way, each slot has somebody who serves, or is meant to be empty.
    fn forgets_nobody(&self) {
        let awaits = |life: &Life| !life.said_ready || life.leaving || life.killed;
        if self.finished || self.supervisor.deadline().is_some() || self.living.values().any(awaits) {
            return;
        }
        assert!(self.asked.is_empty(), "{:?} are never concluded", self.asked);
        for child in self.supervisor.which_children() {
            let serves = self.living.keys().filter(|id| id.slot() == child.slot).count();
            let is_empty = match child.state {
                ChildState::Stopped | ChildState::Vacant | ChildState::Parked { probe_at: None } => true,
                ChildState::Unstarted
                | ChildState::Starting
                | ChildState::Ready
                | ChildState::Leaving
                | ChildState::Restarting { .. }
                | ChildState::Parked { probe_at: Some(_) } => false,
            };
            assert_eq!(serves, usize::from(!is_empty), "{} is forgotten: {:?}", child.slot, child.state);
        }
    }

    /// Should nobody say anything any more, not even that it has gone, all that was asked for still comes to an end.
    fn ends_in_silence(&self) {
        let (mut asked, mut stopping) = (self.asked.clone(), self.stopping && !self.finished);
        let mut silent = None;
        for _ in 0..100 {
            if asked.is_empty() && !stopping {
                return;
            }
            let supervisor = silent.get_or_insert_with(|| self.supervisor.clone());
            let Some(due) = supervisor.deadline() else { break };
            for action in supervisor.handle(Event::DeadlinePassed, due) {
                match action {
                    Action::Conclude(id, _) => assert!(asked.remove(&id), "{id} is concluded twice"),
                    Action::Finish(_) => stopping = false,
                    Action::Spawn(_)
                    | Action::Admit(_)
                    | Action::AnnounceReady
                    | Action::ResendReady(_)
                    | Action::Stay(_)
                    | Action::Drain(..)
                    | Action::Terminate(..)
                    | Action::Kill(_)
                    | Action::Abandon(_)
                    | Action::Park(_)
                    | Action::Vacate(_)
                    | Action::Open(_)
                    | Action::Close(_)
                    | Action::Record(_) => {}
                }
            }
        }
        panic!("{asked:?} never end, or the stop does not");
    }

    /// A fact about one who has gone, or what one says who is leaving or has said it before, changes nothing.
    fn minds_no_old_news(&self) {
        let mut same = None;
        let mut tell = |event: Event| {
            let supervisor = same.get_or_insert_with(|| self.supervisor.clone());
            let actions = supervisor.handle(event.clone(), self.now);
            assert!(actions.as_slice().is_empty(), "{event}, which is old news, has consequences: {actions:?}");
        };
        let boom = || Exception::new(ExceptionKind::Panic, "here: boom");
        for (&slot, &last) in &self.spawned {
            for nth in last.saturating_sub(1).max(1)..=last + 1 {
                let id = slot.member(Incarnation::new(nth));
                match self.living.get(&id) {
                    None => {
                        tell(Event::Ready(id));
                        tell(Event::Exception(id, boom()));
                        tell(Event::Unresponsive(id, ABANDON_AFTER));
                        tell(Event::LinkLost(id, LinkError::Protocol("nonsense".into())));
                        tell(Event::Exited(id, Exit::code(0)));
                    }
                    Some(life) if life.leaving || life.killed => {
                        tell(Event::Ready(id));
                        tell(Event::Exception(id, boom()));
                        tell(Event::Unresponsive(id, ABANDON_AFTER));
                        tell(Event::LinkLost(id, LinkError::Closed));
                    }
                    Some(life) if life.said_ready => tell(Event::Ready(id)),
                    Some(_) => {}
                }
            }
        }
        if let Some(supervisor) = same {
            let mut deaf = self.clone();
            deaf.supervisor = supervisor;
            assert_eq!(deaf.key(), self.key(), "old news has changed something");
        }
    }
}

/// Of whose end this tells the cause.
fn end(action: &Action) -> Option<MemberId> {
    match action {
        Action::Record(record) => record.cause.exit().map(|_| record.member),
        _ => None,
    }
}

/// Whether from here on the cluster stops.
fn ends_the_cluster(record: &Record) -> bool {
    match &record.decision {
        Decision::StartFailed | Decision::GiveUp => true,
        Decision::Strategy(Directive::Shutdown | Directive::Escalate(_)) => true,
        Decision::Strategy(
            Directive::Ignore
            | Directive::Restart { .. }
            | Directive::Replace { .. }
            | Directive::Park { .. }
            | Directive::Remove,
        )
        | Decision::AlreadyReplaced
        | Decision::AlreadyDecided
        | Decision::Regrouped(_)
        | Decision::Operated(_)
        | Decision::Stopping => false,
    }
}
