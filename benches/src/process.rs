//! What a process and its children have used, read from `/proc`.

use std::{fs, io, ops::AddAssign, path::Path};

use nix::sys::resource::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// Totals of a process tree since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU, user and system, all threads, ns.
    pub cpu_ns: u64,
    /// Context switches, voluntary and not.
    pub switches: u64,
    /// Resident memory, bytes.
    pub rss: u64,
}

/// What was used between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Time on a CPU, ns.
    pub cpu_ns: u64,
    /// Context switches.
    pub switches: u64,
    /// Resident memory at the second look, bytes.
    pub rss: u64,
}

impl Usage {
    /// Reads `pid` and everything below it, but not an origin that a plane under test has
    /// started: that is another program's work.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut total = Self::default();
        let mut left = vec![pid];
        while let Some(pid) = left.pop() {
            let process = Path::new("/proc").join(pid.to_string());
            for task in fs::read_dir(process.join("task"))? {
                let task = task?.path();
                // A thread that ended since the folder was listed has nothing to read.
                let Ok(cpu_ns) = first_number(&task.join("schedstat")) else {
                    continue;
                };
                let status = fs::read_to_string(task.join("status")).unwrap_or_default();
                let children = fs::read_to_string(task.join("children")).unwrap_or_default();
                total.cpu_ns += cpu_ns;
                total.switches += switches(&status);
                let children = children.split_whitespace().filter(|pid| !is_origin(pid));
                left.extend(children.filter_map(|pid| pid.parse::<u32>().ok()));
            }
            total.rss += resident(&fs::read_to_string(process.join("status"))?);
        }
        Ok(total)
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Spent {
        Spent {
            // A thread that ended in between takes its time with it.
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            switches: self.switches.saturating_sub(before.switches),
            rss: self.rss,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu_ns += other.cpu_ns;
        self.switches += other.switches;
        self.rss += other.rss;
    }
}

/// File descriptors that a process may have, as this one's children inherit it.
#[must_use]
pub fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(now, _)| now)
}

fn is_origin(pid: &str) -> bool {
    let name = fs::read_to_string(Path::new("/proc").join(pid).join("comm"));
    name.is_ok_and(|name| name.trim_end() == ORIGIN)
}

/// What the kernel calls a process of this program.
const ORIGIN: &str = "fprs-bench";

fn first_number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    Ok(text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_default())
}

fn switches(status: &str) -> u64 {
    let lines = status
        .lines()
        .filter(|line| line.contains("ctxt_switches:"));
    lines
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

fn resident(status: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;
    use nix::sys::resource::{UsageWho, getrusage};

    #[test]
    fn cpu_time_agrees_with_what_the_kernel_charges_the_process() {
        let before = Usage::of(std::process::id()).expect("own process");
        let charged = || {
            let usage = getrusage(UsageWho::RUSAGE_SELF).expect("own usage");
            let of =
                |t: nix::sys::time::TimeVal| t.tv_sec() as u64 * 1_000_000 + t.tv_usec() as u64;
            of(usage.user_time()) + of(usage.system_time())
        };
        let start = charged();
        while charged() - start < 100_000 {
            black_box((0..10_000_u64).fold(0, |sum, n| black_box(sum ^ n)));
        }
        let spent = Usage::of(std::process::id())
            .expect("own process")
            .since(&before);
        // Other tests run in this process too, and a tick is 10 ms: at least the burnt time.
        assert!(spent.cpu_ns >= 90_000_000, "{spent:?}");
        assert!(spent.rss > 0 && spent.switches < 1_000_000, "{spent:?}");
    }

    #[test]
    fn status_lines_are_read() {
        let status =
            "VmRSS:\t  1024 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!((resident(status), switches(status)), (1 << 20, 10));
    }
}
