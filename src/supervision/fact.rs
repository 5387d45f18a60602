//! What can happen to a member, in the words of the core: how a process ended, what it said of itself, what it
//! failed to do.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exit {
    /// What the kernel says.
    pub status: ExitStatus,
    /// The last thing it said of itself: the panic that it died of, the error that its function returned.
    pub exception: Option<Exception>,
    /// The kernel counted a kill for lack of memory at that time, and nobody else is known to have sent the signal.
    pub out_of_memory: bool,
    /// The last lines of its stderr, where they were captured. Empty otherwise.
    pub stderr: String,
    /// How long it lived.
    pub age: Duration,
}

/// What the kernel says of the end of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExitStatus {
    /// It exited.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// It never was: the operating system refused to start it.
    NotStarted(SpawnFailure),
    /// It was killed and is still there: in uninterruptible sleep, or frozen, or a thread that never
    /// yields. Nobody waits for it any more.
    Unkillable,
}

/// Why the operating system refused to start a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpawnFailure {
    /// The step that failed and what the system said.
    pub what: String,
    /// The number of the system's error, where there is one.
    pub errno: Option<i32>,
}

impl Exit {
    /// An end with this status, of which nothing else is known.
    pub fn new(status: ExitStatus) -> Exit {
        Exit { status, exception: None, out_of_memory: false, stderr: String::new(), age: Duration::ZERO }
    }

    /// It exited with this code.
    pub fn code(code: i32) -> Exit {
        Exit::new(ExitStatus::Code(code))
    }

    /// This signal ended it.
    pub fn signal(number: i32) -> Exit {
        Exit::new(ExitStatus::Signal { number, core_dumped: false })
    }

    /// The operating system refused to start it.
    pub fn not_started(what: impl Into<String>, errno: Option<i32>) -> Exit {
        Exit::new(ExitStatus::NotStarted(SpawnFailure { what: what.into(), errno }))
    }

    /// Whether it exited with code 0.
    pub fn is_clean(&self) -> bool {
        self.status == ExitStatus::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            ExitStatus::Code(code) => write!(f, "exited with code {code}")?,
            ExitStatus::Signal { number, core_dumped } => {
                write!(f, "killed by signal {number}")?;
                if *core_dumped {
                    f.write_str(" (core dumped)")?;
                }
                if self.out_of_memory {
                    f.write_str(" (out of memory)")?;
                }
            }
            ExitStatus::NotStarted(failure) => return write!(f, "could not be started: {}", failure.what),
            ExitStatus::Unkillable => return f.write_str("killed, but still there"),
        }
        match &self.exception {
            Some(exception) => write!(f, ": {exception}"),
            None => Ok(()),
        }
    }
}

/// What a member says when something in it went wrong and it is still alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exception {
    /// How it came about.
    pub kind: ExceptionKind,
    /// The place and the text, as far as known.
    pub message: String,
}

/// How an exception came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExceptionKind {
    /// A panic reached the panic hook outside of `hatchery::contain`.
    Panic,
    /// User code called `Context::report_exception`.
    Reported,
    /// The role function returned an error, or returned before it had said ready.
    Returned,
}

impl Exception {
    /// An exception of this kind.
    pub fn new(kind: ExceptionKind, message: impl Into<String>) -> Exception {
        Exception { kind, message: message.into() }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ExceptionKind::Panic => write!(f, "panicked at {}", self.message),
            ExceptionKind::Reported => write!(f, "reported an exception: {}", self.message),
            ExceptionKind::Returned => write!(f, "its function returned {}", self.message),
        }
    }
}

/// Why a link was lost while its process lived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LinkError {
    /// The member closed its end.
    Closed,
    /// The member sent what nobody may send.
    Protocol(String),
    /// Reading or writing failed.
    Io(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Closed => f.write_str("it closed its link"),
            LinkError::Protocol(what) => write!(f, "it broke the protocol of its link: {what}"),
            LinkError::Io(what) => write!(f, "its link failed: {what}"),
        }
    }
}

/// Why a member did not become ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BootFailure {
    /// It ended before it said ready.
    Ended(Exit),
    /// It did not say ready in time, and was killed.
    TimedOut {
        /// How long it had.
        allowed: Duration,
        /// How it ended then.
        exit: Exit,
    },
    /// It lost its link before it said ready.
    LinkLost {
        /// How the link was lost.
        error: LinkError,
        /// How it ended then.
        exit: Exit,
    },
}

impl BootFailure {
    /// How the process ended.
    pub fn exit(&self) -> &Exit {
        match self {
            BootFailure::Ended(exit) | BootFailure::TimedOut { exit, .. } | BootFailure::LinkLost { exit, .. } => exit,
        }
    }
}

impl fmt::Display for BootFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootFailure::Ended(exit) if matches!(exit.status, ExitStatus::NotStarted(_)) => write!(f, "{exit}"),
            BootFailure::Ended(exit) => write!(f, "{exit}, before it was ready"),
            BootFailure::TimedOut { allowed, .. } => write!(f, "was not ready within {allowed:?}: start timeout"),
            BootFailure::LinkLost { error, .. } => write!(f, "{error}, before it was ready"),
        }
    }
}

/// What a [`Strategy`](super::Strategy) is asked about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// The member is alive and says that something in it went wrong.
    Exception(&'a Exception),
    /// The process of a member that had been ready ended, and nobody had asked for it.
    Exited(&'a Exit),
    /// The process did not get as far as ready.
    BootFailed(&'a BootFailure),
    /// The link was lost while the process lived; it has been ended since.
    LinkLost(&'a LinkError),
    /// The member is alive and has not been heard of for this long, although it should have been.
    Unresponsive(Duration),
}

/// A fact that owns what it is about: a row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedFact(Owned);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Exception(Exception),
    Exited(Exit),
    BootFailed(BootFailure),
    LinkLost(LinkError),
    Unresponsive(Duration),
}

impl Fact<'_> {
    /// [`Fact::Exception`], for a table.
    pub fn exception(exception: Exception) -> OwnedFact {
        OwnedFact(Owned::Exception(exception))
    }

    /// [`Fact::Exited`], for a table.
    pub fn exited(exit: Exit) -> OwnedFact {
        OwnedFact(Owned::Exited(exit))
    }

    /// [`Fact::BootFailed`], for a table.
    pub fn boot_failed(failure: BootFailure) -> OwnedFact {
        OwnedFact(Owned::BootFailed(failure))
    }

    /// [`Fact::LinkLost`], for a table.
    pub fn link_lost(error: LinkError) -> OwnedFact {
        OwnedFact(Owned::LinkLost(error))
    }

    /// [`Fact::Unresponsive`], for a table.
    pub fn unresponsive(span: Duration) -> OwnedFact {
        OwnedFact(Owned::Unresponsive(span))
    }
}

impl OwnedFact {
    /// As a strategy is told it.
    pub fn as_fact(&self) -> Fact<'_> {
        match &self.0 {
            Owned::Exception(exception) => Fact::Exception(exception),
            Owned::Exited(exit) => Fact::Exited(exit),
            Owned::BootFailed(failure) => Fact::BootFailed(failure),
            Owned::LinkLost(error) => Fact::LinkLost(error),
            Owned::Unresponsive(span) => Fact::Unresponsive(*span),
        }
    }
}

/// The end of a process by its exit code. Short for [`Exit::code`], as a row of a table reads best.
pub fn code(code: i32) -> Exit {
    Exit::code(code)
}

/// The end of a process by a signal. Short for [`Exit::signal`].
pub fn signal(number: i32) -> Exit {
    Exit::signal(number)
}
