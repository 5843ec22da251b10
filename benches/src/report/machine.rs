//! Where a comparison ran: without this its figures mean little.

use std::{fs, process::Command};

use serde::Serialize;

/// The machine and the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// How many of them.
    pub cores: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The commit, with `-dirty` where files were changed.
    pub commit: String,
    /// Load average of the last minute when it began: above 0, somebody else was at work.
    pub load_before: String,
}

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, v)| v.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kibibytes = memory
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        Self {
            cpu: field(&cpus, "model name").unwrap_or_default(),
            cores: cpus
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            memory_mib: kibibytes.unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            commit: commit(),
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
