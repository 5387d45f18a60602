//! Who is there and how they are: what the master knows, what `/proc` tells of their processes, and what only they know, as
//! far as they say it in time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::inquiry::{Inquiries, Inquiry};
use super::member::CONNECTIONS;
use super::reply::{ClusterStatus, MemberReport, ScheduleReport};
use super::sample::{Counted, Rates, Samples};
use crate::cluster::ClusterHandle;
use crate::identity::MemberId;
use crate::process::clock;
use crate::process::usage::{Usage, is_thread_of};
use crate::roster::{Life, MemberState, MemberStatus};
use crate::text::cut;

/// How long those are waited for who are asked. One that turns over answers within a few milliseconds.
const WAIT: Duration = Duration::from_millis(100);

/// How long an answer may take before the same is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most members that a status lists: more is nothing that somebody would read, and has to be written in one piece.
const MEMBERS: usize = 4096;

/// The same of schedules.
const SCHEDULES: usize = 1024;

/// The longest end that is told, in bytes: the text of a panic may be in it.
const LAST_EXIT: usize = 1024;

/// So many are looked at before others have their turn: the loop of a master is one thread.
const BREATH: usize = 8;

/// What has been seen, for those who look again.
#[derive(Debug, Default)]
pub(super) struct Survey {
    samples: Mutex<Samples<Option<MemberId>>>,
    connections: Inquiries<MemberId, u64>,
    schedules: Inquiries<(), Vec<ScheduleReport>>,
}

impl Survey {
    /// A cluster at this moment, within `deadline`, or 100 ms where that is longer.
    pub(super) async fn status(&self, cluster: &ClusterHandle, deadline: Duration) -> ClusterStatus {
        let due = clock::now() + WAIT.min(deadline);
        let (roster, stage) = (cluster.status(), cluster.stage());
        let lives: BTreeMap<MemberId, Life> = cluster.lives().into_iter().map(|life| (life.id, life)).collect();
        let uptime = cluster.now().since_start();
        let omitted = roster.members.len().saturating_sub(MEMBERS);
        let members = &roster.members[..roster.members.len() - omitted];

        let mut asked: BTreeMap<MemberId, Inquiry<u64>> = BTreeMap::new();
        for (nth, member) in members.iter().filter(|member| can_say(member.state)).enumerate() {
            asked.insert(member.id, self.ask_connections(cluster, member.id));
            breathe(nth).await;
        }
        let mut schedules = self.ask_schedules(cluster);

        let mut usages: BTreeMap<MemberId, Usage> = BTreeMap::new();
        // A member in a thread has none of its own.
        let processes = lives.values().filter(|life| !is_thread_of(roster.master_pid, life.pid));
        for (nth, life) in processes.enumerate() {
            if clock::now() >= due {
                break;
            }
            if let Some(usage) = Usage::of(life.pid) {
                usages.insert(life.id, usage);
            }
            breathe(nth).await;
        }
        until(due, async {
            for inquiry in asked.values_mut() {
                inquiry.settled().await;
            }
            schedules.settled().await;
        })
        .await;

        let of_master = Usage::of(roster.master_pid);
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let there: HashSet<MemberId> = lives.keys().copied().collect();
        samples.retain(|id| id.is_none_or(|id| there.contains(&id)));
        let counted = Counted { age: uptime, cpu: of_master.map(|usage| usage.cpu), messages: 0 };
        let master = samples.look(None, counted);
        let reports = members.iter().map(|member| {
            let (life, usage) = (lives.get(&member.id), usages.get(&member.id));
            let rates = life.map(|life| {
                let cpu = usage.map(|usage| usage.cpu);
                samples.look(Some(member.id), Counted { age: life.age, cpu, messages: life.messages })
            });
            report(member, life, usage, rates, asked.get(&member.id).and_then(Inquiry::answer))
        });
        let reports: Vec<MemberReport> = reports.collect();
        let is_silent = |member: &&MemberStatus| match asked.get(&member.id) {
            Some(inquiry) => inquiry.answer().is_none(),
            // That it does not answer is known.
            None => member.state == MemberState::Unresponsive,
        };
        let silent = members.iter().filter(is_silent);
        ClusterStatus {
            master_pid: roster.master_pid,
            uptime,
            stage: stage.to_string(),
            cpu: master.cpu,
            memory: of_master.map(|usage| usage.memory),
            members: reports,
            omitted,
            partial: silent.map(|member| member.id.to_string()).collect(),
            schedules: schedules.answer().map(|mut schedules| {
                schedules.truncate(SCHEDULES);
                schedules
            }),
        }
    }

    /// How the schedules are. `None`: nobody has said so within `deadline`.
    pub(super) async fn schedules(&self, cluster: &ClusterHandle, deadline: Duration) -> Option<Vec<ScheduleReport>> {
        let mut inquiry = self.ask_schedules(cluster);
        until(clock::now() + deadline, inquiry.settled()).await;
        inquiry.answer()
    }

    fn ask_connections(&self, cluster: &ClusterHandle, id: MemberId) -> Inquiry<u64> {
        let messenger = cluster.messenger();
        self.connections.ask(id, async move {
            messenger.request_from::<u64>(WAIT, PATIENCE, id.into(), CONNECTIONS, &()).await.0.ok()
        })
    }

    #[cfg(feature = "schedule")]
    fn ask_schedules(&self, cluster: &ClusterHandle) -> Inquiry<Vec<ScheduleReport>> {
        let messenger = cluster.messenger();
        self.schedules.ask((), async move {
            let known = messenger.schedules(PATIENCE).await.ok()?;
            Some(known.iter().map(ScheduleReport::of).collect())
        })
    }

    #[cfg(not(feature = "schedule"))]
    fn ask_schedules(&self, _: &ClusterHandle) -> Inquiry<Vec<ScheduleReport>> {
        self.schedules.ask((), std::future::ready(Some(Vec::new())))
    }
}

/// Whether one in this state has handlers, and may be expected to turn over. One that is known not to need not be asked.
fn can_say(state: MemberState) -> bool {
    match state {
        MemberState::Ready | MemberState::Draining => true,
        MemberState::Starting
        | MemberState::Unresponsive
        | MemberState::Waiting
        | MemberState::Parked
        | MemberState::Stopped => false,
    }
}

async fn breathe(nth: usize) {
    if nth % BREATH == BREATH - 1 {
        tokio::task::yield_now().await;
    }
}

async fn until(due: Instant, what: impl Future<Output = ()>) {
    let _ = tokio::time::timeout_at(due.into(), what).await;
}

fn report(
    member: &MemberStatus,
    life: Option<&Life>,
    usage: Option<&Usage>,
    rates: Option<Rates>,
    connections: Option<u64>,
) -> MemberReport {
    MemberReport {
        slot: member.id.slot().to_string(),
        incarnation: member.id.incarnation().get(),
        pid: member.pid,
        state: member.state.to_string(),
        uptime: life.map(|life| life.age),
        restarts: member.restarts,
        exceptions: member.exceptions,
        cpu: rates.and_then(|rates| rates.cpu),
        memory: usage.map(|usage| usage.memory),
        open_connections: connections,
        messages_per_second: rates.map(|rates| rates.messages_per_second),
        last_exit: member.last_exit.as_deref().map(|text| cut(text, LAST_EXIT).to_owned()),
        retry_in: member.retry_in,
        answered: connections.is_some(),
    }
}

#[cfg(feature = "schedule")]
impl ScheduleReport {
    fn of(status: &crate::schedule::ScheduleStatus) -> ScheduleReport {
        use super::reply::LastRunReport;
        use std::time::UNIX_EPOCH;
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let last = status.last.as_ref().map(|last| LastRunReport {
            due_ms: last.due().duration_since(UNIX_EPOCH).map_or(0, millis),
            took: last.duration(),
            attempt: last.attempt,
            outcome: cut(&last.outcome.to_string(), LAST_EXIT).to_owned(),
            done: last.outcome.is_done(),
            by: last.by.clone(),
        });
        ScheduleReport {
            name: status.name.clone(),
            // Before 1970 nothing is due any more.
            next_ms: status.next.and_then(|next| next.duration_since(UNIX_EPOCH).ok()).map(millis),
            running: status.running,
            waiting: status.waiting,
            last,
            runs: status.runs,
            failures: status.failures,
            skipped: status.skipped,
            missed: status.missed,
            disabled: status.disabled,
        }
    }
}
