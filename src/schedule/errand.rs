//! One run, from the agent's side: who is to do it, and how it ended.

use std::fmt::Write;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::course::{Ended, Running};
use super::declared::{Checked, Place};
use super::jobs::{End, Order, PATIENCE, RUN, TEXT, Told, Verb};
use super::status::RunOutcome;
use super::wall::Wall;
use crate::context::Context;
use crate::identity::{MemberId, Role};
use crate::messenger::{CallError, Reason, Recipient};
use crate::process::clock;
use crate::roster::{MemberState, MemberStatus};
use crate::text::cut;

/// So many members where a run failed are told apart, and it is tried again on these. What is known of a schedule is to fit
/// into a message.
const TOLD_APART: usize = 500;

/// Beyond what a run may take: for the answer to arrive.
const SLACK: Duration = Duration::from_secs(5);

/// How long members may take to say what they know. One that is stuck for longer knows nothing.
const ASKED: Duration = Duration::from_secs(10);

/// How long the end of a member may take to be seen here.
const SEEN: Duration = Duration::from_secs(1);

/// A run that is to be ordered, or was.
pub(super) struct Errand {
    cx: Context,
    place: Place<Role>,
    run: Running,
    order: Order,
}

impl Errand {
    pub(super) fn new(cx: &Context, schedule: &str, checked: &Checked, run: Running, now: Wall) -> Errand {
        let Running { number, tick, attempt, .. } = run;
        let (verb, schedule) = (Verb::Run { by: now.plus(PATIENCE) }, schedule.to_owned());
        let order = Order { verb, schedule, number, tick, attempt, deadline: checked.deadline };
        Errand { cx: cx.clone(), place: checked.place, run, order }
    }

    /// Has it done. Resolves when it has ended, or nobody can know.
    pub(super) async fn order(self) -> Ended {
        let number = self.run.number;
        let within = PATIENCE + self.order.deadline + SLACK;
        match self.place {
            Place::One(role) => {
                let Answer { by, heard } = call(&self.cx, &self.order, within, Recipient::Random(role)).await;
                let End { outcome, span } = heard.end();
                Ended { number, outcome, by: by.map(|id| id.to_string()), failed_on: Vec::new(), span }
            }
            Place::All(role) => {
                let is_named = |id: MemberId| self.run.on.is_empty() || self.run.on.contains(&id.slot().to_string());
                let members = self.members(|member| {
                    member.id.role() == role && member.state == MemberState::Ready && is_named(member.id)
                });
                let mut outcomes = Vec::new();
                for (id, call) in self.call_each(members.await, self.order.verb, within) {
                    let heard = call.await.map_or(Heard::Nothing(RunOutcome::Unknown), |answer| answer.heard);
                    outcomes.push((id, heard.end().outcome));
                }
                sum(number, &outcomes, RunOutcome::NoMember)
            }
        }
    }

    /// Asks what has become of it. It was ordered by a predecessor, and nobody else is told to do it.
    pub(super) async fn ask(self) -> Ended {
        let number = self.run.number;
        let (Place::One(role) | Place::All(role)) = self.place;
        let members = self.members(|member| member.id.role() == role && member.pid.is_some()).await;
        let (asked, mut known) = (members.len(), Vec::new());
        for (id, call) in self.call_each(members, Verb::Ask, ASKED) {
            // Who cannot be asked does not know.
            let Ok(Answer { heard: Heard::Ended(end), .. }) = call.await else { continue };
            known.push((id, end));
            if matches!(self.place, Place::One(_)) {
                break;
            }
        }
        match self.place {
            Place::One(_) => match known.pop() {
                Some((id, End { outcome, span })) => {
                    Ended { number, outcome, by: Some(id.to_string()), failed_on: Vec::new(), span }
                }
                None => sum(number, &[], RunOutcome::Unknown),
            },
            Place::All(_) => {
                let outcomes: Vec<_> = known.into_iter().map(|(id, end)| (id, end.outcome)).collect();
                let all_done = outcomes.iter().all(|(_, outcome)| outcome.is_done());
                // Of those that do not know of it one may have had it before it was replaced.
                match all_done && outcomes.len() < asked {
                    true => sum(number, &[], RunOutcome::Unknown),
                    false => sum(number, &outcomes, RunOutcome::Unknown),
                }
            }
        }
    }

    async fn members(&self, which: impl Fn(&MemberStatus) -> bool) -> Vec<MemberId> {
        let roster = self.cx.members().await.current();
        roster.members.iter().filter(|member| which(member)).map(|member| member.id).collect()
    }

    /// Each is asked at the same time. Who says that it runs is asked how it ends.
    fn call_each(&self, members: Vec<MemberId>, verb: Verb, within: Duration) -> Vec<(MemberId, JoinHandle<Answer>)> {
        let call_one = |id: MemberId| {
            let (cx, order) = (self.cx.clone(), Order { verb, ..self.order.clone() });
            self.cx.spawn(async move {
                match call(&cx, &order, within, id.into()).await {
                    Answer { heard: Heard::Runs, .. } => {
                        let (order, within) = (Order { verb: Verb::Await, ..order }, order.deadline + SLACK);
                        call(&cx, &order, within, id.into()).await
                    }
                    answer => answer,
                }
            })
        };
        members.into_iter().map(|id| (id, call_one(id))).collect()
    }
}

/// What a member says of a run, or why it says nothing; and which, where that is known.
struct Answer {
    by: Option<MemberId>,
    heard: Heard,
}

enum Heard {
    Ended(End),
    Runs,
    Nothing(RunOutcome),
}

impl Heard {
    fn end(self) -> End {
        match self {
            Heard::Ended(end) => end,
            // Whoever does it tells when it has.
            Heard::Runs => End { outcome: RunOutcome::Unknown, span: None },
            Heard::Nothing(outcome) => End { outcome, span: None },
        }
    }
}

async fn call(cx: &Context, order: &Order, within: Duration, to: Recipient) -> Answer {
    let began = clock::now();
    let patience = within.min(PATIENCE);
    let (told, by) = cx.messenger().request_from::<Told>(patience, within, to, RUN, order).await;
    let heard = match told {
        Ok(Told::Ended(end)) => Heard::Ended(end),
        Ok(Told::Runs) => Heard::Runs,
        Ok(Told::Stranger) => Heard::Nothing(RunOutcome::Unknown),
        // It has waited for a member for as long as orders do, and no member has had it.
        Err(CallError::Undelivered(Reason::TimedOut)) if clock::now().duration_since(began) < within => {
            Heard::Nothing(RunOutcome::NoMember)
        }
        Err(CallError::Undelivered(Reason::Died)) => Heard::Nothing(RunOutcome::Died(cause(cx, by).await)),
        Err(error) => Heard::Nothing(outcome_of(error)),
    };
    Answer { by, heard }
}

/// How that member ended, as soon as it is seen here.
async fn cause(cx: &Context, id: Option<MemberId>) -> String {
    let Some(id) = id else { return "it is not known which".to_owned() };
    let mut members = cx.members().await;
    let seen = tokio::time::timeout(SEEN, members.wait_for(|roster| roster.has_seen_end_of(id))).await;
    let roster = seen.unwrap_or_else(|_| members.current());
    // A successor's record has the end of the one before it.
    let of_slot = roster.members.iter().filter(|status| status.id.slot() == id.slot());
    let last = of_slot.filter_map(|status| status.last_exit.clone()).next_back();
    format!("{id}: {}", last.unwrap_or_else(|| "how is not known".to_owned()))
}

fn outcome_of(error: CallError) -> RunOutcome {
    match error {
        CallError::Undelivered(reason) => match reason {
            Reason::Gone | Reason::Parked => RunOutcome::NoMember,
            Reason::NoHandler => RunOutcome::NoJob,
            Reason::TimedOut => RunOutcome::TimedOut,
            other => RunOutcome::Failed(other.to_string()),
        },
        CallError::Dropped => RunOutcome::Panicked,
        // Nobody is left to hear it.
        CallError::Closed => RunOutcome::Unknown,
        CallError::Send(_) | CallError::Failed(_) | CallError::Undecodable => RunOutcome::Failed(error.to_string()),
    }
}

/// What the outcomes on several members come to. `nobody`: what it comes to without any.
fn sum(number: u64, outcomes: &[(MemberId, RunOutcome)], nobody: RunOutcome) -> Ended {
    let ended = |outcome, failed_on| Ended { number, outcome, by: None, failed_on, span: None };
    if outcomes.is_empty() {
        return ended(nobody, Vec::new());
    }
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.is_done()).collect();
    if failed.is_empty() {
        return ended(RunOutcome::Done, Vec::new());
    }
    let mut text = format!("on {} of {} members", failed.len(), outcomes.len());
    for (position, (id, outcome)) in failed.iter().enumerate() {
        let _ = write!(text, "{} {id}: {outcome}", if position == 0 { ":" } else { ";" });
    }
    let failed_on = failed.iter().take(TOLD_APART).map(|(id, _)| id.slot().to_string()).collect();
    ended(RunOutcome::Failed(cut(&text, TEXT).to_owned()), failed_on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Slot;

    #[test]
    fn several_members_are_summed_up_and_those_that_failed_are_named() {
        let worker = |index| Slot::worker(index).member(crate::identity::Incarnation::FIRST);
        let one = |index, outcome| (worker(index), outcome);
        assert_eq!(sum(1, &[], RunOutcome::NoMember).outcome, RunOutcome::NoMember);
        let done = sum(1, &[one(0, RunOutcome::Done), one(1, RunOutcome::Done)], RunOutcome::NoMember);
        assert_eq!(done.outcome, RunOutcome::Done);
        let died = RunOutcome::Died("of it".into());
        let outcomes = [one(0, RunOutcome::Done), one(1, died), one(2, RunOutcome::Failed("no".into()))];
        let failed = sum(1, &outcomes, RunOutcome::NoMember);
        let text = "on 2 of 3 members: worker/1#1: whoever ran it died: of it; worker/2#1: failed: no";
        assert_eq!(failed.outcome, RunOutcome::Failed(text.into()));
        assert_eq!(failed.failed_on, ["worker/1", "worker/2"]);
    }
}
