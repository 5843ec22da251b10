//! PURE. How long to wait before the next attempt to reach control.

use std::time::Duration;

/// Doubles with every failure, with jitter, so that a fleet doesn't come back all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

const FIRST: Duration = Duration::from_millis(100);
/// Well within a worker's lease: control's restart costs no replica.
const LONGEST: Duration = Duration::from_secs(2);

impl Backoff {
    /// The next pause: half to all of its step, by `jitter` from 0 to 1.
    pub(super) fn next(&mut self, jitter: f64) -> Duration {
        let step = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(1.0), FIRST);
        assert_eq!(backoff.next(1.0), 2 * FIRST);
        assert_eq!(backoff.next(0.0), 2 * FIRST);
        for _ in 0..100 {
            assert!(backoff.next(1.0) <= LONGEST);
        }
        backoff.reset();
        assert_eq!(backoff.next(0.0), FIRST / 2);
    }
}
