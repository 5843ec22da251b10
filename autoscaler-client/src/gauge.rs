//! How many exchanges are in flight and for how long they have been, exactly, in one atomic word.
//!
//! The time integral at `t` is `count·t − Σstart + Σend`. Count and sums share one word (the count
//! below, the sums modulo 2^44 above), so a reader never sees one without the other, and a begin or
//! an end is one addition that no other can tear.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock;

/// Bits of the word that hold the count.
const COUNT_BITS: u32 = 20;

/// The most exchanges one gauge can count at once. Connection and stream limits end far below.
pub const MAX_IN_FLIGHT: u32 = (1 << COUNT_BITS) - 1;

/// Exchanges in flight in one place, and their time integral. Lock-free and allocation-free.
pub struct Gauge {
    /// `(Σend − Σstart) mod 2^44` above, the count in the low [`COUNT_BITS`].
    word: AtomicU64,
    started: AtomicU64,
    /// What it counts for is gone.
    retired: AtomicBool,
    /// Keeps neighbours on the heap off this cache line. Padding behind instead of alignment leaves
    /// the `Arc`'s own counts on the line that a begin owns anyway.
    _padding: [u64; 11],
}

/// Counts one exchange from `begin` until it is dropped, on every path.
#[must_use = "the exchange ends when the guard is dropped"]
pub struct Guard {
    gauge: Arc<Gauge>,
    /// When it ended, of a caller who knows.
    ended_us: Option<u64>,
}

/// One look at a gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The word as it was; what [`Reading::microseconds_since`] needs of an earlier reading.
    word: u64,
    /// When it was read.
    at_us: u64,
    /// Exchanges begun so far.
    pub started: u64,
}

impl Gauge {
    /// A gauge with nothing in flight.
    pub const fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            started: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            _padding: [0; 11],
        }
    }

    /// Counts one exchange from now on.
    pub fn begin(self: &Arc<Self>) -> Guard {
        self.begin_at(clock::now_us())
    }

    /// Counts one exchange from `now_us` of [`clock::now_us`] on, for a caller that has just asked.
    pub fn begin_at(self: &Arc<Self>, now_us: u64) -> Guard {
        self.count_begin(now_us);
        Guard {
            gauge: Arc::clone(self),
            ended_us: None,
        }
    }

    /// Exchanges in flight.
    pub fn in_flight(&self) -> u32 {
        count(self.word.load(Ordering::Relaxed))
    }

    /// Exchanges begun so far.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// What it counts for is gone: it is forgotten once nothing is in flight.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// What it counts for is here again.
    pub(crate) fn revive(&self) {
        self.retired.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Count and integral as of `now_us`, as one consistent value.
    pub fn read(&self, now_us: u64) -> Reading {
        Reading {
            started: self.started.load(Ordering::Relaxed),
            word: self.word.load(Ordering::Relaxed),
            at_us: now_us,
        }
    }

    fn count_begin(&self, now_us: u64) {
        self.word
            .fetch_add(1_u64.wrapping_sub(shifted(now_us)), Ordering::Relaxed);
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    fn count_end(&self, now_us: u64) {
        self.word
            .fetch_add(shifted(now_us).wrapping_sub(1), Ordering::Relaxed);
    }
}

impl Reading {
    /// Exchanges in flight.
    pub fn in_flight(&self) -> u32 {
        count(self.word)
    }

    /// How much the integral grew since an earlier reading of the same gauge, in exchange ×
    /// microseconds; since the gauge's beginning if that is the default reading. Slightly negative
    /// when an exchange began between the time of this reading and the reading itself; the next one
    /// makes up for it. Exact while the true value is under 2^43: 8 seconds at a million in flight.
    pub fn microseconds_since(&self, earlier: &Self) -> i64 {
        let difference = self
            .shifted_integral()
            .wrapping_sub(earlier.shifted_integral());
        difference.cast_signed() >> COUNT_BITS
    }

    /// The integral modulo 2^44, in the upper bits.
    fn shifted_integral(&self) -> u64 {
        let count = u64::from(self.in_flight());
        let sums = self.word & !u64::from(MAX_IN_FLIGHT);
        shifted(count.wrapping_mul(self.at_us)).wrapping_add(sums)
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// Ends the exchange at `now_us` of [`clock::now_us`], for a caller that has just asked.
    pub fn end_at(mut self, now_us: u64) {
        self.ended_us = Some(now_us);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.gauge
            .count_end(self.ended_us.unwrap_or_else(clock::now_us));
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge")
            .field("in_flight", &self.in_flight())
            .field("started", &self.started())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.gauge).finish()
    }
}

/// Into the upper bits; what does not fit wraps away.
const fn shifted(microseconds: u64) -> u64 {
    microseconds << COUNT_BITS
}

fn count(word: u64) -> u32 {
    u32::try_from(word & u64::from(MAX_IN_FLIGHT)).unwrap_or(MAX_IN_FLIGHT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A gauge read at 0 and again at `at_us`.
    fn integral(gauge: &Gauge, at_us: u64) -> i64 {
        gauge.read(at_us).microseconds_since(&Reading::default())
    }

    #[test]
    fn a_guard_counts_one_exchange_until_it_is_dropped() {
        let gauge = Arc::new(Gauge::new());
        let first = gauge.begin();
        let second = gauge.begin();
        assert_eq!(gauge.in_flight(), 2);
        drop(first);
        assert_eq!(gauge.in_flight(), 1);
        drop(second);
        assert_eq!(gauge.in_flight(), 0);
        assert_eq!(gauge.started(), 2);
        assert_eq!(Arc::strong_count(&gauge), 1);
    }

    #[test]
    fn the_integral_counts_what_is_still_in_flight() {
        let gauge = Gauge::new();
        gauge.count_begin(100);
        gauge.count_begin(150);
        assert_eq!(integral(&gauge, 200), 150);
        gauge.count_end(250);
        assert_eq!(integral(&gauge, 300), 300);
        gauge.count_end(300);
        assert_eq!(integral(&gauge, 9_000), 300);
    }

    #[test]
    fn an_exchange_that_began_after_the_time_of_reading_counts_below_zero_until_the_next() {
        let gauge = Gauge::new();
        gauge.count_begin(105);
        let early = gauge.read(100);
        assert_eq!(early.microseconds_since(&Reading::default()), -5);
        assert_eq!(gauge.read(200).microseconds_since(&early), 100);
    }

    #[test]
    fn the_integral_stays_exact_after_the_clock_has_wrapped_the_word() {
        let gauge = Gauge::new();
        let year_us = 365 * 24 * 3_600 * 1_000_000;
        gauge.count_begin(year_us);
        let before = gauge.read(year_us + 10);
        gauge.count_begin(year_us + 20);
        assert_eq!(gauge.read(year_us + 30).microseconds_since(&before), 30);
        assert_eq!(gauge.in_flight(), 2);
    }

    #[test]
    fn threads_that_begin_and_end_at_once_lose_nothing() {
        let gauge = Arc::new(Gauge::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| drop(gauge.begin())));
            }
        });
        assert_eq!(gauge.in_flight(), 0);
        assert_eq!(gauge.started(), 40_000);
        let settled = gauge.read(clock::now_us());
        let later = gauge.read(clock::now_us() + 1_000_000);
        assert_eq!(later.microseconds_since(&settled), 0);
    }

    proptest! {
        /// Exchanges as (start, length); read at three times; against a direct sum.
        #[test]
        fn the_integral_equals_the_sum_over_exchanges_at_any_time(
            base in 0_u64..u64::MAX / 2,
            exchanges in prop::collection::vec((0_u64..10_000, 0_u64..10_000), 1..40),
            reads in prop::collection::vec(0_u64..30_000, 3),
        ) {
            let mut events: Vec<(u64, bool)> = exchanges
                .iter()
                .flat_map(|&(start, length)| [(start, true), (start + length, false)])
                .collect();
            events.sort_unstable_by_key(|&(at, begins)| (at, !begins));
            let mut reads = reads;
            reads.sort_unstable();
            let gauge = Gauge::new();
            let mut events = events.into_iter().peekable();
            let mut earlier: Option<(u64, Reading)> = None;
            for at in reads {
                while let Some((when, begins)) = events.next_if(|&(when, _)| when <= at) {
                    if begins { gauge.count_begin(base + when) } else { gauge.count_end(base + when) }
                }
                let sum = |until: u64| -> u64 {
                    exchanges.iter().map(|&(start, length)| until.clamp(start, start + length) - start).sum()
                };
                let reading = gauge.read(base + at);
                if let Some((before, earlier)) = earlier {
                    let expected = i64::try_from(sum(at) - sum(before)).expect("small");
                    prop_assert_eq!(reading.microseconds_since(&earlier), expected);
                }
                earlier = Some((at, reading));
            }
        }
    }
}
