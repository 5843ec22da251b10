//! Waiting for a condition, never for a time: polls until it holds or the deadline passes, and then
//! fails naming what it waited for.

use std::time::{Duration, Instant};

/// Waits until `holds` does.
///
/// # Panics
/// Names `what` when it doesn't within `deadline`.
#[track_caller]
pub fn eventually(
    what: &str,
    deadline: Duration,
    mut holds: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    until(what, deadline, async move || holds().then_some(()))
}

/// Waits until `probe` yields a value, and returns it.
///
/// # Panics
/// Names `what` when it yields none within `deadline`.
#[track_caller]
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            assert!(
                started.elapsed() < deadline,
                "{caller}: not within {deadline:?}: {what}"
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

/// [`eventually`] for tests without a runtime.
///
/// # Panics
/// Names `what` when it doesn't hold within `deadline`.
#[track_caller]
pub fn eventually_blocking(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    until_blocking(what, deadline, || holds().then_some(()));
}

/// [`until`] for tests without a runtime.
///
/// # Panics
/// Names `what` when it yields none within `deadline`.
#[track_caller]
pub fn until_blocking<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(
            started.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        std::thread::sleep(POLL);
    }
}

/// Between two looks at the condition: far below what any promise measures, far above a busy loop.
const POLL: Duration = Duration::from_millis(5);
