//! PURE. A count that all cores write and few read: each core adds on a cache line of its own.

use std::sync::atomic::{AtomicU32, Ordering};

/// Cache lines. Beyond so many cores some share one, and stay as exact.
const STRIPES: usize = 16;

/// A count in parts.
#[derive(Debug, Default)]
pub(super) struct Stripes([Stripe; STRIPES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(AtomicU32);

impl Stripes {
    /// One more, on that core.
    pub(super) fn begin(&self, core: usize) {
        // In one order with every other core's, so that of two that add and then look, one sees both.
        self.of(core).fetch_add(1, Ordering::SeqCst);
    }

    /// One less, of those that began on that core.
    pub(super) fn end(&self, core: usize) {
        self.of(core).fetch_sub(1, Ordering::SeqCst);
    }

    /// All together.
    pub(super) fn sum(&self) -> u32 {
        self.0
            .iter()
            .map(|stripe| stripe.0.load(Ordering::SeqCst))
            .fold(0, u32::wrapping_add)
    }

    fn of(&self, core: usize) -> &AtomicU32 {
        let [first, ..] = &self.0;
        &self.0.get(core % STRIPES).unwrap_or(first).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_that_add_and_look_never_exceed_a_limit_together() {
        const LIMIT: u32 = 5;
        let (count, held) = (Stripes::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for core in [0, 1, 16, 17] {
                let (count, held) = (&count, &held);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        count.begin(core);
                        if count.sum() <= LIMIT {
                            assert!(held.fetch_add(1, Ordering::SeqCst) < LIMIT);
                            held.fetch_sub(1, Ordering::SeqCst);
                        }
                        count.end(core);
                    }
                });
            }
        });
        assert_eq!(count.sum(), 0);
    }
}
