//! The commands of a program that is a cluster: `app start --daemon`, `app status`, `app stop`. Needs the feature `cli`.
//!
//! ```no_run
//! use clap::Parser;
//! use hatchery::{Context, Hatchery, cli::{Command, Start}};
//!
//! #[derive(Parser)]
//! struct App {
//!     /// An option of its own. `global`: it may also stand behind the command.
//!     #[arg(long, global = true, default_value = "127.0.0.1:8080")]
//!     listen: String,
//!     #[command(subcommand)]
//!     command: Command,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let App { listen, command } = App::parse();
//!     command.run(|_: &Start| Hatchery::new().listen(listen).workers(4, worker))
//! }
//!
//! async fn worker(cx: Context) -> hatchery::Result<()> {
//!     cx.ready();
//!     cx.stopping().await;
//!     Ok(())
//! }
//! ```
//!
//! A program that has commands besides has an enum of its own, with these flattened into it (`#[command(flatten)]`). Exit codes
//! are those of [`ExitCode`]. What each command does, and where things are, is told by docs/operating.md.

mod exit;
mod logs;
mod operate;
mod places;
mod screen;
mod start;
mod status;
mod stop;
mod table;

use std::path::PathBuf;
use std::process;

use clap::{Args, Subcommand};

pub use self::exit::ExitCode;
pub use self::places::default_control_dir;
use crate::hatchery::Hatchery;

/// What an operator may want of a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Start the cluster, in the foreground or as a daemon
    Start(Start),
    /// Stop the cluster in order, and wait until it has gone
    Stop(Stop),
    /// Give a slot a new process, without a gap
    Restart(Restart),
    /// Have a role have so many members
    Scale(Scale),
    /// Show who is there, and how they are
    Status(Status),
    /// Tell why a slot stands where it does
    Why(Why),
    /// Have log files opened anew, after somebody has renamed them
    Reopen(Place),
    /// Print what the log files say
    Logs(Logs),
}

/// How to start. Your plan may look at it; what is set here is set in the plan that it returns, over what that says: but for
/// `log_dir`, which is for the plan to use, as in `match &start.log_dir { Some(dir) => plan.logs(Logs::new(dir)), None => plan }`.
#[derive(Args, Clone, Debug, Default)]
#[non_exhaustive]
pub struct Start {
    /// Go into the background, and return when all members are ready
    #[arg(long)]
    pub daemon: bool,
    /// How many workers
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Keep the number of the master in this file
    #[arg(long, value_name = "PATH")]
    pub pid_file: Option<PathBuf>,
    /// The directory for log files; a daemon's stdout and stderr go to master.log in it, and it must be there
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// The directory of the control socket [default: $XDG_RUNTIME_DIR/NAME, /run/NAME or /tmp/NAME-UID]
    #[arg(long, value_name = "DIR")]
    pub control_dir: Option<PathBuf>,
}

/// How to stop.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Stop {
    /// How long to wait for its end, in seconds [default: as long as it takes]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub timeout: Option<std::time::Duration>,
    /// The pid file that it was started with: where nobody serves the control socket, its master is told by a signal
    #[arg(long, value_name = "PATH")]
    pub pid_file: Option<PathBuf>,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Which slot to restart.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Restart {
    /// As in worker/2
    pub slot: String,
    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// How many of which.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Scale {
    /// As in worker
    pub role: String,
    /// How many
    pub count: u16,
    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// How to show who is there.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// In one line of JSON
    #[arg(long)]
    pub json: bool,
    /// Again each second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Of which slot.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Why {
    /// As in worker/2
    pub slot: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Which logs.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Logs {
    /// The directory that the cluster was started with
    #[arg(long, value_name = "DIR")]
    pub log_dir: PathBuf,
    /// Go on with what is written, over rotation, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// How many of the last lines of each file to begin with
    #[arg(long, short = 'n', value_name = "N", default_value = "100")]
    pub lines: usize,
}

/// Where a cluster that runs is found.
#[derive(Args, Clone, Debug, Default)]
#[non_exhaustive]
pub struct Place {
    /// The directory of the control socket [default: as of start]
    #[arg(long, value_name = "DIR")]
    pub control_dir: Option<PathBuf>,
}

/// How long to wait for the end of what was asked for.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Patience {
    /// How long to wait for it to be done, in seconds; it goes on after that
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "60")]
    pub timeout: std::time::Duration,
}

/// A span, an hour at most, as a command has it.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let secs: f64 = text.parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    match (0.0..=3600.0).contains(&secs) {
        true => Ok(std::time::Duration::from_secs_f64(secs)),
        false => Err("0 to 3600 seconds are possible".to_owned()),
    }
}

impl Command {
    /// Does what it says. The plan is asked for by `start` alone: in the process that becomes the master, in each member, and by
    /// a launcher, which looks whether it can be meant. So it must have no effects besides.
    ///
    /// In a member it does not return. Not to be called from within a tokio runtime.
    pub fn run(self, plan: impl FnOnce(&Start) -> Hatchery) -> process::ExitCode {
        match self {
            Command::Start(start) => start::run(&start, plan),
            Command::Stop(stop) => stop::run(&stop).into(),
            Command::Restart(restart) => operate::restart(&restart).into(),
            Command::Scale(scale) => operate::scale(&scale).into(),
            Command::Status(status) => status::run(&status).into(),
            Command::Why(why) => operate::why(&why).into(),
            Command::Reopen(place) => operate::reopen(&place).into(),
            Command::Logs(logs) => logs::run(&logs).into(),
        }
    }
}
