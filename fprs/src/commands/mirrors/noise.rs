//! PURE. Whether a difference is more than noise: whether a shadow's answers differ at a place more often
//! than a server's differ from its own, by Fisher's exact test, which holds for few answers as for many.

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) count: u64,
    pub(super) of: u64,
}

/// What a difference is, beside a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More often than the baseline, beyond chance.
    Above,
    /// Not once in the baseline, but too seldom to tell from chance.
    OnlyHere,
    /// The baseline has as much of it.
    Within,
}

/// Chance alone would call one place in so many more than noise.
const CHANCE: f64 = 0.001;

impl Share {
    pub(super) fn percent(self) -> String {
        format!("{:.3}", 100.0 * self.count as f64 / self.of.max(1) as f64)
    }
}

impl Verdict {
    /// Its name in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Above => "above_noise",
            Self::OnlyHere => "only_here",
            Self::Within => "within_noise",
        }
    }

    /// What people are told.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Above => "above noise",
            Self::OnlyHere => "not in the baseline, but too few to tell",
            Self::Within => "within noise",
        }
    }
}

/// `None`: the baseline has compared nothing.
pub(super) fn verdict(found: Share, baseline: Share) -> Option<Verdict> {
    if baseline.of == 0 || found.of == 0 {
        return None;
    }
    Some(if found.count > 0 && chance(found, baseline) < CHANCE {
        Verdict::Above
    } else if found.count > 0 && baseline.count == 0 {
        Verdict::OnlyHere
    } else {
        Verdict::Within
    })
}

/// How likely it is that of all differences at least so many are the shadow's, if both differ alike.
/// Anything above one half is told as one half.
fn chance(found: Share, baseline: Share) -> f64 {
    let (n, m) = (found.of as f64, baseline.of as f64);
    let all = found.count as f64 + baseline.count as f64;
    let mut k = found.count as f64;
    let first = ln_choose(n, k) + ln_choose(m, all - k) - ln_choose(n + m, all);
    let (mut term, mut sum) = (first.exp(), 0.0);
    while k <= all.min(n) && sum < 0.5 {
        sum += term;
        if term < sum * 1e-9 && k > all * n / (n + m) {
            break;
        }
        term *= (n - k) * (all - k) / ((k + 1.0) * (m - all + k + 1.0));
        k += 1.0;
    }
    sum
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Exact for few, Stirling's series for many.
fn ln_factorial(n: f64) -> f64 {
    if n < 16.0 {
        let mut product = 1.0;
        let mut factor = 2.0;
        while factor <= n {
            product *= factor;
            factor += 1.0;
        }
        return f64::ln(product);
    }
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3));
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(found: (u64, u64), baseline: (u64, u64)) -> Option<Verdict> {
        let share = |(count, of)| Share { count, of };
        verdict(share(found), share(baseline))
    }

    #[test]
    fn chances_are_what_others_compute() {
        // By exact fractions of binomial coefficients.
        for ((a, n), (b, m), expected) in CHANCES {
            let found = Share { count: a, of: n };
            let baseline = Share { count: b, of: m };
            let computed = chance(found, baseline);
            let error = (computed - expected).abs() / expected;
            assert!(
                error < 1e-6,
                "{a}/{n} beside {b}/{m}: {computed}, not {expected}"
            );
        }
    }

    /// So many of so many.
    type Sample = (u64, u64);

    const CHANCES: [(Sample, Sample, f64); 4] = [
        ((8, 10), (1, 10), 0.0027387473207906646),
        ((20, 1_000), (0, 1_000), 8.66433458609126e-07),
        ((30, 1_000), (12, 1_100), 0.001385834979097851),
        ((2_300, 100_000), (2_000, 100_000), 2.001141020683776e-06),
    ];

    #[test]
    fn more_than_the_baseline_beyond_chance_is_above_noise_and_the_rest_is_not() {
        assert_eq!(of((20, 1_000), (0, 1_000)), Some(Verdict::Above));
        assert_eq!(of((900, 1_000), (500, 1_000)), Some(Verdict::Above));
        assert_eq!(of((1, 1_000), (0, 1_000)), Some(Verdict::OnlyHere));
        assert_eq!(of((510, 1_000), (500, 1_000)), Some(Verdict::Within));
        assert_eq!(of((10, 1_000), (500, 1_000)), Some(Verdict::Within));
        assert_eq!(of((0, 1_000), (0, 1_000)), Some(Verdict::Within));
        assert_eq!(of((1_000, 1_000), (1_000, 1_000)), Some(Verdict::Within));
        assert_eq!(of((1_000, 1_000), (0, 0)), None);
    }

    #[test]
    fn two_samples_of_one_noise_are_hardly_ever_told_apart() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut above = 0;
        for _ in 0..2_000 {
            let mut sample = || (0..500).filter(|_| random.u32(..100) < 7).count() as u64;
            let (found, baseline) = ((sample(), 500), (sample(), 500));
            above += u32::from(of(found, baseline) == Some(Verdict::Above));
        }
        assert!(above <= 6, "{above} of 2,000");
    }
}
