//! Commands that ask a master for one thing, and say what it answered.

use std::time::Duration;

use super::exit::ExitCode;
use super::screen::print;
use super::{Patience, Place, Restart, Scale, Why};
use crate::control::{ControlClient, ControlError, ControlReply, ControlRequest};

/// How long a question may take that waits for nothing but the master.
pub(super) const QUESTION: Duration = Duration::from_secs(5);

pub(super) fn restart(Restart { slot, patience, place }: &Restart) -> ExitCode {
    ask(place, &ControlRequest::Restart { slot: slot.clone() }, patience)
}

pub(super) fn scale(Scale { role, count, patience, place }: &Scale) -> ExitCode {
    ask(place, &ControlRequest::Scale { role: role.clone(), count: *count }, patience)
}

pub(super) fn reopen(place: &Place) -> ExitCode {
    ask(place, &ControlRequest::Reopen, &Patience { timeout: QUESTION })
}

pub(super) fn why(Why { slot, place }: &Why) -> ExitCode {
    ask(place, &ControlRequest::Why { slot: slot.clone() }, &Patience { timeout: QUESTION })
}

fn ask(place: &Place, request: &ControlRequest, patience: &Patience) -> ExitCode {
    let client = ControlClient::connect(&place.control_dir());
    match client.and_then(|mut client| client.ask(request, patience.timeout)) {
        Ok(reply) if !reply.is_good() => not_done(&reply),
        Ok(ControlReply::Why { text }) => print(&format!("{text}\n")),
        Ok(ControlReply::Done { what }) => print(&format!("{what}\n")),
        Ok(ControlReply::Reopened { by, silent, .. }) => {
            let silent = silent.iter().map(|member| format!("; {member} does not answer"));
            print(&format!("opened anew by {}{}\n", by.join(", "), silent.collect::<String>()))
        }
        Ok(other) => not_done(&other),
        Err(error) => failed(&error),
    }
}

/// Says why it is not as was asked.
pub(super) fn not_done(reply: &ControlReply) -> ExitCode {
    match reply {
        ControlReply::StillGoing { what } => ExitCode::StillGoing.with(&format!("{what}: not done yet; it goes on")),
        ControlReply::Superseded { what } => ExitCode::Failed.with(&format!("{what}: a later wish has taken over")),
        ControlReply::Failed { why } => ExitCode::Failed.with(why),
        ControlReply::Denied { why } => ExitCode::Failed.with(&format!("not allowed: {why}")),
        ControlReply::Misunderstood { why } => ExitCode::Failed.with(&format!("the master does not understand: {why}")),
        ControlReply::Reopened { failed, silent, .. } => {
            let silent = silent.iter().map(|member| format!("{member} does not answer"));
            let failed = failed.iter().map(|(member, why)| format!("{member}: {why}"));
            ExitCode::Failed.with(&failed.chain(silent).collect::<Vec<_>>().join("; "))
        }
        ControlReply::Busy => ExitCode::Failed.with("the master is busy with others on its control socket: try again"),
        ControlReply::Status(_)
        | ControlReply::Why { .. }
        | ControlReply::Schedules { .. }
        | ControlReply::Done { .. } => ExitCode::Failed.with("the master has answered what it was not asked"),
    }
}

/// Says why there is no answer.
pub(super) fn failed(error: &ControlError) -> ExitCode {
    let code = match error {
        ControlError::NotRunning(_) => ExitCode::NotRunning,
        ControlError::TimedOut(_) => ExitCode::StillGoing,
        ControlError::Denied(_)
        | ControlError::Busy
        | ControlError::Closed
        | ControlError::Protocol(_)
        | ControlError::BadPath(_)
        | ControlError::Io(_) => ExitCode::Failed,
    };
    code.with(&error.to_string())
}
