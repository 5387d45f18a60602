//! `stop`: asks for the end, over the control socket or by a signal, and waits until the process has gone.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Stop;
use super::exit::ExitCode;
use super::operate::{failed, not_done};
use super::screen::print;
use crate::control::{ControlClient, ControlError, ControlReply, ControlRequest};
use crate::process::{Stranger, clock, holder_of};

/// How long an answer is waited for, where the end is waited for anyhow.
const ANSWER: Duration = Duration::from_secs(1);

pub(super) fn run(stop: &Stop) -> ExitCode {
    let due = stop.timeout.map(|timeout| clock::now() + timeout);
    match (ControlClient::connect(&stop.place.control_dir()), &stop.pid_file) {
        (Ok(client), _) => ask(client, due),
        // A master that does not answer hears a signal.
        (Err(_), Some(pid_file)) => signal(pid_file, due),
        (Err(error), None) => failed(&error),
    }
}

/// Asks the master, and waits for the end of its process.
fn ask(mut client: ControlClient, due: Option<Instant>) -> ExitCode {
    let pid = client.master_pid();
    // Held while it is known to be there: later the number may be another's.
    let master = Stranger::open(pid);
    let answer = left(due).map_or(ANSWER, |left| left.min(ANSWER));
    match client.ask(&ControlRequest::Stop { timeout: None }, answer) {
        // The last two: it has gone before it could say so, or says nothing and hears it later.
        Ok(ControlReply::Done { .. } | ControlReply::StillGoing { .. })
        | Err(ControlError::Closed | ControlError::TimedOut(_)) => {}
        Ok(other) => return not_done(&other),
        Err(error) => return failed(&error),
    }
    match master {
        Ok(master) => wait(&master, due),
        // It is not among the processes that can be seen from here, as from outside of a container: its connection is.
        Err(_) => match client.until_closed(left(due).unwrap_or(LONGEST)) {
            Ok(()) => stopped(pid),
            Err(_) => still_there(pid),
        },
    }
}

/// Nobody waits longer for the end of a connection: a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Signals whoever holds the pid file, and nobody else, whatever is written in it.
fn signal(pid_file: &Path, due: Option<Instant>) -> ExitCode {
    let master = match holder_of(pid_file) {
        Ok(Some(master)) => master,
        Ok(None) => {
            let sentence = format!("not running: nobody holds the pid file {}", pid_file.display());
            return ExitCode::NotRunning.with(&sentence);
        }
        Err(error) => {
            return ExitCode::Failed.with(&format!("failed to read the pid file {}: {error}", pid_file.display()));
        }
    };
    match master.terminate() {
        Ok(()) => wait(&master, due),
        Err(error) => ExitCode::Failed.with(&format!("failed to signal the master {}: {error}", master.pid())),
    }
}

fn wait(master: &Stranger, due: Option<Instant>) -> ExitCode {
    match master.wait(left(due)) {
        Ok(true) => stopped(master.pid()),
        Ok(false) => still_there(master.pid()),
        Err(error) => ExitCode::Failed.with(&format!("failed to wait for the master {}: {error}", master.pid())),
    }
}

fn left(due: Option<Instant>) -> Option<Duration> {
    due.map(|due| due.saturating_duration_since(clock::now()))
}

fn stopped(pid: u32) -> ExitCode {
    print(&format!("stopped, master {pid}\n"))
}

fn still_there(pid: u32) -> ExitCode {
    ExitCode::StillGoing.with(&format!("the master {pid} is still there: it was told to stop, and goes on with that"))
}
