//! A cluster that is asked from outside, over its control socket.

mod files;
mod hostile;
mod verbs;

use std::path::Path;

use hatchery::control::{ClusterStatus, MemberReport};
use hatchery::{ControlClient, ControlReply, ControlRequest};
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::harness::{PATIENCE, Start, scenario, until};

pub fn trials() -> Vec<Trial> {
    [verbs::trials(), files::trials(), hostile::trials()].into_iter().flatten().collect()
}

/// A cluster that holds this directory.
fn controlled(dir: &Path) -> Start {
    scenario("control").arg("--dir", dir.display()).flag("--trace")
}

/// A directory that is not there yet, in one that is.
fn place() -> (TempDir, std::path::PathBuf) {
    let scratch = tempfile::tempdir().expect("room");
    let dir = scratch.path().join("control");
    (scratch, dir)
}

#[track_caller]
fn connect(dir: &Path) -> ControlClient {
    ControlClient::connect(dir).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn ask(dir: &Path, request: ControlRequest) -> ControlReply {
    connect(dir).ask(&request, PATIENCE).unwrap_or_else(|error| panic!("{request}: {error}"))
}

#[track_caller]
fn status(dir: &Path) -> ClusterStatus {
    match ask(dir, ControlRequest::Status) {
        ControlReply::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn until_status(dir: &Path, what: &str, is_it: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
    until(what, || Some(status(dir)).filter(&is_it))
}

/// The report of this process: `worker/0#1`.
#[track_caller]
fn member<'a>(status: &'a ClusterStatus, id: &str) -> &'a MemberReport {
    let is_it = |member: &&MemberReport| format!("{}#{}", member.slot, member.incarnation) == id;
    status.members.iter().find(is_it).unwrap_or_else(|| panic!("no {id} in {status:#?}"))
}

fn slot(name: &str) -> String {
    name.into()
}

fn done(what: &str) -> ControlReply {
    ControlReply::Done { what: what.into() }
}

fn failed(why: &str) -> ControlReply {
    ControlReply::Failed { why: why.into() }
}
