//! What happened to each exchange, and the percentiles of it.

use std::ops::Range;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Outcome, Plan, session::Sink};
use crate::{
    clock::{self, NANOS_PER_SECOND},
    process::Spent,
    wire::event,
};

/// Latencies above this are recorded as this: nothing here waits longer.
const LONGEST: u64 = 600 * NANOS_PER_SECOND;
const DIGITS: u8 = 3;
/// What is quoted of a wrong answer, bytes.
const QUOTED: usize = 200;

/// Percentiles of one distribution, µs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// The worst.
    pub max: f64,
}

/// Nanosecond samples.
#[derive(Debug)]
pub struct Samples(Option<Histogram<u64>>);

impl Default for Samples {
    fn default() -> Self {
        // The bounds are constants that the histogram accepts.
        Self(Histogram::new_with_bounds(1, LONGEST, DIGITS).ok())
    }
}

impl Samples {
    /// Adds one, ns.
    pub fn add(&mut self, nanos: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(nanos);
        }
    }

    /// How many so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The percentiles so far.
    #[must_use]
    pub fn spread(&self) -> Spread {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Spread::default();
        };
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Spread {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1_000.0,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Slot {
    intended: Option<u64>,
    bytes: u64,
    /// The start of the body, for the report of a wrong answer.
    start: Vec<u8>,
    events: Option<event::Reader>,
}

/// Everything that is counted in one run.
#[derive(Debug, Default)]
pub struct Recorder {
    slots: Vec<Slot>,
    expect: Option<u64>,
    open_loop: bool,
    window: Range<u64>,
    counting: Option<u64>,
    length: u64,
    /// Slots whose exchange ended since the generator last looked.
    pub freed: Vec<u32>,
    requests: u64,
    ended: u64,
    outstanding: u64,
    errors: u64,
    error: Option<String>,
    bytes: u64,
    latency: Samples,
    lag: Samples,
    event: Samples,
}

impl Recorder {
    /// For `slots` concurrent exchanges of `plan`.
    #[must_use]
    pub fn new(plan: &Plan, slots: u32) -> Self {
        let slot = Slot {
            events: plan.event.map(event::Reader::new),
            ..Slot::default()
        };
        Self {
            slots: vec![slot; slots as usize],
            expect: plan.expect,
            open_loop: !plan.pace.is_closed(),
            ..Self::default()
        }
    }

    /// Counting begins at `now`; samples belong to the window by the times it was planned for.
    pub fn open(&mut self, now: u64, planned: Range<u64>) {
        self.window = planned;
        self.counting = Some(now);
    }

    /// Counting ends.
    pub fn close(&mut self, now: u64) {
        if let Some(opened) = self.counting.take() {
            self.length = now - opened;
        }
    }

    fn counts(&self, at: u64) -> bool {
        self.window.contains(&at)
    }

    /// A request that should have left at `intended` left at `now`.
    pub fn started(&mut self, slot: u32, intended: u64, now: u64) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.intended = Some(intended);
            slot.bytes = 0;
            slot.start.clear();
            self.outstanding += 1;
            if self.counts(intended) {
                self.lag.add(now - intended);
            }
        }
    }

    /// Exchanges that ended, well or not.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Events that arrived inside the window.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.event.count()
    }

    /// Exchanges that began and did not end.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    fn end(&mut self, slot: u32) -> Option<(u64, u64)> {
        let entry = self.slots.get_mut(slot as usize)?;
        let intended = entry.intended.take()?;
        self.outstanding -= 1;
        self.ended += 1;
        self.freed.push(slot);
        Some((intended, entry.bytes))
    }

    /// Closes the books at `now`. In an open loop, a request that was never answered, or that
    /// never left (`unsent`, intended times), counts as an error and with the time it has waited,
    /// so that a stall can't hide.
    #[must_use]
    pub fn finish(
        mut self,
        now: u64,
        unsent: impl IntoIterator<Item = u64>,
        spent: Option<Spent>,
    ) -> Outcome {
        if self.open_loop {
            let mut late: Vec<u64> = self.slots.iter().filter_map(|slot| slot.intended).collect();
            late.extend(unsent);
            late.retain(|intended| self.counts(*intended));
            for intended in late {
                self.latency.add(now - intended);
                self.errors += 1;
                self.error
                    .get_or_insert_with(|| "a request was never answered".to_owned());
            }
        }
        self.close(now);
        Outcome {
            requests: self.requests,
            errors: self.errors,
            error: self.error,
            seconds: self.length as f64 / NANOS_PER_SECOND as f64,
            bytes: self.bytes,
            latency_us: self.latency.spread(),
            lag_us: self.lag.spread(),
            event_us: self.event.spread(),
            spent,
        }
    }
}

impl Sink for Recorder {
    fn data(&mut self, slot: u32, piece: &[u8]) {
        let Some(slot) = self.slots.get_mut(slot as usize) else {
            return;
        };
        slot.bytes += piece.len() as u64;
        let room = QUOTED.saturating_sub(slot.start.len()).min(piece.len());
        slot.start.extend_from_slice(&piece[..room]);
        let counting = self.counting.is_some();
        if counting {
            self.bytes += piece.len() as u64;
        }
        if let Some(events) = &mut slot.events {
            let now = clock::now();
            events.take(piece, |at| {
                if counting {
                    self.event.add(now.saturating_sub(at));
                }
            });
        }
    }

    fn done(&mut self, slot: u32) {
        let Some((intended, bytes)) = self.end(slot) else {
            return;
        };
        if self.expect.is_some_and(|expect| expect != bytes) {
            self.errors += 1;
            let start = self
                .slots
                .get(slot as usize)
                .map_or(&[][..], |slot| &slot.start);
            let start = String::from_utf8_lossy(start);
            self.error
                .get_or_insert_with(|| format!("an answer of {bytes} bytes: {start}"));
            return;
        }
        let now = clock::now();
        self.requests += u64::from(self.counting.is_some());
        if self.counts(if self.open_loop { intended } else { now }) {
            self.latency.add(now - intended);
        }
    }

    fn failed(&mut self, slot: u32, why: &str) {
        if self.end(slot).is_some() {
            self.errors += 1;
            self.error.get_or_insert_with(|| why.to_owned());
        }
    }
}
