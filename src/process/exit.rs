//! What is known of the end of a process. A record, not a judgement: the core has its own words for it.

use std::time::Duration;

/// Everything that was found out about the end of one process. Delivered exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// What the kernel says.
    pub status: ExitStatus,
    /// The last text in its black box: the panic that it died of, or an earlier one that it survived.
    pub last_words: Option<String>,
    /// Where those came from. Empty: not known, or there was to be none.
    pub backtrace: String,
    /// It was killed by a signal that we did not send, and the kernel counted a kill for lack of memory.
    pub out_of_memory: bool,
    /// The last lines of its stderr as far as they were captured.
    pub stderr: String,
    /// From its start to its end.
    pub age: Duration,
}

/// What `waitid` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// Somebody else in this process waited for it: the status is lost.
    Stolen,
}
