//! How a command fails: what happened, why, what to do; and with which exit code.

use crate::cli::Exit;
use std::fmt;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the shell gets.
    pub(crate) exit: Exit,
    message: String,
}

/// How a command ends.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure { exit, message: message.to_string() }
    }

    /// A failure that has no exit code of its own.
    pub(crate) fn plain(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Failed, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
