//! PURE. Knative's pod autoscaler by its published algorithm and defaults, to compare with: a stable
//! window of 60 s, a panic window of 6 s, a tick of 2 s, 70 % of the target, at most half of the pods
//! gone and a thousandfold more in one tick, and no step down in a panic. What its activator sees of
//! the first request is told at once; everything else once a second.

use std::collections::VecDeque;

const TICK_MS: u64 = 2_000;
const SCRAPE_MS: u64 = 1_000;
const STABLE_MS: u64 = 60_000;
const PANIC_MS: u64 = 6_000;
const PANIC_THRESHOLD: f64 = 2.0;
const MAX_UP: f64 = 1_000.0;
const MAX_DOWN: f64 = 2.0;
/// Of the target, the share that is aimed at.
const UTILIZATION: f64 = 0.7;

/// One revision's autoscaler.
#[derive(Clone, Debug)]
pub struct Knative {
    target: f64,
    max: u32,
    /// Concurrency as it was scraped.
    scraped: VecDeque<(u64, f64)>,
    scraped_ms: Option<u64>,
    ticked_ms: Option<u64>,
    panicking_ms: Option<u64>,
    most_in_panic: u32,
    wanted: u32,
}

impl Knative {
    /// For a container concurrency of `target`, with at most `max` pods.
    pub const fn new(target: f64, max: u32) -> Self {
        Self {
            target: target * UTILIZATION,
            max,
            scraped: VecDeque::new(),
            scraped_ms: None,
            ticked_ms: None,
            panicking_ms: None,
            most_in_panic: 0,
            wanted: 0,
        }
    }

    /// The pods that are wanted at `now_ms`, with this load and that many ready.
    pub fn decide(&mut self, now_ms: u64, load: f64, ready: u32) -> u32 {
        let poked = self.wanted == 0 && load > 0.0;
        if poked && self.scraped.iter().all(|&(_, load)| load == 0.0) {
            // The first request alone; the activator tells of the others with its next report.
            self.scraped.clear();
            self.scraped.push_back((now_ms, load.min(1.0)));
            self.scraped_ms = Some(now_ms);
            self.ticked_ms = Some(now_ms);
            self.wanted = 1.min(self.max);
            return self.wanted;
        }
        if self.scraped_ms.is_none_or(|at| now_ms - at >= SCRAPE_MS) {
            self.scraped.push_back((now_ms, load));
            self.scraped_ms = Some(now_ms);
        }
        if self.ticked_ms.is_none_or(|at| now_ms - at >= TICK_MS) {
            self.ticked_ms = Some(now_ms);
            self.tick(now_ms, ready);
        }
        self.wanted
    }

    fn tick(&mut self, now_ms: u64, ready: u32) {
        while let Some(&(at_ms, _)) = self.scraped.front()
            && now_ms - at_ms >= STABLE_MS
        {
            self.scraped.pop_front();
        }
        let pods = f64::from(ready.max(1));
        let average = |span_ms: u64| {
            let within = self.scraped.iter().rev();
            let within = within.take_while(|(at_ms, _)| now_ms - at_ms < span_ms);
            let (sum, count) = within.fold((0.0, 0.0), |(sum, count), (_, load)| {
                (sum + load, count + 1.0)
            });
            if count > 0.0 { sum / count } else { 0.0 }
        };
        let (up, down) = ((MAX_UP * pods).ceil(), (pods / MAX_DOWN).floor());
        let by_panic = (average(PANIC_MS) / self.target).ceil();
        let stable = (average(STABLE_MS) / self.target).ceil().clamp(down, up);
        let panic = by_panic.clamp(down, up);
        if by_panic / pods >= PANIC_THRESHOLD {
            self.panicking_ms = Some(now_ms);
        } else if self
            .panicking_ms
            .is_some_and(|since| now_ms - since >= STABLE_MS)
        {
            self.panicking_ms = None;
            self.most_in_panic = 0;
        }
        let desired = if self.panicking_ms.is_some() {
            self.most_in_panic = self.most_in_panic.max(whole(panic.max(stable)));
            self.most_in_panic
        } else {
            whole(stable)
        };
        self.wanted = desired.min(self.max);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn whole(value: f64) -> u32 {
    value.clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_load_has_a_pod_for_each_seventy_percent_of_the_target() {
        let mut knative = Knative::new(10.0, 100);
        let mut ready = 0;
        for step in 0..600 {
            ready = knative.decide(step * 200, 70.0, ready);
        }
        assert_eq!(ready, 10);
    }

    #[test]
    fn a_burst_panics_and_does_not_shrink_before_a_stable_window() {
        let mut knative = Knative::new(10.0, 100);
        let mut ready = 0;
        let mut most = 0;
        for step in 0..1_000 {
            let load = if step < 100 { 70.0 } else { 7.0 };
            ready = knative.decide(step * 200, load, ready);
            most = most.max(ready);
            if (100..300).contains(&step) {
                assert_eq!(ready, most, "in panic at {step}");
            }
        }
        assert_eq!((ready, most), (1, 10));
    }

    #[test]
    fn the_first_request_starts_one_pod_at_once() {
        let mut knative = Knative::new(8.0, 100);
        assert_eq!(knative.decide(700, 200.0, 0), 1);
        assert_eq!(knative.decide(1_900, 200.0, 1), 1);
        assert!(knative.decide(2_700, 200.0, 1) > 10);
    }
}
