//! What changes something: carried out to its end, whether or not whoever asked still listens, with one line in the log that
//! says who asked for what and how it ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::reply::ControlReply;
use super::request::ControlRequest;
use crate::cluster::ClusterHandle;
use crate::identity::{MemberId, Role, Slot};
use crate::process::clock;
use crate::process::peer::Peer;
use crate::reopen::Reopened;
use crate::roster::MemberState;
use crate::supervision::{Conclusion, Plan};
use crate::text::cut;

/// How many wishes of one kind may be under way. Each is a task, and ends within the deadlines of its roles.
const AT_ONCE: usize = 64;

/// How long members may take to open their files anew.
const REOPENING: Duration = Duration::from_secs(5);

/// What is under way.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    wishes: Arc<Semaphore>,
    /// Apart: however many restarts hang, a cluster can be stopped.
    stops: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl Default for Operations {
    fn default() -> Operations {
        let bounded = || Arc::new(Semaphore::new(AT_ONCE));
        Operations { wishes: bounded(), stops: bounded(), tracker: TaskTracker::new() }
    }
}

impl Operations {
    /// Begins it, and waits for its end as long as `deadline`. It holds the cluster until then: see
    /// [`ClusterHandle`]. Cancellation: it goes on.
    pub(super) async fn carry_out(
        &self,
        cluster: ClusterHandle,
        request: ControlRequest,
        peer: Peer,
        deadline: Duration,
    ) -> ControlReply {
        let bound = match request {
            ControlRequest::Stop { .. } => &self.stops,
            _ => &self.wishes,
        };
        let Ok(permit) = bound.clone().try_acquire_owned() else {
            audit(&request, peer, "busy", Duration::ZERO);
            return ControlReply::Busy;
        };
        let (told, outcome) = oneshot::channel();
        let what = request.to_string();
        self.tracker.spawn(async move {
            let begun = clock::now();
            let reply = perform(&cluster, &request, deadline).await;
            audit(&request, peer, &outcome_of(&reply), clock::now() - begun);
            drop(permit);
            // That nobody waits for it any more is no error.
            let _ = told.send(reply);
        });
        match timeout(deadline, outcome).await {
            Ok(Ok(reply)) => reply,
            // The runtime has dropped it, or it has panicked by a fault of ours.
            Ok(Err(_)) => ControlReply::Failed { why: "the master does not do it any more".into() },
            Err(_) => ControlReply::StillGoing { what },
        }
    }

    /// Resolves when nothing is under way. Cancel-safe.
    pub(super) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Writes down that somebody wanted to change something.
pub(super) fn audit(request: &ControlRequest, peer: Peer, outcome: &str, took: Duration) {
    // What somebody typed is printed as text.
    let verb = request.to_string();
    let verb = cut(&verb, 256).escape_debug();
    let Peer { uid, pid } = peer;
    tracing::info!(%verb, uid, pid, outcome, took_ms = took.as_millis() as u64, "control");
}

fn outcome_of(reply: &ControlReply) -> String {
    match reply {
        ControlReply::Done { what } => what.clone(),
        ControlReply::Superseded { .. } => "superseded by a later wish".into(),
        ControlReply::Failed { why } => format!("failed: {why}"),
        ControlReply::Reopened { by, failed, silent } => {
            format!("reopened by {}, failed in {}, no answer of {}", by.len(), failed.len(), silent.len())
        }
        ControlReply::StillGoing { .. } => "goes on".into(),
        ControlReply::Denied { why } => format!("denied: {why}"),
        ControlReply::Misunderstood { why } => format!("misunderstood: {why}"),
        ControlReply::Busy => "busy".into(),
        // Those change nothing.
        ControlReply::Status(_) | ControlReply::Why { .. } | ControlReply::Schedules { .. } => "told".into(),
    }
}

async fn perform(cluster: &ClusterHandle, request: &ControlRequest, deadline: Duration) -> ControlReply {
    let concluded = match request {
        ControlRequest::Restart { slot } => match slot_named(cluster.plan(), slot) {
            Ok(slot) => (cluster.restart(slot).await, format!("{slot} was restarted")),
            Err(why) => return ControlReply::Failed { why },
        },
        ControlRequest::StopSlot { slot } => match slot_named(cluster.plan(), slot) {
            Ok(slot) => (cluster.stop(slot).await, format!("{slot} was stopped")),
            Err(why) => return ControlReply::Failed { why },
        },
        ControlRequest::Scale { role, count } => match role_named(cluster.plan(), role) {
            Ok(role) => (cluster.scale(role, *count).await, format!("{role} has {count}")),
            Err(why) => return ControlReply::Failed { why },
        },
        ControlRequest::Stop { timeout } => return stop(cluster, *timeout).await,
        ControlRequest::Reopen => return reopen(cluster, REOPENING.min(deadline / 2)).await,
        ControlRequest::Status | ControlRequest::Why { .. } | ControlRequest::Schedules => {
            return ControlReply::Failed { why: "it changes nothing".into() };
        }
    };
    match concluded {
        (Conclusion::Done, what) => ControlReply::Done { what },
        (Conclusion::Superseded, _) => ControlReply::Superseded { what: request.to_string() },
        (Conclusion::Failed(error), _) => ControlReply::Failed { why: error.to_string() },
    }
}

/// Stops the cluster in order, and whoever is left after `patience` by force.
async fn stop(cluster: &ClusterHandle, patience: Option<Duration>) -> ControlReply {
    let end = match patience {
        None => cluster.shutdown().await,
        Some(patience) => match timeout(patience, cluster.shutdown()).await {
            Ok(end) => end,
            Err(_) => cluster.kill().await,
        },
    };
    match end {
        Ok(()) => ControlReply::Done { what: "stopped".into() },
        Err(error) => ControlReply::Failed { why: error.to_string() },
    }
}

/// Has all members that have files open them anew.
async fn reopen(cluster: &ClusterHandle, patience: Duration) -> ControlReply {
    let Reopened { by, failed, silent } = cluster.reopen(patience).await;
    if by.is_empty() && failed.is_empty() && silent.is_empty() {
        let is_away = |state: MemberState| matches!(state, MemberState::Starting | MemberState::Waiting);
        let members = cluster.status().members;
        let away: Vec<String> =
            members.iter().filter(|member| is_away(member.state)).map(|member| member.id.slot().to_string()).collect();
        let why = match away.is_empty() {
            true => "no member keeps files that it could open anew".to_owned(),
            false => format!("nobody has files open: {} will open what is there when it begins", away.join(", ")),
        };
        return ControlReply::Failed { why };
    }
    let names = |members: Vec<MemberId>| members.iter().map(MemberId::to_string).collect();
    let failed = failed.into_iter().map(|(member, why)| (member.to_string(), why)).collect();
    ControlReply::Reopened { by: names(by), failed, silent: names(silent) }
}

/// The role of that name.
fn role_named(plan: &Plan, name: &str) -> Result<Role, String> {
    let found = plan.roles().iter().map(|role| role.role).find(|role| role.name() == name);
    found.ok_or_else(|| format!("there is no role {:?}", cut(name, 256)))
}

/// The slot that `worker/2` names. Whether the role has it, the core knows.
pub(super) fn slot_named(plan: &Plan, name: &str) -> Result<Slot, String> {
    let unknown = || format!("a slot is named as in \"worker/2\", not {:?}", cut(name, 256));
    let (role, index) = name.split_once('/').ok_or_else(unknown)?;
    if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    let role = role_named(plan, role)?;
    index.parse().map(|index| Slot::new(role, index)).map_err(|_| format!("there is no slot {role}/{index}"))
}
