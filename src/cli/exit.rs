//! How a command ends.

use crate::process::say;

/// What a command comes to, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCode {
    /// 0: it is as was asked.
    Done,
    /// 1: it is not; stderr says why in a sentence. The start failed, the slot is not there, this user may not.
    Failed,
    /// 2: the command or the plan cannot be meant.
    Usage,
    /// 3: the cluster gave up, while `start` ran it in the foreground.
    GaveUp,
    /// 4: there is no such cluster.
    NotRunning,
    /// 5: it is not done yet, and the time that the command had is over. What was asked for goes on.
    StillGoing,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> std::process::ExitCode {
        std::process::ExitCode::from(match code {
            ExitCode::Done => 0,
            ExitCode::Failed => 1,
            ExitCode::Usage => 2,
            ExitCode::GaveUp => 3,
            ExitCode::NotRunning => 4,
            ExitCode::StillGoing => 5,
        })
    }
}

impl ExitCode {
    /// The same, with the sentence that says why.
    pub(super) fn with(self, sentence: &str) -> ExitCode {
        say(sentence);
        self
    }
}
