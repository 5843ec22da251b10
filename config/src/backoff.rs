//! PURE. How long to wait before the next try: exponential with full jitter, so that a fleet that
//! lost its store does not come back in step.

use std::time::Duration;

use crate::limits;

/// Counts failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure; `random` is 0 to 1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        let most = limits::RETRY_FIRST
            .saturating_mul(doubled)
            .min(limits::RETRY_LONGEST);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(random.clamp(0.0, 1.0))
    }

    /// Begins again: it worked.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        for _ in 0..100 {
            assert_eq!(backoff.next(1.0), limits::RETRY_LONGEST);
        }
        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::from_millis(50));
        assert_eq!(backoff.next(0.0), Duration::ZERO);
    }
}
