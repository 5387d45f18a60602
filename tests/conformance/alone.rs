//! A program that is one process: `run` with members that are threads, and the signals of an operator.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use hatchery::{Context, Hatchery};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

pub const ARGUMENT: &str = "--alone";

async fn agent(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    cx.cluster_ready().await;
    println!("all are ready");
    cx.stopping().await;
    println!("the agent goes last");
    Ok(())
}

async fn worker(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    cx.stopping().await;
    println!("a worker goes");
    Ok(())
}

pub fn run() -> ExitCode {
    Hatchery::new().in_threads().agent(agent).workers(2, worker).run()
}

pub fn trial() -> Trial {
    crate::trial("a program in one process stops in order on SIGTERM, and exits with 0".into(), || {
        let own = std::env::current_exe().expect("it runs");
        let mut program =
            Command::new(own).arg(ARGUMENT).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(program.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
        assert_eq!(lines.next().as_deref(), Some("all are ready"));
        kill_process(Pid::from_child(&program), Signal::TERM).expect("it is ours");
        assert_eq!(lines.collect::<Vec<_>>(), ["a worker goes", "a worker goes", "the agent goes last"]);
        assert_eq!(program.wait().expect("it is ours").code(), Some(0));
    })
}
