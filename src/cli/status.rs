//! `status`: who is there, once, or again each second.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Status;
use super::exit::ExitCode;
use super::operate::{QUESTION, failed, not_done};
use super::places::name;
use super::screen::{Screen, print};
use super::table::table;
use crate::control::{ClusterStatus, ControlClient, ControlError, ControlReply, ControlRequest};
use crate::process::{clock, surroundings};

/// How often a live status is drawn anew.
const PERIOD: Duration = Duration::from_secs(1);

pub(super) fn run(status: &Status) -> ExitCode {
    let directory = status.place.control_dir();
    let end = match status.watch {
        true => watch(directory, status.json),
        false => match ask(&mut None, &directory).and_then(|found| text(&found, status.json)) {
            Ok(text) => return print(&text),
            Err(end) => end,
        },
    };
    match end {
        End::Enough => ExitCode::Done,
        End::Refused(reply) => not_done(&reply),
        End::Unanswered(error) => failed(&error),
        End::Unshown(error) => ExitCode::Failed.with(&format!("the status cannot be shown: {error}")),
    }
}

/// Why nothing more is shown. Told when the terminal is as it was.
enum End {
    /// Somebody has interrupted it, or reads no more.
    Enough,
    Refused(Box<ControlReply>),
    Unanswered(ControlError),
    Unshown(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.kind() {
            io::ErrorKind::BrokenPipe => End::Enough,
            _ => End::Unshown(error),
        }
    }
}

/// Asks, over the connection of the time before if there is one.
fn ask(client: &mut Option<ControlClient>, directory: &Path) -> Result<ClusterStatus, End> {
    let mut kept = match client.take() {
        Some(client) => client,
        None => ControlClient::connect(directory).map_err(End::Unanswered)?,
    };
    match kept.ask(&ControlRequest::Status, QUESTION).map_err(End::Unanswered)? {
        ControlReply::Status(status) => {
            *client = Some(kept);
            Ok(status)
        }
        other => Err(End::Refused(Box::new(other))),
    }
}

fn text(status: &ClusterStatus, json: bool) -> Result<String, End> {
    if json {
        return Ok(serde_json::to_string(status).map_err(io::Error::other)? + "\n");
    }
    let width = surroundings::screen().map(|(columns, _)| columns.into());
    let now = clock::calendar().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(table(&name(), status, now, width))
}

/// Shows it each second, until somebody interrupts it or the cluster has gone.
fn watch(directory: PathBuf, json: bool) -> End {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return End::Unshown(error),
    };
    let end = runtime.block_on(async {
        let end: Result<Infallible, End> = show_on(&directory, json).await;
        match end {
            Ok(never) => match never {},
            Err(end) => end,
        }
    });
    // A question to a master that is stuck may be under way.
    runtime.shutdown_background();
    end
}

async fn show_on(directory: &Path, json: bool) -> Result<Infallible, End> {
    let mut interrupts = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (mut client, mut screen) = (None, None);
    loop {
        let pause = tokio::time::sleep(PERIOD);
        let place = directory.to_owned();
        // Not on this thread: whoever interrupts it does not wait for a master that is stuck.
        let question = tokio::task::spawn_blocking(move || {
            let found = ask(&mut client, &place);
            (client, found)
        });
        let (kept, found) = tokio::select! {
            biased;
            () = interrupted(&mut interrupts) => return Err(End::Enough),
            asked = question => asked.map_err(io::Error::other)?,
        };
        client = kept;
        let text = text(&found?, json)?;
        if screen.is_none() {
            screen = Some(Screen::open()?);
        }
        if let Some(screen) = &mut screen {
            screen.show(&text)?;
        }
        tokio::select! {
            biased;
            () = interrupted(&mut interrupts) => return Err(End::Enough),
            () = pause => {}
        }
    }
}

async fn interrupted((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
