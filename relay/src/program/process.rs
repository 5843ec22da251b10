//! What `/proc` says of processes: enough to find those that are ours and none that are not.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::leftovers::RunToken;

/// The fields of `/proc/PID/stat` we go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    runs: bool,
    group: i32,
    /// In clock ticks since boot: with the number, it names a process for good.
    pub(super) start: u64,
}

/// A process that forks while it is swept leaves a child for the next round.
const SWEEPS: usize = 4;

impl Stat {
    /// What the kernel says of that process; `None` if there is none.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The process's name, in parentheses, may hold anything, spaces and parentheses included.
    fn parse(text: &str) -> Option<Self> {
        let (_, after_name) = text.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let start = fields.nth(16)?.parse().ok()?;
        Some(Self {
            runs: !matches!(state, "Z" | "X"),
            group,
            start,
        })
    }
}

/// A process of that group runs.
pub(super) fn group_runs(group: i32) -> bool {
    all().any(|pid| Stat::of(pid).is_some_and(|stat| stat.runs && stat.group == group))
}

/// Kills every process that was started with one of those tokens in its environment, itself or by
/// an ancestor; returns how many. Blocks for some microseconds per process on the machine.
pub(super) fn sweep(runs: &[RunToken]) -> usize {
    let marks: Vec<String> = runs.iter().map(RunToken::variable).collect();
    let mut killed = 0;
    for _ in 0..SWEEPS {
        let strays: Vec<i32> = all().filter(|pid| is_marked(*pid, &marks)).collect();
        if strays.is_empty() {
            break;
        }
        for stray in strays {
            if kill(Pid::from_raw(stray), Signal::SIGKILL).is_ok() {
                killed += 1;
            }
        }
    }
    killed
}

/// It was started with one of those variables, itself or by an ancestor.
pub(super) fn is_marked(pid: i32, marks: &[String]) -> bool {
    // Unreadable is another user's or gone, empty is dead.
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environment
        .split(|byte| *byte == 0)
        .any(|variable| marks.iter().any(|mark| mark.as_bytes() == variable))
}

fn all() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_spaces_and_parentheses_is_no_field() {
        let text = "41 (a) b (c)) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let expected = Stat {
            runs: true,
            group: 77,
            start: 4242,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("41 (cut"), None);
    }

    #[test]
    fn this_process_runs_in_its_group() {
        let me = i32::try_from(std::process::id()).unwrap();
        let stat = Stat::of(me).unwrap();
        assert!(stat.start > 0);
        assert!(group_runs(stat.group));
    }
}
