//! PURE. Why a command ended without success: one line that says what and what to do, and the exit
//! code.

use std::fmt;

/// A command's failure.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Exit code of a failure.
    const FAILED: u8 = 1;
    /// Exit code of bad usage (`EX_USAGE` of sysexits.h).
    const USAGE: u8 = 64;

    /// What went wrong, and what to do about it.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            message: one_line(&message.to_string()),
            code: Self::FAILED,
        }
    }

    /// The command was called wrongly.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self {
            message: one_line(&message.to_string()),
            code: Self::USAGE,
        }
    }

    /// The process's exit code.
    pub const fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Messages from libraries may have several lines; ours have one.
fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}
