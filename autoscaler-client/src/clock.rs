//! The process's monotonic clock in whole microseconds. Every gauge of a process uses this one, so
//! that their integrals can be compared and added.

use std::sync::LazyLock;
use std::time::Instant;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds since the process first asked. Never goes back.
pub fn now_us() -> u64 {
    at_us(Instant::now())
}

/// The same of a moment that is known already; 0 of one before the first.
pub fn at_us(at: Instant) -> u64 {
    let since = at.saturating_duration_since(*ORIGIN);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
