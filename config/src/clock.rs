//! The wall clock, as commits are stamped with it and their lag is told from it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch.
pub(crate) fn unix_us() -> u64 {
    unix_us_of(SystemTime::now())
}

/// The same of another time; 0 before the epoch.
pub(crate) fn unix_us_of(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Since something that was stamped, unless nobody knows when it was. A clock that is ahead of ours
/// makes it nothing.
pub(crate) fn since(stamp_unix_us: u64, now_unix_us: u64) -> Option<Duration> {
    let past = now_unix_us.saturating_sub(stamp_unix_us);
    (stamp_unix_us > 0).then(|| Duration::from_micros(past))
}
