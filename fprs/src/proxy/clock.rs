//! The proxy's clocks, which stand still while a core is at its turn: [`fprs_forward::turn`] says why.

use std::time::UNIX_EPOCH;

use fprs_autoscaler_client::clock;
use fprs_forward::turn;

/// Microseconds of the clock that every gauge is read by.
pub(super) fn now_us() -> u64 {
    clock::at_us(turn::now())
}

/// Milliseconds of the same.
pub(super) fn now_ms() -> u64 {
    now_us() / 1_000
}

/// Milliseconds since the Unix epoch.
pub(super) fn unix_ms() -> u64 {
    let since = turn::wall().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
