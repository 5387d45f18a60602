//! One life of a cluster, lived by the core and by the model, and compared after each event.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use proptest::test_runner::{TestCaseError, TestCaseResult};

use super::super::*;
use super::model::{Model, Phase, Stage};
use super::plan::Settings;
use super::steps::{News, Step};
use crate::identity::{Incarnation, MemberId, Role, Slot};

/// The core and the model beside each other, and what was said so far.
pub(super) struct Story {
    core: Supervisor,
    model: Model,
    now: Moment,
    operations: u64,
    /// Who was told to go: whoever drains already hears nothing new when its role is told to stop.
    told: BTreeSet<MemberId>,
    /// One line for each event, as the tables write it.
    pub(super) told_so_far: String,
    /// All that the core has said.
    pub(super) sentences: Vec<String>,
}

impl Story {
    pub(super) fn new(plan: &[Settings], seed: u64) -> Story {
        Story {
            core: Supervisor::new(Plan::new(plan.iter().map(Settings::plan).collect()), seed),
            model: Model::new(plan),
            now: Moment::START,
            operations: 0,
            told: BTreeSet::new(),
            told_so_far: String::new(),
            sentences: Vec::new(),
        }
    }

    /// Lives through all of it, to the end that a stop brings. Fails where the two do not say the same.
    pub(super) fn live(&mut self, steps: &[Step], ends: &[(Duration, Urgency)]) -> TestCaseResult {
        self.tell(Event::Boot)?;
        for step in steps {
            if self.model.phase == Phase::Over {
                break;
            }
            self.take(step)?;
        }
        for (after, urgency) in ends {
            self.pass(*after)?;
            self.tell(Event::Stop(*urgency))?;
        }
        // Nobody leaves by itself: whoever is there is killed in its time, and then abandoned.
        self.pass(Duration::from_secs(3_600))?;
        match (&self.model.phase, self.core.deadline()) {
            (Phase::Over, None) => Ok(()),
            (phase, due) => differ(format!("an hour after its stop it is {phase:?}, and {due:?} is due")),
        }
    }

    fn take(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Ready(nth) => match pick(&self.booting(), *nth) {
                Some(id) => self.tell(Event::Ready(id)),
                None => Ok(()),
            },
            Step::AllReady => {
                while let Some(id) = self.booting().first() {
                    self.tell(Event::Ready(*id))?;
                }
                Ok(())
            }
            Step::Happens(nth, news) => {
                let living: Vec<MemberId> = self.model.members().map(|(id, _)| id).collect();
                match pick(&living, *nth) {
                    Some(id) => self.tell(event(id, news)),
                    None => Ok(()),
                }
            }
            Step::OldNews(nth, back, news) => {
                let slots = self.slots();
                let (slot, last) = slots[nth % slots.len()];
                match last.checked_sub(*back) {
                    None | Some(0) => Ok(()),
                    Some(n) => self.tell(event(slot.member(Incarnation::new(n)), news)),
                }
            }
            Step::Pass(time) => self.pass(*time),
            Step::UntilDue(before) => match self.core.deadline() {
                Some(due) => self.pass((due - self.now).saturating_sub(*before)),
                None => Ok(()),
            },
            Step::Oversleep(time) => {
                self.now = self.now + *time;
                Ok(())
            }
            Step::Restart(nth) => self.operate(Operation::Restart(self.slot(*nth))),
            Step::StopSlot(nth) => self.operate(Operation::Stop(self.slot(*nth))),
            Step::Scale(nth, count) => {
                let roles = &self.model.roles;
                let role = roles.get(*nth).map_or(Role::new(7, "ghost"), |role| role.settings.role);
                self.operate(Operation::Scale(role, *count))
            }
        }
    }

    fn booting(&self) -> Vec<MemberId> {
        self.model.members().filter(|(_, stage)| *stage == Stage::Booting).map(|(id, _)| id).collect()
    }

    /// All slots that there ever were, and the last incarnation of each.
    fn slots(&self) -> Vec<(Slot, u32)> {
        self.model.slots.iter().map(|(slot, state)| (*slot, state.last)).collect()
    }

    /// One of them, or one that there never was.
    fn slot(&self, nth: usize) -> Slot {
        let slots = self.slots();
        slots.get(nth % (slots.len() + 1)).map_or(Slot::worker(99), |(slot, _)| *slot)
    }

    fn operate(&mut self, operation: Operation) -> TestCaseResult {
        self.operations += 1;
        self.tell(Event::Operate(OperationId(self.operations), operation))
    }

    fn pass(&mut self, time: Duration) -> TestCaseResult {
        let end = self.now + time;
        while let Some(due) = [self.core.deadline(), self.model.deadline()].into_iter().flatten().min() {
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            self.tell(Event::DeadlinePassed)?;
        }
        self.now = end;
        Ok(())
    }

    /// Tells both, and compares what they say.
    fn tell(&mut self, event: Event) -> TestCaseResult {
        let now = self.now;
        // Before the core, which may panic.
        let _ = write!(self.told_so_far, "{now} {event} => ");
        let actions = self.core.handle(event.clone(), now);
        let mut said: Vec<String> = actions.iter().filter_map(|action| self.sentence(action)).collect();
        let _ = writeln!(self.told_so_far, "{}", said.join(" | "));
        let drawn = actions.iter().filter_map(drawn).collect();
        let mut expected = self.model.step(&event, now, drawn);
        self.sentences.extend(said.iter().cloned());
        if said.iter().rev().skip(1).any(|line| line.starts_with("finish")) {
            return differ("the core goes on after the end".into());
        }
        // Who is told first is for the tables.
        said.sort();
        expected.sort();
        if said != expected {
            return differ(format!("the core says {said:#?}\nthe model says {expected:#?}"));
        }
        for (slot, state) in &self.model.slots {
            let at = self.core.find(*slot).expect("the model knows no other slots");
            let counted = self.core.roles[at.0].places[at.1].history.iter().count();
            if counted != state.failures.len() {
                return differ(format!("{slot} failed {} times, and {counted} count", state.failures.len()));
            }
        }
        match (self.core.deadline(), self.model.deadline()) {
            (Some(core), _) if core <= now && event == Event::DeadlinePassed => differ("it goes on being due".into()),
            (Some(core), Some(model)) if core <= model => Ok(()),
            (_, None) => Ok(()),
            (core, Some(model)) => differ(format!("the core wakes at {core:?}, and {model} is due")),
        }
    }

    /// What an action says, in the words of the model: texts and stderr are left to the tables.
    fn sentence(&mut self, action: &Action) -> Option<String> {
        match action {
            Action::Terminate(id, _) if !self.told.insert(*id) => None,
            Action::Drain(id, _) | Action::Terminate(id, _) | Action::Kill(id) => {
                self.told.insert(*id);
                Some(action.to_string())
            }
            Action::Record(record) => {
                let cause = match &record.cause {
                    Cause::Exited(_) => "exited",
                    Cause::Left(_) => "left",
                    Cause::Overdue(..) => "overdue",
                    Cause::Hurried(_) => "hurried",
                    Cause::Displaced(_) => "displaced",
                    Cause::BootFailed(_) => "boot failed",
                    Cause::LinkLost(..) => "link lost",
                    Cause::Exception(_) => "exception",
                    Cause::Unresponsive(_) => "unresponsive",
                    Cause::NobodyReady(_) => "nobody ready",
                };
                let decision = match &record.decision {
                    Decision::Strategy(Directive::Restart { scope: Scope::One, after }) => {
                        format!("restart in {after:?}")
                    }
                    Decision::Strategy(Directive::Escalate(_)) => "give up".into(),
                    decision => decision.to_string(),
                };
                Some(format!("{}: {cause} -> {decision}", record.member))
            }
            Action::Conclude(id, Conclusion::Failed(OperationError::BootFailed { member, .. })) => {
                Some(format!("{id} failed: {member} did not become ready"))
            }
            Action::Finish(outcome) => {
                let Outcome { verdict, leftovers } = &**outcome;
                let why = match verdict {
                    Verdict::Stopped => "stopped",
                    Verdict::Completed(_) => "completed",
                    Verdict::StartFailed(..) => "start failed",
                    Verdict::GaveUp(_) => "gave up",
                };
                Some(format!("finish: {why}, still there: {leftovers:?}"))
            }
            Action::Spawn(_)
            | Action::Admit(_)
            | Action::AnnounceReady
            | Action::ResendReady(_)
            | Action::Stay(_)
            | Action::Abandon(_)
            | Action::Park(_)
            | Action::Vacate(_)
            | Action::Open(_)
            | Action::Close(_)
            | Action::Conclude(..) => Some(action.to_string()),
        }
    }
}

fn differ(how: String) -> TestCaseResult {
    Err(TestCaseError::fail(how))
}

fn pick(of: &[MemberId], nth: usize) -> Option<MemberId> {
    of.get(nth.checked_rem(of.len())?).copied()
}

fn event(id: MemberId, news: &News) -> Event {
    match news {
        News::Ready => Event::Ready(id),
        News::Exited(exit) => Event::Exited(id, exit.clone()),
        News::Exception(kind) => Event::Exception(id, Exception::new(*kind, "boom")),
        News::LinkLost(error) => Event::LinkLost(id, error.clone()),
        News::Unresponsive => Event::Unresponsive(id, Duration::from_secs(30)),
    }
}

/// What the dice of the core have said of whom.
fn drawn(action: &Action) -> Option<(MemberId, Duration)> {
    let Action::Record(record) = action else { return None };
    let Record { member, decision: Decision::Strategy(directive), .. } = &**record else { return None };
    match directive {
        Directive::Restart { after, .. } | Directive::Park { probe: Some(after) } => Some((*member, *after)),
        _ => None,
    }
}
