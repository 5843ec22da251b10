//! PURE. One count as one origin reports it, and its average from tick to tick by the growth of its
//! time integral, whenever its reports came in between.

/// A count with its time integral.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    count: u32,
    integral_us: u64,
    ticked_us: u64,
    average: f64,
}

impl Meter {
    /// `known`: the origin was heard of before, so the integral grew from what is known. Otherwise
    /// it may have grown for hours, and only its growth from here on counts.
    pub(super) const fn take(&mut self, count: u32, integral_us: u64, known: bool) {
        self.count = count;
        if !known || integral_us < self.integral_us {
            self.ticked_us = integral_us;
        }
        self.integral_us = integral_us;
    }

    /// The origin's full report does not name it.
    pub(super) const fn clear(&mut self) {
        self.count = 0;
    }

    /// Closes a tick over `span_us` of the origin's clock. Without an earlier tick (`None`) the
    /// count stands for its average; without a report since (0) the average stays.
    pub(super) fn tick(&mut self, span_us: Option<u64>) {
        match span_us {
            None => self.average = f64::from(self.count),
            Some(0) => return,
            Some(span_us) => {
                self.average = ratio(self.integral_us.saturating_sub(self.ticked_us), span_us);
            }
        }
        self.ticked_us = self.integral_us;
    }

    /// Nothing in flight, and nothing was during the last tick.
    pub(super) fn idle(&self) -> bool {
        self.count == 0 && self.average == 0.0
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    pub(super) const fn average(&self) -> f64 {
        self.average
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
