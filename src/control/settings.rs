//! Where the socket is, who may do what over it, and how much of it there is.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The control socket of a cluster, before it is served: [`Hatchery::control`](crate::Hatchery::control),
/// [`ClusterHandle::serve_control`](crate::ClusterHandle::serve_control). A path is one with all defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a setting does nothing until it is served"]
pub struct Control {
    pub(super) dir: PathBuf,
    pub(super) admins: Admins,
    pub(super) connections: usize,
    pub(super) patience: Duration,
}

/// Who may ask for what changes something. To ask how things are, everybody may who may connect: the user of the master, and
/// root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admins {
    /// The user of the master, and root.
    #[default]
    OwnerAndRoot,
    /// The user of the master.
    Owner,
    /// Nobody: the socket is there to be read.
    Nobody,
}

impl Control {
    /// A socket in this directory, which is created, with mode 700, if it is not there.
    pub fn new(dir: impl Into<PathBuf>) -> Control {
        Control { dir: dir.into(), admins: Admins::default(), connections: 32, patience: Duration::from_secs(5) }
    }

    /// Who may change something. Default: the user of the master, and root.
    pub fn admins(mut self, admins: Admins) -> Control {
        self.admins = admins;
        self
    }

    /// How many connections are served at once; one more is told that it is busy. At least 1. Default 32.
    pub fn connections(mut self, connections: usize) -> Control {
        self.connections = connections.clamp(1, 4096);
        self
    }

    /// How long whoever has connected may take to ask, whole, and to read what it is answered, each time. Default 5 s.
    pub fn patience(mut self, patience: Duration) -> Control {
        self.patience = patience;
        self
    }
}

impl From<PathBuf> for Control {
    fn from(dir: PathBuf) -> Control {
        Control::new(dir)
    }
}

impl From<&Path> for Control {
    fn from(dir: &Path) -> Control {
        Control::new(dir)
    }
}

impl From<&str> for Control {
    fn from(dir: &str) -> Control {
        Control::new(dir)
    }
}

impl From<String> for Control {
    fn from(dir: String) -> Control {
        Control::new(dir)
    }
}
