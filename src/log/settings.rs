//! What a plan says of its logs, and what it comes to.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tracing::level_filters::LevelFilter;

use super::stamp::Stamp;
use crate::identity::Role;

/// The most kinds of its own that a plan may have: what is about to be written to all files of a batch is one record.
const KINDS: usize = 8;

/// The file in which the errors of all are.
const ERRORS: &str = "error";

/// The longest batch, in bytes. Long enough that writing one costs more than sending it, and short enough that a message of the
/// user's is not long behind it.
const BATCH: usize = 128 * 1024;

/// The least that the payload limit of a plan with logs may be, in bytes.
pub(crate) const PAYLOAD: usize = 64 * 1024;

/// What a batch is besides its lines: numbers and lengths.
const HEAD: usize = 1024;

/// What is logged where nobody says what.
pub(super) const LEVEL: LevelFilter = LevelFilter::INFO;

/// The smallest buffer that is worth having: a few batches.
const BUFFER: usize = 1 << 20;

/// How the family logs: where to, in which form, and for how long it is kept. To be given to
/// [`Hatchery::logs`](crate::Hatchery::logs).
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to a plan"]
pub struct Logs {
    dir: PathBuf,
    json: bool,
    level: LevelFilter,
    kinds: Vec<(String, String)>,
    rotation: Rotation,
    keep_days: u16,
    buffer: usize,
    zone: Option<String>,
    backtraces: bool,
}

/// When a file is put aside and another is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub(super) daily: bool,
    pub(super) size: Option<u64>,
}

impl Rotation {
    /// With the first line of a day.
    pub fn daily() -> Rotation {
        Rotation { daily: true, size: None }
    }

    /// Before it would be longer than so many bytes. A batch of lines, of up to 128 KiB, is in one file all the same.
    pub fn size(bytes: u64) -> Rotation {
        Rotation { daily: false, size: Some(bytes) }
    }

    /// Never by us: somebody else renames the files, and sends the master a SIGUSR1.
    pub fn never() -> Rotation {
        Rotation { daily: false, size: None }
    }

    /// Also before it would be longer than so many bytes.
    #[must_use]
    pub fn or_size(self, bytes: u64) -> Rotation {
        Rotation { size: Some(bytes), ..self }
    }
}

impl Logs {
    /// Into this directory, which is created where it is missing: `agent.log`, `worker.log`, one for each role, and `error.log`
    /// with the errors of all. One cluster has it to itself. Relative to the working directory of the master.
    pub fn new(dir: impl Into<PathBuf>) -> Logs {
        Logs {
            dir: dir.into(),
            json: false,
            level: LEVEL,
            kinds: Vec::new(),
            rotation: Rotation::daily(),
            keep_days: 31,
            buffer: 8 << 20,
            zone: None,
            backtraces: true,
        }
    }

    /// One JSON object to a line: `timestamp`, `level`, `member`, `fields`, `target`, `spans`. Default: text.
    pub fn json(mut self) -> Logs {
        self.json = true;
        self
    }

    /// What is logged. Default: [`LevelFilter::INFO`] and more important.
    pub fn level(mut self, level: LevelFilter) -> Logs {
        self.level = level;
        self
    }

    /// A file of its own, `name.log`, for what is logged with this `target` or one below it (`target::…`), by any member. The
    /// first that fits is taken. At most 8.
    pub fn kind(mut self, name: impl Into<String>, target: impl Into<String>) -> Logs {
        self.kinds.push((name.into(), target.into()));
        self
    }

    /// When a file is put aside: renamed to `worker.log.2026-11-28`, the day of what is in it; the second of a day has `.1` behind
    /// it. Default: [`Rotation::daily`].
    pub fn rotation(mut self, rotation: Rotation) -> Logs {
        self.rotation = rotation;
        self
    }

    /// For how many days files that were put aside are kept. Default 31. 0: for ever.
    pub fn keep_days(mut self, days: u16) -> Logs {
        self.keep_days = days;
        self
    }

    /// How many bytes of lines may wait in each member until they are written, at least 1 MiB. What comes on top is dropped and
    /// counted. Default 8 MiB.
    pub fn buffer(mut self, bytes: usize) -> Logs {
        self.buffer = bytes;
        self
    }

    /// By whose clock lines and files are dated: the name of an IANA time zone. Default: UTC.
    pub fn time_zone(mut self, name: impl Into<String>) -> Logs {
        self.zone = Some(name.into());
        self
    }

    /// Has no backtraces made of exceptions. They cost the member that has one the time to look up names: milliseconds, and with the
    /// debug information of a large program up to a second, in which its thread does nothing else.
    pub fn without_backtraces(mut self) -> Logs {
        self.backtraces = false;
        self
    }

    pub(crate) fn check(self, roles: &[Role], payload_limit: usize) -> Result<Rules, LogsError> {
        if self.dir.as_os_str().is_empty() {
            return Err(LogsError::wrong("the directory", "it has no name"));
        }
        if self.kinds.len() > KINDS {
            return Err(LogsError::wrong("the kinds", format!("there are {}, and {KINDS} at most", self.kinds.len())));
        }
        if self.buffer < BUFFER {
            return Err(LogsError::wrong("the buffer", format!("it is {} bytes, and {BUFFER} the least", self.buffer)));
        }
        if self.rotation.size == Some(0) {
            return Err(LogsError::wrong("the rotation", "no file is shorter than nothing"));
        }
        if payload_limit < PAYLOAD {
            let why = format!("it is {payload_limit} bytes, and logs need {PAYLOAD}");
            return Err(LogsError::wrong("the payload limit", why));
        }
        let stamp = match &self.zone {
            None => Stamp::utc(),
            Some(name) => {
                let unknown = |error: jiff::Error| LogsError::wrong("the time zone", error.to_string());
                Stamp::new(TimeZone::get(name).map_err(unknown)?)
            }
        };
        if roles.iter().any(|role| role.name() == ERRORS) {
            return Err(LogsError::wrong(
                "the files",
                format!("a role is called {ERRORS:?}, as the file of all errors is"),
            ));
        }
        let dir =
            std::path::absolute(&self.dir).map_err(|error| LogsError::wrong("the directory", error.to_string()))?;
        let mut files: Vec<String> = roles.iter().map(|role| role.name().to_owned()).collect();
        files.push(ERRORS.to_owned());
        let mut kinds = Vec::new();
        for (name, target) in self.kinds {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                let why =
                    format!("{name:?} cannot be the name of a file: use letters, digits, '-' and '_', 64 at most");
                return Err(LogsError::wrong("a kind", why));
            }
            if files.contains(&name) {
                return Err(LogsError::wrong("a kind", format!("there is a file called {name:?} already")));
            }
            if target.is_empty() {
                return Err(LogsError::wrong("a kind", format!("{name:?} has no target")));
            }
            kinds.push((target, files.len() as u8));
            files.push(name);
        }
        let batch = BATCH.min(payload_limit - HEAD);
        Ok(Rules {
            dir,
            json: self.json,
            level: self.level,
            roles: roles.to_vec(),
            files,
            kinds,
            rotation: self.rotation,
            keep_days: self.keep_days,
            buffer: self.buffer,
            batch,
            stamp: Arc::new(stamp),
            backtraces: self.backtraces,
        })
    }
}

/// What is wrong with the logs of a plan. It names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {why}")]
pub struct LogsError {
    setting: &'static str,
    why: String,
}

impl LogsError {
    fn wrong(setting: &'static str, why: impl Into<String>) -> LogsError {
        LogsError { setting, why: why.into() }
    }
}

/// The same, checked. Every process of a cluster has the same.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(super) dir: PathBuf,
    pub(super) json: bool,
    pub(super) level: LevelFilter,
    roles: Vec<Role>,
    /// Their names, without the ending: the roles, the errors, the kinds.
    pub(super) files: Vec<String>,
    /// What is logged with this target goes to that file.
    kinds: Vec<(String, u8)>,
    pub(super) rotation: Rotation,
    pub(super) keep_days: u16,
    pub(super) buffer: usize,
    /// The longest batch.
    pub(super) batch: usize,
    pub(super) stamp: Arc<Stamp>,
    /// Of exceptions.
    pub(crate) backtraces: bool,
}

impl Rules {
    /// The file of a role.
    pub(super) fn of_role(&self, role: Role) -> u8 {
        // What the master says of itself is about all of them.
        self.roles.iter().position(|known| *known == role).map_or(self.errors(), |at| at as u8)
    }

    /// The file of what is logged with this target, where it has one of its own.
    pub(super) fn of_target(&self, target: &str) -> Option<u8> {
        let below =
            |kind: &str| target.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        self.kinds.iter().find(|(kind, _)| below(kind)).map(|(_, file)| *file)
    }

    /// The file in which the errors of all are.
    pub(super) fn errors(&self) -> u8 {
        self.roles.len() as u8
    }

    /// The longest line: two of them fit into a batch, since an error is in two files.
    pub(super) fn line(&self) -> usize {
        self.batch / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn check(logs: Logs) -> Result<Rules, String> {
        logs.check(&[Role::AGENT, Role::WORKER], MIB).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            (Logs::new(""), "the directory: it has no name"),
            (Logs::new("log").buffer(1000), "the buffer: it is 1000 bytes, and 1048576 the least"),
            (Logs::new("log").rotation(Rotation::size(0)), "the rotation: no file is shorter than nothing"),
            (Logs::new("log").kind("worker", "web"), "a kind: there is a file called \"worker\" already"),
            (Logs::new("log").kind("error", "web"), "a kind: there is a file called \"error\" already"),
            (Logs::new("log").kind("access", ""), "a kind: \"access\" has no target"),
        ];
        for (logs, complaint) in rows {
            assert_eq!(check(logs).map(drop), Err(complaint.to_owned()));
        }
        assert!(check(Logs::new("log").kind("../x", "web")).is_err_and(|error| error.contains("\"../x\"")));
        assert!(check(Logs::new("log").time_zone("Mars/Olympus")).is_err_and(|error| error.contains("the time zone")));
        let nine = (0..9).fold(Logs::new("log"), |logs, n| logs.kind(format!("k{n}"), "web"));
        assert_eq!(check(nine).map(drop), Err("the kinds: there are 9, and 8 at most".into()));
        let small = Logs::new("log").check(&[Role::AGENT], 1000);
        assert!(small.is_err_and(|error| error.to_string().contains("logs need 65536")));
    }

    #[test]
    fn a_target_goes_to_the_first_kind_that_it_is_or_is_below() {
        let rules = check(Logs::new("log").kind("access", "web::access").kind("web", "web")).expect("it is good");
        assert_eq!(rules.files, ["agent", "worker", "error", "access", "web"]);
        assert_eq!((rules.of_role(Role::WORKER), rules.errors()), (1, 2));
        let of = |target| rules.of_target(target);
        assert_eq!((of("web::access"), of("web::access::slow"), of("web::accessory")), (Some(3), Some(3), Some(4)));
        assert_eq!((of("web"), of("website"), of("other")), (Some(4), None, None));
    }
}
