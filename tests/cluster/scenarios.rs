//! The clusters that the stories are told about.

#[cfg(all(feature = "control", feature = "schedule"))]
mod control;
mod hostile;
mod messages;
mod probe;
mod remote;
mod strategies;

use std::process::ExitCode;

use clap::Parser;
use hatchery::{Context, Hatchery};

use crate::{shared_connection, web};

/// The probe with the commands of an operator.
#[derive(Parser)]
struct Commands {
    #[command(flatten)]
    probe: probe::Probe,
    #[command(subcommand)]
    command: hatchery::cli::Command,
}

/// Runs a scenario as whatever this process is in it.
pub fn run(name: &str, arguments: &[String]) -> ExitCode {
    // Prints the events of the master, and those of members with the spans that they are in.
    if arguments.iter().any(|argument| argument == "--trace") {
        crate::tracer::install();
    }
    let own = arguments.iter().filter(|argument| !argument.starts_with("--token=") && *argument != "--trace");
    let parsed = || std::iter::once("scenario".to_owned()).chain(own.clone().cloned());
    match name {
        "web" => web::run(web::Web::parse_from(parsed())),
        "probe" => probe::cluster(probe::Probe::parse_from(parsed())).run(),
        "commands" => {
            let Commands { probe, command } = Commands::parse_from(parsed());
            command.run(|_| probe::cluster(probe))
        }
        "messages" => messages::cluster(messages::Options::parse_from(parsed())).run(),
        "remote" => remote::cluster(remote::Options::parse_from(parsed())).run(),
        "shared-connection" => shared_connection::cluster(shared_connection::Options::parse_from(parsed())).run(),
        "remote-actor" => crate::remote_actor::main(),
        "hostile" => hostile::cluster(hostile::Options::parse_from(parsed())).run(),
        "strategies" => strategies::cluster(strategies::Options::parse_from(parsed())).run(),
        #[cfg(all(feature = "control", feature = "schedule"))]
        "control" => control::cluster(control::Options::parse_from(parsed())).run(),
        #[cfg(all(feature = "control", feature = "schedule"))]
        "control-client" => control::client(own.clone().next_back().expect("a directory")),
        "roles" => roles().run(),
        "fickle" => fickle().run(),
        "inside-a-runtime" => {
            let runtime = tokio::runtime::Runtime::new().expect("threads");
            runtime.block_on(async { roles().run() })
        }
        other => panic!("no scenario is called {other}"),
    }
}

/// Roles that the user names, around the workers.
fn roles() -> Hatchery {
    let script = |cx| probe::act(cx, "sleep:30 ready stopping".into());
    Hatchery::new().role("cache", 1, script).workers(2, script).role("mailer", 1, script).agent(script).program("roles")
}

/// A plan that is not the same in every process.
fn fickle() -> Hatchery {
    let script = |cx| probe::act(cx, "ready stopping".into());
    let in_worker = std::env::args_os().next().is_some_and(|name| name.to_string_lossy().contains(": worker/"));
    let plan = Hatchery::new().agent(script).workers(1, script).program("fickle");
    if in_worker { plan.role("mailer", 1, script) } else { plan }
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
        if !told.cluster_ready().await {
            return;
        }
        say(&told, "cluster is ready");
        let first = told.incarnation() == hatchery::Incarnation::FIRST && told.slot().index() == 0;
        if first && told.role() == hatchery::Role::WORKER {
            println!("ready for tests");
        }
    });
}
