//! A cluster with a control socket, and a command that asks it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hatchery::control::{Admins, Control};
use hatchery::{Context, ControlClient, ControlRequest, Hatchery, Heartbeat, Schedule};

use super::probe;

#[derive(Clone, Debug, Parser)]
pub struct Options {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, default_value = "2")]
    workers: usize,
    #[arg(long, default_value = "ready stopping")]
    agent: String,
    #[arg(long, default_value = "ready stopping")]
    worker: String,
    #[arg(long, default_value = "5000")]
    stop_timeout: u64,
    #[arg(long, default_value = "5000")]
    patience: u64,
    #[arg(long, default_value = "32")]
    connections: usize,
    #[arg(long)]
    admins: Option<Who>,
    /// How often, in milliseconds, the workers are asked whether they are there. They may be silent for an hour.
    #[arg(long)]
    heartbeat: Option<u64>,
    /// Worker 0 can open its files anew, worker 1 cannot, worker 2 does not come to it.
    #[arg(long)]
    files: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Who {
    Owner,
    Nobody,
}

pub fn cluster(options: Options) -> Hatchery {
    let Options { agent, worker, files, .. } = options;
    let control = Control::new(options.dir)
        .patience(Duration::from_millis(options.patience))
        .connections(options.connections)
        .admins(match options.admins {
            None => Admins::OwnerAndRoot,
            Some(Who::Owner) => Admins::Owner,
            Some(Who::Nobody) => Admins::Nobody,
        });
    let heartbeat = options.heartbeat.map(Duration::from_millis);
    let heartbeat = heartbeat.map(|interval| Heartbeat::every(interval).timeout(Duration::from_secs(3600)));
    let stop_timeout = Duration::from_millis(options.stop_timeout);
    Hatchery::new()
        .program("control")
        .listen("127.0.0.1:0")
        .control(control)
        .agent(move |cx| probe::act(cx, agent.clone()))
        .workers(options.workers, move |cx| serve(cx, worker.clone(), files))
        .tune("worker", move |role| {
            role.stop_timeout(stop_timeout).heartbeat(heartbeat);
        })
        .schedule("hourly", Schedule::cron("0 * * * *"), |_, _| async { Ok::<_, String>(()) })
}

async fn serve(cx: Context, script: String, files: bool) -> hatchery::Result<()> {
    let mut listener = cx.listener()?;
    // Holds what it accepts.
    cx.spawn(async move {
        let mut held = Vec::new();
        while let Some(stream) = listener.accept().await {
            held.push(stream);
        }
    });
    if files {
        let nth = cx.slot().index();
        cx.on_reopen(move || async move {
            match nth {
                0 => Ok(()),
                1 => Err("no room on the disk"),
                _ => std::future::pending().await,
            }
        });
    }
    probe::act(cx, script).await
}

/// Asks for the status, and for a restart, and says what comes of it.
pub fn client(dir: &str) -> ExitCode {
    match ControlClient::connect(dir.as_ref()) {
        Ok(mut client) => {
            for request in [ControlRequest::Status, ControlRequest::Restart { slot: "worker/0".into() }] {
                println!("{request}: {:?}", client.ask(&request, Duration::from_secs(30)));
            }
        }
        Err(error) => println!("no connection: {error}"),
    }
    println!("that is all");
    ExitCode::SUCCESS
}
