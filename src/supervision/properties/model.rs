//! What the core must do, said a second time: from the design and `docs/lifecycle.md`, and as simply as it can be said.
//!
//! A slot is a list of processes, and a word for what is meant when nobody sits in it; what the core counts and indexes
//! is looked for here each time. Chance is not thrown but heard: the model knows between what a delay may lie, and takes
//! the one that the core has drawn.
//!
//! ```text
//!  model            what is known, and what is due
//!  ├── phases       roles up, roles down
//!  ├── lives        what members say and do
//!  ├── answers      what a strategy answers, and what follows
//!  ├── patience     how long nobody may be of use
//!  └── wishes       what operators ask for
//! ```

mod answers;
mod lives;
mod patience;
mod phases;
mod wishes;

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Event, Moment, OperationId};
use super::plan::Settings;
use crate::identity::{MemberId, Role, Slot};
use patience::Missed;

const SECOND: Duration = Duration::from_secs(1);

/// All that is known of a cluster, and what has to be said in this step.
pub(super) struct Model {
    pub(super) phase: Phase,
    pub(super) roles: Vec<RoleModel>,
    /// In the order of the start.
    pub(super) slots: BTreeMap<Slot, SlotModel>,
    now: Moment,
    said: Vec<String>,
    /// The delays that the core has drawn in this step.
    drawn: BTreeMap<MemberId, Duration>,
    stop_asked: Option<Moment>,
    leftovers: Vec<MemberId>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    Idle,
    Starting,
    Running,
    /// Stopped: exit code 0. Start failed: 1. Gave up: 3.
    Stopping(&'static str),
    Over,
}

pub(super) struct RoleModel {
    pub(super) settings: Settings,
    failures: Vec<Moment>,
    missed: Option<Missed>,
    scaling: Option<OperationId>,
}

pub(super) struct SlotModel {
    slot: Slot,
    pub(super) last: u32,
    processes: Vec<Process>,
    empty: Empty,
    /// When its processes failed, and whether young.
    pub(super) failures: Vec<(Moment, bool)>,
    /// How often in a row it was parked.
    parked: usize,
    task: Option<Task>,
    /// The restart that waits for the task.
    next: Option<OperationId>,
    /// Who scales it away.
    closing: Option<OperationId>,
    /// Whether the scaling of its role waits for it.
    scaled: bool,
}

/// What is meant when nobody sits in a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Empty {
    NotYet,
    /// Backing off, or parked. `None`: for good.
    Until(Option<Moment>),
    Vacant,
    Stopped,
    Closed,
}

#[derive(Clone, Copy)]
enum Task {
    /// Somebody later than this one, and ready.
    Restart(OperationId, u32),
    Stop(OperationId),
}

#[derive(Clone, Copy)]
struct Process {
    id: MemberId,
    stage: Stage,
    /// When it is killed; if it was, when nobody waits for it any more.
    due: Option<Moment>,
    /// The word for why, if it was killed.
    killed: Option<&'static str>,
    /// How long it was ready, until it was told to go.
    served: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    Booting,
    Serving(Moment),
    Leaving(Why),
}

/// Why somebody is to go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    /// The slot does not wait for it.
    Replaced,
    BootException,
    BootTimeout,
    LinkLost,
    /// Its successor is started so long after its end.
    Silent(Duration),
    Operator(OperationId),
    Stop,
}

impl Model {
    pub(super) fn new(plan: &[Settings]) -> Model {
        let slots = plan.iter().flat_map(|role| (0..role.count).map(|index| Slot::new(role.role, index)));
        let role = |settings: &Settings| {
            let settings = settings.clone();
            RoleModel { settings, failures: Vec::new(), missed: None, scaling: None }
        };
        Model {
            phase: Phase::Idle,
            roles: plan.iter().map(role).collect(),
            slots: slots.map(|slot| (slot, SlotModel::new(slot, Empty::NotYet))).collect(),
            now: Moment::START,
            said: Vec::new(),
            drawn: BTreeMap::new(),
            stop_asked: None,
            leftovers: Vec::new(),
        }
    }

    /// What the core has to say to this event, in any order, if these are the delays that it has drawn.
    pub(super) fn step(&mut self, event: &Event, now: Moment, drawn: BTreeMap<MemberId, Duration>) -> Vec<String> {
        (self.now, self.drawn) = (now, drawn);
        match event {
            Event::Boot if self.phase == Phase::Idle => self.phase = Phase::Starting,
            Event::Boot => {}
            Event::Ready(id) => self.ready(*id),
            Event::Exception(id, exception) => self.exception(*id, exception.kind),
            Event::Unresponsive(id, _) => self.unresponsive(*id),
            Event::LinkLost(id, error) => self.link_lost(*id, error),
            Event::Exited(id, exit) => self.exited(*id, exit),
            Event::Operate(id, operation) => self.operate(*id, *operation),
            Event::Stop(urgency) => self.stop(*urgency),
            Event::DeadlinePassed => {
                // At one moment slots come before patience: who is started then has a chance.
                while let Some((_, patience, role, slot)) = self.dues().min().filter(|(due, ..)| *due <= now) {
                    match patience {
                        false => self.overdue(slot),
                        true => self.patience_is_out(role),
                    }
                    self.look_for_the_missed();
                }
            }
        }
        self.look_for_the_missed();
        self.move_on();
        std::mem::take(&mut self.said)
    }

    /// When it has something to say unasked.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.dues().min().map(|(due, ..)| due)
    }

    fn dues(&self) -> impl Iterator<Item = (Moment, bool, Role, Slot)> {
        let slots = self.slots.values().filter_map(|slot| Some((slot.due()?, false, slot.slot.role(), slot.slot)));
        let roles = self.roles.iter().filter(|_| self.phase == Phase::Running);
        let roles = roles.filter_map(|role| {
            let role = role.settings.role;
            Some((self.patience_due(role)?, true, role, Slot::new(role, 0)))
        });
        slots.chain(roles)
    }

    /// Something of the slot is due: a restart, a boot that took too long, somebody who was to go, or was killed.
    fn overdue(&mut self, slot: Slot) {
        let now = self.now;
        let is_due = |due: Option<Moment>| due.is_some_and(|due| due <= now);
        if matches!((self.slots[&slot].seat(), self.slots[&slot].empty), (None, Empty::Until(due)) if is_due(due)) {
            self.spawn(slot);
        }
        let overdue = |process: &Process| process.id.slot() == slot && is_due(process.due);
        for Process { id, stage, killed, .. } in self.living().into_iter().filter(overdue) {
            match (killed, stage) {
                (Some(_), _) => self.abandon(id),
                (None, Stage::Booting) => {
                    self.leave(id, Why::BootTimeout, Duration::ZERO);
                    self.kill(id, "overdue");
                }
                (None, Stage::Serving(_) | Stage::Leaving(_)) => self.kill(id, "overdue"),
            }
        }
    }

    fn say(&mut self, line: impl Into<String>) {
        self.said.push(line.into());
    }

    fn settings(&self, role: Role) -> Settings {
        self.roles.iter().find(|state| state.settings.role == role).expect("it is in the plan").settings.clone()
    }

    fn role(&mut self, role: Role) -> &mut RoleModel {
        self.roles.iter_mut().find(|state| state.settings.role == role).expect("it is in the plan")
    }

    fn slot(&mut self, slot: Slot) -> &mut SlotModel {
        self.slots.get_mut(&slot).expect("there is such a slot")
    }

    fn slots_of(&self, role: Role) -> impl Iterator<Item = &SlotModel> {
        self.slots.values().filter(move |slot| slot.slot.role() == role)
    }

    fn all_serve(&self, role: Role) -> bool {
        self.slots_of(role).all(|slot| slot.serving_since().is_some())
    }

    /// All processes that there are: role by role, slot by slot.
    fn living(&self) -> Vec<Process> {
        self.slots.values().flat_map(|slot| slot.processes.iter().copied()).collect()
    }

    fn process(&mut self, id: MemberId) -> &mut Process {
        let mut all = self.slot(id.slot()).processes.iter_mut();
        all.find(|process| process.id == id).expect("it is there")
    }

    /// Those who are there, and how they stand.
    pub(super) fn members(&self) -> impl Iterator<Item = (MemberId, Stage)> {
        self.living().into_iter().map(|process| (process.id, process.stage))
    }

    /// How it stands, unless what is said of it is old news.
    fn stage(&self, id: MemberId) -> Option<Stage> {
        self.members().find(|(member, _)| *member == id).map(|(_, stage)| stage)
    }
}

impl SlotModel {
    fn new(slot: Slot, empty: Empty) -> SlotModel {
        let (last, processes, failures, parked) = (0, Vec::new(), Vec::new(), 0);
        let (task, next, closing, scaled) = (None, None, None, false);
        SlotModel { slot, last, processes, empty, failures, parked, task, next, closing, scaled }
    }

    /// The one whom the slot goes on with, or waits for.
    fn seat(&self) -> Option<Process> {
        self.processes.iter().find(|process| process.stage != Stage::Leaving(Why::Replaced)).copied()
    }

    /// Those who drain beside it.
    fn beside(&self) -> Vec<MemberId> {
        let all = self.processes.iter().filter(|process| process.stage == Stage::Leaving(Why::Replaced));
        all.map(|process| process.id).collect()
    }

    fn serving_since(&self) -> Option<Moment> {
        match self.seat()?.stage {
            Stage::Serving(since) => Some(since),
            Stage::Booting | Stage::Leaving(_) => None,
        }
    }

    fn due(&self) -> Option<Moment> {
        let restart = match (self.seat(), self.empty) {
            (None, Empty::Until(due)) => due,
            (None, Empty::NotYet | Empty::Vacant | Empty::Stopped | Empty::Closed) | (Some(_), _) => None,
        };
        self.processes.iter().filter_map(|process| process.due).chain(restart).min()
    }
}
