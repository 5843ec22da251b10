//! Runs what reads and writes the file where a panic is a fault like any other: a damaged page can
//! panic the database underneath.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// The value, or `None` where it panicked.
pub(super) fn guarded<T>(operation: impl FnOnce() -> T) -> Option<T> {
    GUARDED.set(true);
    let value = catch_unwind(AssertUnwindSafe(operation));
    GUARDED.set(false);
    value.ok()
}

/// A panic of this thread, now, is caught and told as a fault of the store. For panic hooks: they
/// need not report it again.
pub fn catches_panic() -> bool {
    GUARDED.get()
}
