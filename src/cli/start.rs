//! `start`: the cluster, in the foreground; or a launcher, which returns when the daemon is ready or has failed.

use std::io::{self, Write};
use std::process;
use std::time::Duration;

use super::Start;
use super::exit::ExitCode;
use super::places::{default_control_dir, name};
use super::screen::print;
use crate::control::ControlClient;
use crate::hatchery::{Hatchery, is_member};
use crate::identity::Role;
use crate::process::{Daemon, Launched, Launcher};

/// The log of a daemon's own stdout and stderr, in the log directory.
const LOG: &str = "master.log";

/// How many of the last lines of a daemon that has failed are shown: a sentence, and what came before it.
const LAST_LINES: usize = 20;

/// In a member nothing may happen before it knows which it is: it has the same arguments.
pub(super) fn run(start: &Start, plan: impl FnOnce(&Start) -> Hatchery) -> process::ExitCode {
    let control = start.control_dir.clone().unwrap_or_else(default_control_dir);
    let mut plan = plan(start).control(control.as_path());
    if let Some(workers) = start.workers {
        plan = plan.tune(Role::WORKER.name(), move |role| {
            role.count(workers);
        });
    }
    if let Some(path) = &start.pid_file {
        plan = plan.pid_file(path);
    }
    if is_member() {
        return plan.run();
    }
    // Of two, one would serve the control socket and answer for itself alone. Who comes too early to be seen here is found by
    // the pid file, or by the port.
    if let Ok(other) = ControlClient::connect(&control) {
        let sentence =
            format!("already running, master {}: it serves {}", other.master_pid(), other.socket().display());
        return ExitCode::Failed.with(&sentence).into();
    }
    if !start.daemon || Launcher::is_there() {
        return plan.run();
    }
    match plan.longest_start() {
        Ok(patience) => launch(start, patience),
        Err(error) => ExitCode::Usage.with(&error.to_string()).into(),
    }
}

fn launch(start: &Start, patience: Duration) -> process::ExitCode {
    let log = start.log_dir.as_ref().map(|directory| directory.join(LOG));
    let launched = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let launched = runtime.block_on(async {
            let mut daemon = Daemon::launch(log.as_deref()).await?;
            let launched = daemon.settled(patience).await?;
            Ok((daemon, launched))
        });
        // The end of one that is ready is not waited for.
        runtime.shutdown_background();
        launched
    });
    let (daemon, launched) = match (launched, &log) {
        (Ok(launched), _) => launched,
        (Err(error), None) => return ExitCode::Failed.with(&format!("failed to start a daemon: {error}")).into(),
        (Err(error), Some(log)) => {
            let sentence = format!("failed to start a daemon whose log is {}: {error}", log.display());
            return ExitCode::Failed.with(&sentence).into();
        }
    };
    // With a log, what a daemon that is ready has said stands there.
    if log.is_none() || launched != Launched::Ready {
        show(&daemon.last_words());
    }
    match launched {
        Launched::Ready => print(&format!("{} started, master {}\n", name(), daemon.pid())).into(),
        Launched::TakenBack => ExitCode::Failed.with("interrupted: the start was taken back").into(),
        Launched::Hung => {
            ExitCode::Failed.with(&format!("the daemon was not ready within {patience:?}, and was killed")).into()
        }
        Launched::Ended(status) => match status.code() {
            Some(0) => ExitCode::Failed.with("the daemon was stopped before it was ready").into(),
            // It has said why.
            Some(code) => process::ExitCode::from(u8::try_from(code).unwrap_or(1)),
            None => ExitCode::Failed.with(&format!("the daemon was ended before it was ready: {status}")).into(),
        },
    }
}

/// What a daemon has said, on our stderr: its last lines.
fn show(words: &str) {
    let lines: Vec<&str> = words.lines().collect();
    for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
        // Whoever does not read it has the exit code.
        let _ = writeln!(io::stderr(), "{line}");
    }
}
