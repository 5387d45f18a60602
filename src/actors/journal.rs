//! What an operator reads at night: one event for every start, ready, exception, exit, decision and stop, with fields to
//! search by. Nothing is installed to print them: that is the program's business.

use tracing::{error, info, warn};

use super::observe::Beat;
use crate::identity::MemberId;
use crate::supervision::{
    Conclusion, Decision, Directive, Exception, LinkError, Operation, OperationId, Outcome, Record, Urgency, Verdict,
};

pub(crate) fn started(id: MemberId, pid: u32) {
    info!(slot = %id.slot(), incarnation = id.incarnation().get(), pid, "member started");
}

pub(crate) fn ready(id: MemberId, pid: Option<u32>) {
    info!(slot = %id.slot(), incarnation = id.incarnation().get(), pid, "member ready");
}

pub(crate) fn cluster_ready() {
    info!("cluster ready");
}

pub(crate) fn exception(id: MemberId, pid: Option<u32>, exception: &Exception) {
    let (slot, incarnation) = (id.slot(), id.incarnation().get());
    warn!(%slot, incarnation, pid, cause = %exception, "exception in a member");
}

pub(crate) fn link_lost(id: MemberId, pid: Option<u32>, error: &LinkError) {
    let (slot, incarnation) = (id.slot(), id.incarnation().get());
    match error {
        // The usual forerunner of an exit, which will say more.
        LinkError::Closed => tracing::debug!(%slot, incarnation, pid, cause = %error, "link lost"),
        LinkError::Protocol(_) | LinkError::Io(_) => warn!(%slot, incarnation, pid, cause = %error, "link lost"),
    }
}

/// An exit and what follows, or another decision.
pub(crate) fn record(record: &Record, pid: Option<u32>) {
    let (slot, incarnation) = (record.member.slot(), record.member.incarnation().get());
    let (cause, decision) = (&record.cause, &record.decision);
    let Some(exit) = cause.exit() else {
        return match decision {
            Decision::GiveUp => error!(%slot, incarnation, pid, %cause, %decision, "supervision gives up"),
            Decision::Strategy(_)
            | Decision::AlreadyReplaced
            | Decision::AlreadyDecided
            | Decision::Regrouped(_)
            | Decision::Operated(_)
            | Decision::Stopping
            | Decision::StartFailed => {
                info!(%slot, incarnation, pid, %cause, %decision, "decision");
            }
        };
    };
    let age = tracing::field::debug(exit.age);
    match decision {
        Decision::StartFailed | Decision::GiveUp | Decision::Strategy(Directive::Escalate(_)) => {
            error!(%slot, incarnation, pid, %cause, %decision, age, "member exited");
        }
        Decision::Strategy(Directive::Park { .. }) => {
            error!(%slot, incarnation, pid, %cause, %decision, age, "member exited: restart limit reached");
        }
        Decision::Strategy(_) => warn!(%slot, incarnation, pid, %cause, %decision, age, "member exited"),
        Decision::AlreadyReplaced
        | Decision::AlreadyDecided
        | Decision::Regrouped(_)
        | Decision::Operated(_)
        | Decision::Stopping => {
            info!(%slot, incarnation, pid, %cause, %decision, age, "member exited");
        }
    }
}

pub(crate) fn abandoned(id: MemberId, pid: Option<u32>) {
    let (slot, incarnation) = (id.slot(), id.incarnation().get());
    error!(%slot, incarnation, pid, "member was killed and does not go: nobody waits for it any more");
}

pub(crate) fn beat(id: MemberId, pid: Option<u32>, beat: Beat) {
    let (slot, incarnation) = (id.slot(), id.incarnation().get());
    match beat {
        Beat::Silent(span) => warn!(%slot, incarnation, pid, silent = ?span, "member unresponsive"),
        Beat::Heard => info!(%slot, incarnation, pid, "member responsive again"),
    }
}

pub(crate) fn operation(id: OperationId, operation: &Operation) {
    info!(operation = id.0, "{operation}");
}

pub(crate) fn concluded(id: OperationId, conclusion: &Conclusion) {
    match conclusion {
        Conclusion::Done | Conclusion::Superseded => info!(operation = id.0, %conclusion, "operation concluded"),
        Conclusion::Failed(_) => warn!(operation = id.0, %conclusion, "operation concluded"),
    }
}

pub(crate) fn stop(urgency: Urgency, why: &str) {
    match urgency {
        Urgency::Graceful => info!(cause = why, "stop asked for"),
        Urgency::Quick => warn!(cause = why, "quick stop asked for"),
    }
}

pub(crate) fn finished(outcome: &Outcome) {
    match &outcome.verdict {
        Verdict::Stopped => info!("cluster stopped"),
        Verdict::Completed(id) => info!(slot = %id.slot(), "cluster stopped: a significant member has ended"),
        Verdict::StartFailed(id, cause) => error!(slot = %id.slot(), %cause, "cluster failed to start"),
        Verdict::GaveUp(reason) => error!(cause = %reason, "cluster gave up"),
    }
}
