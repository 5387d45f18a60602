//! What is answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::{maybe_millis, millis};
use crate::identity::Role;

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ControlReply {
    /// Who is there.
    Status(ClusterStatus),
    /// Why a slot stands where it does.
    Why {
        /// For people: a line for each thing that happened there, and what was decided.
        text: String,
    },
    /// How the schedules are.
    Schedules {
        /// In the order of their names.
        schedules: Vec<ScheduleReport>,
    },
    /// It is as was asked.
    Done {
        /// What, in a few words.
        what: String,
    },
    /// A later wish has taken over, and has an answer of its own.
    Superseded {
        /// What was asked.
        what: String,
    },
    /// It is not as was asked.
    Failed {
        /// Why not.
        why: String,
    },
    /// It has not come to its end within the time that was given. It goes on.
    StillGoing {
        /// What was asked.
        what: String,
    },
    /// Files were opened anew.
    Reopened {
        /// By these members.
        by: Vec<String>,
        /// Not by these, for this reason.
        failed: Vec<(String, String)>,
        /// These have not answered in time. They may still do it.
        silent: Vec<String>,
    },
    /// Nothing was done: whoever asks may not ask this.
    Denied {
        /// Why not.
        why: String,
    },
    /// Nothing was done: it is not a request.
    Misunderstood {
        /// What is wrong with it.
        why: String,
    },
    /// Nothing was done: as many as are served at once are being served, or as many wishes are under way as may be.
    Busy,
}

impl ControlReply {
    /// Whether it was answered, or is as was asked.
    pub fn is_good(&self) -> bool {
        match self {
            ControlReply::Status(_)
            | ControlReply::Why { .. }
            | ControlReply::Schedules { .. }
            | ControlReply::Done { .. } => true,
            // A worker that stands still may have no files at all. The agent has those of the logs.
            ControlReply::Reopened { by, failed, silent } => {
                let is_agent = |member: &String| member.split('/').next() == Some(Role::AGENT.name());
                !by.is_empty() && failed.is_empty() && !silent.iter().any(is_agent)
            }
            ControlReply::Superseded { .. }
            | ControlReply::Failed { .. }
            | ControlReply::StillGoing { .. }
            | ControlReply::Denied { .. }
            | ControlReply::Misunderstood { .. }
            | ControlReply::Busy => false,
        }
    }
}

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// The process of the master.
    pub master_pid: u32,
    /// How long the cluster has been there.
    #[serde(rename = "uptime_ms", with = "millis")]
    pub uptime: Duration,
    /// `starting`, `ready`, `stopping` or `ended`: see [`ClusterStage`](crate::ClusterStage).
    pub stage: String,
    /// What the master's process uses, in percent of one processor. `None`: it is not known.
    pub cpu: Option<f64>,
    /// Memory of the master's process that is resident, in bytes. `None`: it is not known.
    pub memory: Option<u64>,
    /// In the order of the plan: one for each slot, and one more for each process that drains beside its successor.
    pub members: Vec<MemberReport>,
    /// Members that are there and are not in the list, which has 4,096 at most.
    pub omitted: usize,
    /// Those who were asked what only they know, and have not answered in time; and those of whom it was known that they would not.
    pub partial: Vec<String>,
    /// How the schedules are: 1,024 of them at most. `None`: the agent has not said so in time.
    pub schedules: Option<Vec<ScheduleReport>>,
}

/// One member, or an empty slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberReport {
    /// As in `worker/2`.
    pub slot: String,
    /// The number of its process, from 1. 0: the slot has had none.
    pub incarnation: u32,
    /// Its process. `None`: there is none.
    pub pid: Option<u32>,
    /// As of [`MemberState`](crate::MemberState): `starting`, `ready`, `unresponsive`, `draining`, `waiting`, `parked` or
    /// `stopped`.
    pub state: String,
    /// How long its process has been there.
    #[serde(rename = "uptime_ms", with = "maybe_millis")]
    pub uptime: Option<Duration>,
    /// How many processes the slot has had before.
    pub restarts: u32,
    /// How many exceptions this process has reported.
    pub exceptions: u32,
    /// What it uses, in percent of one processor: since the status that was asked for before, or over its life. `None`: it has
    /// no process of its own.
    pub cpu: Option<f64>,
    /// Memory that is resident, in bytes. `None`: it has no process of its own.
    pub memory: Option<u64>,
    /// Connections that it has accepted and not closed. `None`: it has not said so.
    pub open_connections: Option<u64>,
    /// Messages and calls that it has sent, and been given by other members, since the status before, or over its life.
    pub messages_per_second: Option<f64>,
    /// How the process before ended. `None`: none has.
    pub last_exit: Option<String>,
    /// How long it is until an empty slot is tried again. `None`: it is not empty, or not tried again.
    #[serde(rename = "retry_in_ms", with = "maybe_millis")]
    pub retry_in: Option<Duration>,
    /// Whether it has answered what it was asked. `false` also where nobody was asked.
    pub answered: bool,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScheduleReport {
    /// What it is called.
    pub name: String,
    /// Its next tick, in milliseconds since 1970. `None`: there is none, or not before a run has ended.
    pub next_ms: Option<i64>,
    /// How many runs have begun and not ended.
    pub running: usize,
    /// How many runs wait: for their time, or for others to end.
    pub waiting: usize,
    /// The last run that ended.
    pub last: Option<LastRunReport>,
    /// How many have ended, each attempt by itself.
    pub runs: u64,
    /// How many of those failed.
    pub failures: u64,
    /// How many ticks were not run because others ran.
    pub skipped: u64,
    /// How many ticks came while nobody was there, and were not made up for.
    pub missed: u64,
    /// How many ticks came while its condition did not hold.
    pub disabled: u64,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastRunReport {
    /// The tick that it was for, in milliseconds since 1970.
    pub due_ms: i64,
    /// How long it took.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// How it ended, in words: `done`, or what went wrong.
    pub outcome: String,
    /// Whether it was done.
    pub done: bool,
    /// Who ran it. `None`: several, or it is not known.
    pub by: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_opened_anew_when_nobody_failed_and_the_agent_has_answered() {
        let members = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (by, failed, silent, good) in [
            (&["agent/0#1", "worker/0#1"][..], false, &[][..], true),
            (&["agent/0#1"], false, &["worker/0#1"], true),
            (&["worker/0#1"], false, &["agent/0#1"], false),
            (&["agent/0#1"], true, &[], false),
            (&[], false, &["worker/0#1"], false),
            (&[], false, &[], false),
        ] {
            let failed = if failed { vec![("worker/1#1".to_owned(), "no room".to_owned())] } else { Vec::new() };
            let reply = ControlReply::Reopened {
                by: members(by),
                failed: failed.into_iter().collect(),
                silent: members(silent),
            };
            assert_eq!(reply.is_good(), good, "{reply:?}");
        }
    }
}
