//! When a member that ended is started again. OTP's words.

use std::fmt;

use super::fact::Exit;

/// When a member that ended is started again. OTP's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartType {
    /// Always.
    Permanent,
    /// Unless it exited with code 0.
    Transient,
    /// Never.
    Temporary,
}

impl RestartType {
    /// Whether one of this type is started again. `exit`: how it ended, where that was its own doing.
    pub fn restarts(self, exit: Option<&Exit>) -> bool {
        match self {
            RestartType::Permanent => true,
            RestartType::Transient => !exit.is_some_and(Exit::is_clean),
            RestartType::Temporary => false,
        }
    }
}

impl fmt::Display for RestartType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RestartType::Permanent => "permanent",
            RestartType::Transient => "transient",
            RestartType::Temporary => "temporary",
        })
    }
}
