//! The plane end to end: the real binary, run and asked as users do, with real programs behind it.
//! Small by default; `FPRS_SOAK=1` runs the same tests at full size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod adjusting;
mod asking;
mod billing;
mod cells;
mod counting;
mod deploying;
mod ending;
mod fleet;
mod guide;
mod helping;
mod keeping;
mod quoted;
mod refusing;
mod roles;
mod scaling;
mod standing_by;
mod starting;
mod streams;
mod traffic;
mod watching;
mod workers;

use std::path::Path;
use std::time::Duration;

use fprs_testkit::program;

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    program::main();
}

/// The binary under test.
const FPRS: &str = env!("CARGO_BIN_EXE_fprs");

/// For what takes milliseconds on an idle machine; tests share theirs with others.
const SOON: Duration = Duration::from_secs(10);

/// The size of a test: the first one, or the second with `FPRS_SOAK=1`.
fn sized<T>(small: T, full: T) -> T {
    if std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1") {
        full
    } else {
        small
    }
}

/// Programs that serve with that record file, by process id, as far as they still run.
fn running_programs(record: &Path) -> Vec<u32> {
    let marker = format!("RECORD={}", record.display());
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == marker.as_bytes())
        })
        .collect()
}
