//! PURE. Requests per second with a burst, by the generic cell rate algorithm: all that is kept is the
//! time at which the tenant will have used up nothing, one word that cores share without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_NS: u64 = 1_000_000_000;

/// A rate and its burst. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// What one request uses up. Whole nanoseconds: a rate above a million a second comes out up to
    /// 0.1 % higher.
    interval_ns: u64,
    /// How far ahead of the time requests may be.
    tolerance_ns: u64,
}

impl Rate {
    /// So many a second, and so many at once after a rest; without a burst, a second's worth.
    pub fn new(per_second: u32, burst: Option<u32>) -> Self {
        let interval_ns = (SECOND_NS / u64::from(per_second.max(1))).max(1);
        let at_once = u64::from(burst.unwrap_or(per_second).max(1));
        Self {
            interval_ns,
            tolerance_ns: interval_ns.saturating_mul(at_once - 1),
        }
    }

    /// What is kept after one more request at `now_ns`, from what was kept before it.
    ///
    /// # Errors
    /// It is one too many; nanoseconds until it isn't.
    pub fn step(self, kept_ns: u64, now_ns: u64) -> Result<u64, u64> {
        let used = kept_ns.max(now_ns);
        let ahead = used - now_ns;
        if ahead > self.tolerance_ns {
            return Err(ahead - self.tolerance_ns);
        }
        Ok(used.saturating_add(self.interval_ns))
    }

    /// The most that can be kept at `now_ns`.
    const fn most(self, now_ns: u64) -> u64 {
        now_ns
            .saturating_add(self.tolerance_ns)
            .saturating_add(self.interval_ns)
    }
}

/// A rate that may be edited, and what was used of it. Rate and burst may be read from two edits for
/// one request; neither lets through more than the looser of both.
#[derive(Debug, Default)]
pub struct Meter {
    interval_ns: AtomicU64,
    tolerance_ns: AtomicU64,
    kept_ns: AtomicU64,
}

impl Meter {
    /// Holds to that rate from now on. What was used stays used, as far as the rate can owe it: the
    /// debt of a slower one would refuse everything for as long as that took.
    pub fn set(&self, rate: Rate, now_ns: u64) {
        self.tolerance_ns
            .store(rate.tolerance_ns, Ordering::Relaxed);
        self.interval_ns.store(rate.interval_ns, Ordering::Relaxed);
        self.kept_ns.fetch_min(rate.most(now_ns), Ordering::Relaxed);
    }

    /// One request; the clock is asked only where there is a rate.
    ///
    /// # Errors
    /// It is one too many; nanoseconds until it isn't.
    pub fn admit(&self, now_ns: impl FnOnce() -> u64) -> Result<(), u64> {
        let interval_ns = self.interval_ns.load(Ordering::Relaxed);
        if interval_ns == 0 {
            return Ok(());
        }
        let rate = Rate {
            interval_ns,
            tolerance_ns: self.tolerance_ns.load(Ordering::Relaxed),
        };
        let now_ns = now_ns();
        let mut kept = self.kept_ns.load(Ordering::Relaxed);
        loop {
            let next = rate.step(kept, now_ns)?;
            match self.kept_ns.compare_exchange_weak(
                kept,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(other) => kept = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of the requests at these times go through.
    fn admitted(rate: Rate, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut kept = 0;
        let mut admitted = Vec::new();
        for now in times {
            if let Ok(next) = rate.step(kept, now) {
                kept = next;
                admitted.push(now);
            }
        }
        admitted
    }

    #[test]
    fn a_burst_goes_through_at_once_and_then_one_an_interval() {
        let rate = Rate::new(10, Some(3));
        let start = 5 * SECOND_NS;
        assert_eq!(admitted(rate, [start; 10]).len(), 3);
        let every_ms = (0..1_000).map(|ms| start + ms * 1_000_000);
        assert_eq!(admitted(rate, every_ms).len(), 3 + 9);
    }

    #[test]
    fn without_a_burst_a_second_is_full_however_its_requests_come() {
        assert_eq!(admitted(Rate::new(7, None), [SECOND_NS; 20]).len(), 7);
    }

    #[test]
    fn an_edit_leaves_no_debt_that_the_new_rate_could_not_have() {
        let meter = Meter::default();
        meter.set(Rate::new(1, Some(1_000)), SECOND_NS);
        while meter.admit(|| SECOND_NS).is_ok() {}
        meter.set(Rate::new(100, Some(1)), SECOND_NS);
        assert_eq!(meter.admit(|| SECOND_NS), Err(10_000_000), "one interval");
        assert_eq!(meter.admit(|| SECOND_NS + 10_000_000), Ok(()));
    }

    #[test]
    fn cores_together_admit_what_one_would() {
        let meter = Meter::default();
        meter.set(Rate::new(1, Some(1_000)), SECOND_NS);
        let admitted: usize = std::thread::scope(|scope| {
            let core = || {
                (0..1_000)
                    .filter(|_| meter.admit(|| SECOND_NS).is_ok())
                    .count()
            };
            let cores: Vec<_> = (0..4).map(|_| scope.spawn(core)).collect();
            cores.into_iter().map(|core| core.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1_000);
    }

    #[test]
    fn without_a_rate_everything_goes_through_and_nobody_asks_for_the_time() {
        let meter = Meter::default();
        for _ in 0..1_000 {
            assert_eq!(meter.admit(|| panic!("asked for the time")), Ok(()));
        }
        meter.set(Rate::new(1, Some(1)), SECOND_NS);
        assert_eq!(meter.admit(|| SECOND_NS), Ok(()));
        assert_eq!(meter.admit(|| SECOND_NS), Err(SECOND_NS));
        meter.set(Rate::default(), SECOND_NS);
        assert_eq!(meter.admit(|| panic!("asked for the time")), Ok(()));
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_its_rate_and_one_burst(
            per_second in 1_u32..5_000,
            burst in 1_u32..500,
            gaps in prop::collection::vec(0_u64..20_000_000, 1..400),
        ) {
            let times = gaps.iter().scan(SECOND_NS, |now, gap| {
                *now += gap;
                Some(*now)
            });
            let admitted = admitted(Rate::new(per_second, Some(burst)), times);
            let interval = SECOND_NS / u64::from(per_second);
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let most = u64::from(burst) + (to - from) / interval;
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }

        #[test]
        fn who_waits_as_long_as_told_is_admitted(
            per_second in 1_u32..2_000_000,
            burst in 1_u32..500,
            ahead in 0_u64..(3_600 * SECOND_NS),
            now in 0_u64..(3_600 * SECOND_NS),
        ) {
            let rate = Rate::new(per_second, Some(burst));
            let kept = (now + ahead).min(rate.most(now));
            if let Err(wait) = rate.step(kept, now) {
                prop_assert!(wait > 0);
                prop_assert!(rate.step(kept, now + wait).is_ok(), "{wait}");
                prop_assert!(rate.step(kept, now + wait - 1).is_err(), "{wait}");
            }
        }
    }
}
