//! A directory for all that a cluster has, and the commands about the cluster in it.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Cluster, Start, scenario};

/// A directory in which a cluster has everything that it has.
pub struct Place(tempfile::TempDir);

pub fn place() -> Place {
    Place(tempfile::tempdir().expect("a directory"))
}

/// A command that is being written down.
pub struct Commanded(pub Start);

impl Commanded {
    pub fn arg(self, name: &str, value: impl ToString) -> Commanded {
        Commanded(self.0.arg(name, value))
    }

    pub fn flag(self, name: &str) -> Commanded {
        Commanded(self.0.flag(name))
    }

    pub fn go(self) -> Cluster {
        self.0.spawn()
    }
}

impl Place {
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn control(&self) -> PathBuf {
        self.path("control")
    }

    /// A plan of the probe, before its command.
    pub fn probe(&self, agent: &str, worker: &str) -> Start {
        scenario("commands").arg("--agent", agent).arg("--worker", worker)
    }

    /// The start of a plan, with options of the command.
    pub fn started(&self, plan: Start, options: &[&str]) -> Commanded {
        let command = plan.flag("start").arg("--control-dir", self.control().display());
        Commanded(options.iter().fold(command, |command, option| command.flag(option)))
    }

    pub fn start(&self, agent: &str, worker: &str) -> Commanded {
        self.started(self.probe(agent, worker), &[])
    }

    /// A command about the cluster that is here.
    pub fn command(&self, name: &str, options: &[&str]) -> Cluster {
        let command = options.iter().fold(scenario("commands").flag(name), |command, option| command.flag(option));
        let knows_place = !matches!(name, "logs");
        match knows_place {
            true => command.arg("--control-dir", self.control().display()).spawn(),
            false => command.spawn(),
        }
    }

    /// What `status` says on stdout, whatever it comes to.
    pub fn status(&self) -> String {
        let mut command = self.command("status", &[]);
        command.wait();
        command.until_closed();
        command.lines().join("\n")
    }

    /// Stops the cluster, which must end with this code.
    #[track_caller]
    pub fn stop(&self, code: i32) {
        self.command("stop", &[]).wait_code(code);
    }

    /// The files that are left, but for the control directory, which stays and must be empty.
    pub fn left(&self) -> Vec<String> {
        let names = |path: PathBuf| -> Vec<String> {
            let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
            entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned()).collect()
        };
        let mut left: Vec<String> = names(self.0.path().into()).into_iter().filter(|name| name != "control").collect();
        left.extend(names(self.control()).into_iter().map(|name| format!("control/{name}")));
        left
    }

    /// A cluster in the foreground, ready.
    #[track_caller]
    pub fn running(&self, agent: &str, worker: &str) -> Cluster {
        let cluster = self.start(agent, worker).go();
        cluster.line(|line| line.starts_with("ready "));
        cluster
    }
}
