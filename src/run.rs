//! The master's process from its first listener to its exit code.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use ractor::{Actor, ActorRef};
use tokio::sync::oneshot;

use crate::actors::{Blueprint, Master, MasterArguments, MasterMsg};
use crate::process::signals::{MasterSignals, Wish};
use crate::process::{self, Address, Bound, Nursery, ProcessBackend, adopt_descendants, have_descriptors};
use crate::supervision::{Cause, Exit, Outcome, Plan, Urgency, Verdict};

const STOPPED: u8 = 0;
const START_FAILED: u8 = 1;
const GAVE_UP: u8 = 3;

/// Binds, starts, supervises until the end, and says why it ended if it should not have.
pub(crate) fn master(plan: Plan, mut blueprint: Blueprint, listeners: &[(String, Address)], backlog: i32) -> ExitCode {
    // Held until everyone is gone: a port is never without a socket while somebody may come back to it.
    let mut bound = Vec::new();
    for (name, address) in listeners {
        match Bound::bind(address, backlog) {
            Ok(socket) => {
                blueprint.listeners.push((name.clone(), socket.socket()));
                bound.push(socket);
            }
            Err(error) => return say(START_FAILED, &error.to_string()),
        }
    }
    let outcome = supervise(plan, blueprint);
    drop(bound);
    match outcome {
        Ok(outcome) => conclude(&outcome),
        Err(error) => say(START_FAILED, &format!("the master cannot run: {error}")),
    }
}

/// How many descriptors the master needs for itself, before it starts anybody.
const DESCRIPTORS: usize = 16;

fn supervise(plan: Plan, blueprint: Blueprint) -> io::Result<Outcome> {
    // Some of what follows would panic.
    have_descriptors(DESCRIPTORS)?;
    // One thread: a master routes and decides, and runs no code of the user's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let signals = MasterSignals::listen()?;
        adopt_descendants()?;
        let nursery = Nursery::start()?;
        let outcome = attend(plan, blueprint, &nursery, signals).await;
        nursery.close().await;
        outcome
    });
    // Nothing is left that could be waited for, but a thread that writes where nobody reads.
    runtime.shutdown_background();
    outcome
}

/// Attends the cluster until its end.
async fn attend(
    plan: Plan,
    blueprint: Blueprint,
    nursery: &Nursery,
    mut signals: MasterSignals,
) -> io::Result<Outcome> {
    let (finished, mut end) = oneshot::channel();
    let arguments = MasterArguments {
        plan,
        blueprint: Arc::new(blueprint),
        backend: Arc::new(nursery.clone()),
        seed: seed()?,
        observers: Vec::new(),
        finished,
    };
    let (master, _) = Master::spawn(None, Master, arguments).await.map_err(io::Error::other)?;
    loop {
        tokio::select! {
            biased;
            outcome = &mut end => return Ok(outcome.unwrap_or_else(|_| failed())),
            wish = signals.next() => grant(wish, &master, nursery),
        }
    }
}

fn grant(wish: Wish, master: &ActorRef<MasterMsg>, nursery: &Nursery) {
    match wish {
        // The core knows whether it is the second time. A master that has failed ends by itself.
        Wish::Stop(signal) => drop(master.cast(MasterMsg::Stop(Urgency::Graceful, signal))),
        Wish::Children => nursery.sweep(),
    }
}

/// The master's own actor is gone without a word.
fn failed() -> Outcome {
    let reason = crate::supervision::Reason::new("internal error: the actor of the master failed");
    Outcome { verdict: Verdict::GaveUp(reason), leftovers: Vec::new() }
}

fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}

fn conclude(outcome: &Outcome) -> ExitCode {
    let (code, mut sentence) = match &outcome.verdict {
        Verdict::Stopped | Verdict::Completed(_) => (STOPPED, String::new()),
        Verdict::StartFailed(id, cause) => (START_FAILED, start_failed(&id.to_string(), cause)),
        Verdict::GaveUp(reason) => (GAVE_UP, format!("gave up: {reason}")),
    };
    if !outcome.leftovers.is_empty() {
        let names: Vec<_> = outcome.leftovers.iter().map(ToString::to_string).collect();
        if sentence.is_empty() {
            sentence.push_str("stopped");
        }
        sentence.push_str(&format!("; killed and still there: {}", names.join(", ")));
    }
    match sentence.is_empty() {
        true => ExitCode::from(code),
        false => say(code, &sentence),
    }
}

/// One sentence: who, why, and its last words.
fn start_failed(member: &str, cause: &Cause) -> String {
    let when = match cause {
        // It says so itself.
        Cause::BootFailed(_) => "",
        _ => ", before the cluster was ready",
    };
    let mut sentence = format!("failed to start: {member} {cause}{when}");
    if let Some(last) = cause.exit().and_then(last_lines) {
        sentence.push_str(&format!("; its stderr ended with: {last}"));
    }
    sentence
}

/// The last lines of a stderr, in one.
fn last_lines(exit: &Exit) -> Option<String> {
    const LINES: usize = 5;
    // A backtrace says where, at length: those who want to know find it above.
    let text = exit.stderr.split("stack backtrace:").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.join(" | "))
}

fn say(code: u8, sentence: &str) -> ExitCode {
    process::say(sentence);
    ExitCode::from(code)
}
