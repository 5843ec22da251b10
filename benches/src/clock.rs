//! The one clock of a benchmark: monotonic nanoseconds, the same in every process of the machine.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since an arbitrary point; comparable between processes.
#[must_use]
pub fn now() -> u64 {
    // CLOCK_MONOTONIC can't fail on Linux; 0 would show as an absurd latency at once.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec() as u64 * NANOS_PER_SECOND + time.tv_nsec() as u64
    })
}

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;
