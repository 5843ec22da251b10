//! PURE. When requests should leave.

use crate::clock::NANOS_PER_SECOND;

/// The rule of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each slot at once after its last exchange.
    Closed,
    /// On a fixed schedule, whatever the answers do.
    Open {
        /// Requests a second.
        rate: u32,
    },
}

impl Pace {
    /// The schedule from `begun` ns on.
    #[must_use]
    pub fn begin(self, begun: u64) -> Schedule {
        Schedule {
            pace: self,
            begun,
            released: 0,
        }
    }

    /// Whether answers decide when the next request leaves.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self == Self::Closed
    }
}

/// The intended send times of an open loop.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    begun: u64,
    released: u64,
}

impl Schedule {
    /// The next intended time, ns; a closed loop has none.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        match self.pace {
            Pace::Closed | Pace::Open { rate: 0 } => None,
            // From the start each time, so that rounding never drifts.
            Pace::Open { rate } => {
                Some(self.begun + self.released * NANOS_PER_SECOND / u64::from(rate))
            }
        }
    }

    /// The oldest intended time that has come by `now` and was not released before.
    pub fn due(&mut self, now: u64) -> Option<u64> {
        let next = self.next().filter(|at| *at <= now)?;
        self.released += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_look_releases_every_missed_request_with_its_own_time() {
        let mut schedule = Pace::Open { rate: 2_000 }.begin(1_000);
        let due: Vec<u64> = std::iter::from_fn(|| schedule.due(1_501_000)).collect();
        assert_eq!(due, [1_000, 501_000, 1_001_000, 1_501_000]);
        assert_eq!(schedule.next(), Some(2_001_000));
    }

    #[test]
    fn an_uneven_rate_does_not_drift() {
        let mut schedule = Pace::Open { rate: 3 }.begin(0);
        let count = std::iter::from_fn(|| schedule.due(100 * NANOS_PER_SECOND)).count();
        assert_eq!(count, 301);
    }
}
