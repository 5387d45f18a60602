//! A point of a walk: the supervisor, the processes as the operating system has them, and what may still happen.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::super::*;
use crate::identity::{MemberId, Slot};

/// Who has been ready for this long has been of use.
const OF_USE: Duration = Duration::from_secs(1);

/// What can go wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    Exit,
    LinkLost,
    LinkBroken,
    Exception,
    Unresponsive,
    /// It does not say ready in time.
    SlowBoot,
    /// It was killed, and does not go.
    Unkillable,
}

impl Crash {
    pub(super) const USUAL: [Crash; 4] = [Crash::Exit, Crash::LinkLost, Crash::Exception, Crash::Unresponsive];
    pub(super) const EVERY: [Crash; 7] = [
        Crash::Exit,
        Crash::LinkLost,
        Crash::LinkBroken,
        Crash::Exception,
        Crash::Unresponsive,
        Crash::SlowBoot,
        Crash::Unkillable,
    ];
}

/// What may still happen in a walk.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) crashes: usize,
    pub(super) kinds: &'static [Crash],
    /// What an operator will ask for, in any order.
    pub(super) operations: Vec<(OperationId, Operation)>,
    /// In this order.
    pub(super) stops: Vec<Urgency>,
}

/// A process, as the operating system has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    pub(super) said_ready: bool,
    /// It was asked to go, or has lost its link: its end is nobody's crash.
    pub(super) leaving: bool,
    pub(super) killed: bool,
    /// When nobody waits for it any more, once it was killed.
    pub(super) given_up_at: Option<Moment>,
}

/// What happens next.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Tell(Event),
    /// A second, in which nothing is due.
    Wait,
}

/// A point of a walk.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) supervisor: Supervisor,
    pub(super) now: Moment,
    pub(super) living: BTreeMap<MemberId, Life>,
    /// How many processes each slot has had.
    pub(super) spawned: BTreeMap<Slot, u32>,
    pub(super) open: BTreeSet<Slot>,
    pub(super) announced: bool,
    /// Operations that have not been concluded.
    pub(super) asked: BTreeSet<OperationId>,
    pub(super) stopping: bool,
    pub(super) finished: bool,
    pub(super) left: Left,
    /// How it came to this.
    trail: Option<Rc<Trail>>,
}

/// The choices of a walk, the last one first. Walks share their beginnings.
struct Trail {
    choice: Choice,
    before: Option<Rc<Trail>>,
}

/// Tells the walk, should it end in a panic.
pub(super) struct Telling(Option<Rc<Trail>>);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let walk = std::iter::successors(self.0.as_deref(), |trail| trail.before.as_deref());
            let walk: Vec<_> = walk.map(|trail| &trail.choice).collect();
            walk.iter().rev().for_each(|choice| match choice {
                Choice::Tell(event) => println!("{event}"),
                Choice::Wait => println!("a second"),
            });
        }
    }
}

impl Point {
    pub(super) fn begin(plan: Plan, left: Left) -> Point {
        let mut point = Point {
            now: Moment::START,
            living: BTreeMap::new(),
            spawned: BTreeMap::new(),
            open: plan.roles().iter().flat_map(RolePlan::slots).collect(),
            announced: false,
            asked: BTreeSet::new(),
            stopping: false,
            finished: false,
            left,
            trail: None,
            supervisor: Supervisor::new(plan, 1),
        };
        point.tell(Event::Boot);
        point
    }

    pub(super) fn telling(&self) -> Telling {
        Telling(self.trail.clone())
    }

    /// All that can happen here.
    pub(super) fn choices(&self) -> Vec<Choice> {
        if self.finished {
            return Vec::new();
        }
        let mut choices = Vec::new();
        let mut tell = |event| choices.push(Choice::Tell(event));
        for (&id, life) in &self.living {
            if life.leaving || life.killed {
                tell(Event::Exited(id, Exit::code(0)));
                continue;
            }
            if !life.said_ready {
                tell(Event::Ready(id));
            }
            for &kind in self.left.kinds.iter().filter(|_| self.left.crashes > 0) {
                match kind {
                    Crash::Exit => tell(Event::Exited(id, Exit::signal(9))),
                    Crash::LinkLost => tell(Event::LinkLost(id, LinkError::Closed)),
                    Crash::LinkBroken => tell(Event::LinkLost(id, LinkError::Protocol("nonsense".into()))),
                    Crash::Exception => {
                        tell(Event::Exception(id, Exception::new(ExceptionKind::Panic, "here: boom")));
                    }
                    Crash::Unresponsive if life.said_ready => tell(Event::Unresponsive(id, Duration::from_secs(30))),
                    // Not before it was ready: until then it has a deadline.
                    Crash::Unresponsive => {}
                    // When its moment comes.
                    Crash::SlowBoot | Crash::Unkillable => {}
                }
            }
        }
        for &(id, operation) in &self.left.operations {
            tell(Event::Operate(id, operation));
        }
        if let Some(&urgency) = self.left.stops.first() {
            tell(Event::Stop(urgency));
        }
        if let Some(due) = self.supervisor.deadline()
            && self.crashes_until(due).is_some_and(|crashes| crashes <= self.left.crashes)
        {
            tell(Event::DeadlinePassed);
        }
        let is_young = |id: &MemberId| match self.supervisor.stand(id.slot()) {
            Some((Seat::Ready { since, .. }, ..)) => self.now - *since < OF_USE,
            Some(_) | None => false,
        };
        let soon = self.now + OF_USE;
        if self.supervisor.deadline().is_none_or(|due| due > soon) && self.living.keys().any(is_young) {
            choices.push(Choice::Wait);
        }
        choices
    }

    /// How many members were too slow, or killed in vain, were it `due` by now. `None`: more than may be.
    fn crashes_until(&self, due: Moment) -> Option<usize> {
        let is_slow = |id: &&MemberId| match self.supervisor.stand(id.slot()) {
            Some((Seat::Starting { ready_by, .. }, ..)) => *ready_by <= due && !self.living[id].leaving,
            Some(_) | None => false,
        };
        let slow = self.living.keys().filter(is_slow).count();
        let in_vain = self.living.values().filter(|life| life.given_up_at.is_some_and(|at| at <= due)).count();
        let may = |kind| self.left.kinds.contains(&kind);
        let is_too_much = (slow > 0 && !may(Crash::SlowBoot)) || (in_vain > 0 && !may(Crash::Unkillable));
        (!is_too_much).then_some(slow + in_vain)
    }

    pub(super) fn take(&mut self, choice: Choice) {
        self.trail = Some(Rc::new(Trail { choice: choice.clone(), before: self.trail.take() }));
        let _telling = self.telling();
        match choice {
            Choice::Wait => self.now = self.now + OF_USE,
            Choice::Tell(event) => self.tell(event),
        }
    }

    fn tell(&mut self, event: Event) {
        let mut dead = None;
        match &event {
            Event::DeadlinePassed => {
                let now = self.supervisor.deadline().map_or(self.now, |due| due.max(self.now));
                self.left.crashes -= self.crashes_until(now).unwrap_or(0);
                self.now = now;
            }
            Event::Ready(id) => self.life(*id).said_ready = true,
            Event::Exited(id, _) => {
                let life = self.living.remove(id).expect("it lives");
                self.left.crashes -= usize::from(!life.leaving && !life.killed);
                dead = Some(*id);
            }
            Event::LinkLost(id, _) => {
                self.life(*id).leaving = true;
                self.left.crashes -= 1;
            }
            Event::Exception(id, _) => {
                // Before it is ready it ends itself.
                let life = self.life(*id);
                life.leaving = !life.said_ready;
                self.left.crashes -= 1;
            }
            Event::Unresponsive(..) => self.left.crashes -= 1,
            Event::Operate(id, _) => {
                self.left.operations.retain(|(left, _)| left != id);
                self.asked.insert(*id);
            }
            Event::Stop(_) => {
                self.left.stops.remove(0);
                self.stopping = true;
            }
            Event::Boot => {}
        }
        let actions = self.supervisor.handle(event, self.now);
        self.obey(actions, dead);
    }

    pub(super) fn life(&mut self, id: MemberId) -> &mut Life {
        self.living.get_mut(&id).unwrap_or_else(|| panic!("{id} is not there"))
    }
}
