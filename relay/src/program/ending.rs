//! PURE. How a program ended, in words a user can act on.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::launch::LaunchError;

/// How a replica's life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to.
    Stopped,
    /// Never ready, or dead unasked.
    Failed {
        /// For counting.
        cause: Cause,
        /// One line a user can act on.
        reason: String,
    },
}

/// The closed set of ways to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The command can't be run.
    Launch,
    /// It ended before it listened.
    ExitedEarly,
    /// It didn't listen in time.
    StartupTimeout,
    /// It ended after it was ready.
    Died,
}

/// Lines of output that a reason quotes.
pub(crate) const QUOTED_LINES: usize = 3;
/// Bytes of them at most; reasons are kept in the store.
const QUOTED_BYTES: usize = 500;

impl Cause {
    /// The value of the metrics' label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::ExitedEarly => "exited_early",
            Self::StartupTimeout => "startup_timeout",
            Self::Died => "died",
        }
    }
}

impl End {
    pub(super) fn not_launched(error: &LaunchError) -> Self {
        Self::failed(Cause::Launch, error.to_string())
    }

    pub(super) fn exited_early(status: ExitStatus, last: &[Arc<str>]) -> Self {
        let ended = ended(status);
        let reason = format!("{ended} before listening on $PORT; {}", quote(last));
        Self::failed(Cause::ExitedEarly, reason)
    }

    pub(super) fn startup_timeout(port: u16, limit: Duration, last: &[Arc<str>]) -> Self {
        let quoted = quote(last);
        let reason = format!("did not listen on $PORT ({port}) within {limit:?}; {quoted}");
        Self::failed(Cause::StartupTimeout, reason)
    }

    pub(super) fn died(status: ExitStatus, last: &[Arc<str>]) -> Self {
        Self::failed(Cause::Died, format!("{}; {}", ended(status), quote(last)))
    }

    fn failed(cause: Cause, reason: String) -> Self {
        Self::Failed { cause, reason }
    }
}

/// The program's own words say that its port was taken by somebody else.
pub(super) fn says_port_taken(last: &[Arc<str>]) -> bool {
    last.iter().any(|line| {
        let line = line.to_ascii_lowercase();
        line.contains("address already in use") || line.contains("eaddrinuse")
    })
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(Signal::SIGKILL) => format!("killed by signal {number} (SIGKILL; out of memory?)"),
            Ok(signal) => format!("killed by signal {number} ({signal})"),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, None) => status.to_string(),
    }
}

/// The end of the output in one line: the last line tells most.
fn quote(last: &[Arc<str>]) -> String {
    let lines: Vec<&str> = last
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return "it wrote no output".to_owned();
    }
    let text = lines.join(" / ");
    let from = text.ceil_char_boundary(text.len().saturating_sub(QUOTED_BYTES));
    let cut = if from > 0 { "…" } else { "" };
    format!("last output: {cut}{}", text.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<Arc<str>> {
        lines.iter().map(|line| Arc::from(*line)).collect()
    }

    fn reason(end: End) -> String {
        match end {
            End::Failed { reason, .. } => reason,
            End::Stopped => panic!("stopped"),
        }
    }

    #[test]
    fn each_end_says_what_happened_and_quotes_the_last_output() {
        let last = lines(&["Traceback", "", "ImportError: no numpy"]);
        assert_eq!(
            reason(End::exited_early(ExitStatus::from_raw(1 << 8), &last)),
            "exited with status 1 before listening on $PORT; \
             last output: Traceback / ImportError: no numpy"
        );
        assert_eq!(
            reason(End::startup_timeout(41234, Duration::from_secs(30), &[])),
            "did not listen on $PORT (41234) within 30s; it wrote no output"
        );
        assert_eq!(
            reason(End::died(ExitStatus::from_raw(9), &[])),
            "killed by signal 9 (SIGKILL; out of memory?); it wrote no output"
        );
        assert_eq!(
            reason(End::died(ExitStatus::from_raw(11), &[])),
            "killed by signal 11 (SIGSEGV); it wrote no output"
        );
    }

    #[test]
    fn a_long_quote_keeps_its_end_and_whole_characters() {
        let quoted = quote(&lines(&[&"ü".repeat(1_000), "the end"]));
        assert!(quoted.ends_with("ü / the end"), "{quoted}");
        assert!(quoted.starts_with("last output: …ü"), "{quoted}");
        assert!(quoted.len() < QUOTED_BYTES + 20);
    }

    #[test]
    fn a_taken_port_is_recognized_in_the_words_of_common_programs() {
        let python = lines(&["OSError: [Errno 98] Address already in use"]);
        let node = lines(&["Error: listen EADDRINUSE: address :::41234"]);
        assert!(says_port_taken(&python) && says_port_taken(&node));
        assert!(!says_port_taken(&lines(&["in use"])));
    }
}
