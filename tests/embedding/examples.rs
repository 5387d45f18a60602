//! The examples say in their heads what one will see. This is what one sees.

use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::Trial;

use crate::trial;

#[path = "../../examples/custom_strategy.rs"]
#[allow(dead_code, unused_imports, reason = "its main is called here, its tests are run where it is")]
mod custom_strategy;
#[path = "../../examples/embed_in_ractor.rs"]
#[allow(dead_code, reason = "its main is called here")]
mod embed_in_ractor;
#[path = "../../examples/embed_in_tokio.rs"]
#[allow(dead_code, reason = "its main is called here")]
mod embed_in_tokio;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("example: in a tokio program", in_tokio),
        trial("example: in a tree of actors", in_ractor),
        trial("example: a strategy of one's own", strategy),
    ]
}

pub fn run(name: &str) -> ExitCode {
    match name {
        "tokio" => embed_in_tokio::main(),
        "ractor" => embed_in_ractor::main(),
        "strategy" => custom_strategy::main(),
        other => panic!("no example is called {other}"),
    }
}

/// What the example prints. It ends by itself, and with nobody left: whoever was would hold the pipe that is read here to
/// its end.
fn printed(name: &str) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    let output = command.args(["--example", name]).stdin(Stdio::null()).output().expect("it can be started");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    stdout.lines().map(str::to_owned).collect()
}

/// The lines that the head of an example promises.
fn promised(source: &'static str) -> Vec<&'static str> {
    let head =
        source.lines().map_while(|line| line.strip_prefix("//!").map(|line| line.strip_prefix(' ').unwrap_or(line)));
    let console = head.skip_while(|line| !line.starts_with('$')).skip(1);
    console.take_while(|line| *line != "```").collect()
}

fn in_tokio() {
    let (printed, promised) = (printed("tokio"), promised(include_str!("../../examples/embed_in_tokio.rs")));
    assert_eq!(printed.len(), promised.len(), "{printed:#?}");
    for (printed, promised) in printed.iter().zip(promised) {
        // What is decided depends on how long the worker had lived.
        let same = |line: &str| line.split(" -> ").next().unwrap_or_default().trim().to_owned();
        assert_eq!(same(printed), same(promised));
    }
}

fn in_ractor() {
    assert_eq!(printed("ractor"), promised(include_str!("../../examples/embed_in_ractor.rs")));
}

fn strategy() {
    assert_eq!(printed("strategy"), promised(include_str!("../../examples/custom_strategy.rs")));
}
