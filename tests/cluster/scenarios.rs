//! The clusters that the stories are told about.

mod probe;

use clap::Parser;
use hatchery::{Context, Hatchery};
use std::process::ExitCode;

use crate::web;

/// Runs a scenario as whatever this process is in it.
pub fn run(name: &str, arguments: &[String]) -> ExitCode {
    let own = arguments.iter().filter(|argument| !argument.starts_with("--token="));
    let parsed = || std::iter::once("scenario".to_owned()).chain(own.clone().cloned());
    match name {
        "web" => web::cluster(web::Options::parse_from(parsed())).run(),
        "probe" => probe::cluster(probe::Probe::parse_from(parsed())).run(),
        "roles" => roles().run(),
        "handlers" => handlers().run(),
        other => panic!("no scenario is called {other}"),
    }
}

/// Roles that the user names, around the workers.
fn roles() -> Hatchery {
    let script = |cx| probe::act(cx, "sleep:30 ready stopping".into());
    Hatchery::new().role("cache", 1, script).workers(2, script).role("mailer", 1, script).agent(script).program("roles")
}

/// An agent with handlers that fail in every way, and a worker that tells how it was answered.
fn handlers() -> Hatchery {
    use hatchery::{CallError, Message, Request, Slot};

    crate::tracer::install();
    async fn agent(cx: Context) -> hatchery::Result<()> {
        say(&cx, format!("pid {}", std::process::id()));
        let messenger = cx.messenger();
        messenger.on("throw", |_: Message<()>| {
            if true {
                panic!("asked to throw")
            }
        });
        messenger.on("reject", |_: Message<()>| async { Err::<(), _>("no") });
        messenger.answer("throw", |_: Request<()>| async {
            if true {
                panic!("asked to throw")
            }
            Ok::<(), String>(())
        })?;
        messenger.answer("reject", |_: Request<()>| async { Err::<(), _>("no") })?;
        messenger.answer("string", |_: Request<()>| async { Err::<(), _>("just a text".to_owned()) })?;
        cx.ready();
        Ok(())
    }
    async fn worker(cx: Context) -> hatchery::Result<()> {
        tell_cluster_ready(&cx);
        cx.ready();
        let messenger = cx.messenger();
        for action in ["throw", "reject", "string", "unknown"] {
            if action != "string" {
                messenger.to_agent(action, &()).await?;
            }
            let outcome = match messenger.call::<()>(Slot::agent(), action, &()).await {
                Ok(()) => "answered".into(),
                Err(CallError::Dropped) => "dropped".into(),
                Err(CallError::Failed(text)) => format!("failed: {text}"),
                Err(CallError::Undelivered(hatchery::Reason::NoHandler)) => "no handler".into(),
                Err(other) => format!("{other:?}"),
            };
            say(&cx, format!("{action}: {outcome}"));
        }
        cx.stopping().await;
        Ok(())
    }
    Hatchery::new().agent(agent).workers(1, worker).program("handlers")
}

/// Says something on stdout, in one line, with who says it.
pub fn say(cx: &Context, text: impl std::fmt::Display) {
    use std::io::Write;
    let line = format!("{} {text}\n", cx.id());
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Tells on stdout when the cluster is ready, in every member; the agent's line, or the first worker's, is the ready line.
fn tell_cluster_ready(cx: &Context) {
    let told = cx.clone();
    cx.spawn(async move {
        told.cluster_ready().await;
        say(&told, "cluster is ready");
        let first = told.incarnation() == hatchery::Incarnation::FIRST && told.slot().index() == 0;
        if first && told.role() == hatchery::Role::WORKER {
            println!("ready for tests");
        }
    });
}
