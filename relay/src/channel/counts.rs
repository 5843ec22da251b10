//! PURE. Which counts control is told when: what changed five times a second, so that what users see is
//! no older than what proxies report, and everything every second, which is the heartbeat.

use std::collections::HashMap;
use std::time::Duration;

use fprs_proto::worker::Heartbeat;
use tokio::time::Instant;

/// Between two looks.
pub(super) const COUNTS_EVERY: Duration = Duration::from_millis(200);
/// Between two that tell everything: control counts on hearing from a worker.
const WHOLE_EVERY: Duration = Duration::from_secs(1);

/// What control was told last.
#[derive(Debug, Default)]
pub(super) struct Counts {
    told: HashMap<String, u64>,
    whole: Option<Instant>,
}

/// Whether everything is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// Now.
    Yes,
    /// If that is due.
    WhenDue,
}

impl Counts {
    /// What to tell of these counts; `None`: nothing.
    pub(super) fn next(&mut self, now: Heartbeat, whole: Whole, at: Instant) -> Option<Heartbeat> {
        let due = self.whole.is_none_or(|whole| at >= whole + WHOLE_EVERY);
        let beat = if due || whole == Whole::Yes {
            self.whole = Some(at);
            self.told.clear();
            now
        } else {
            let counts = now.in_flight.into_iter();
            let changed =
                counts.filter(|count| self.told.get(&count.replica) != Some(&count.count));
            Heartbeat {
                in_flight: changed.collect(),
            }
        };
        let told = beat.in_flight.iter();
        self.told
            .extend(told.map(|count| (count.replica.clone(), count.count)));
        (due || whole == Whole::Yes || !beat.in_flight.is_empty()).then_some(beat)
    }
}

#[cfg(test)]
mod tests {
    use fprs_proto::worker::InFlight;

    use super::*;

    fn beat(counts: &[(&str, u64)]) -> Heartbeat {
        let count = |(replica, count): &(&str, u64)| InFlight {
            replica: (*replica).to_owned(),
            count: *count,
        };
        Heartbeat {
            in_flight: counts.iter().map(count).collect(),
        }
    }

    #[test]
    fn what_changed_is_told_at_once_and_everything_every_second() {
        let (mut counts, begun) = (Counts::default(), Instant::now());
        let mut next = |now: &[(&str, u64)], ms| {
            let at = begun + Duration::from_millis(ms);
            counts.next(beat(now), Whole::WhenDue, at)
        };
        let all = [("a", 1), ("b", 0)];
        assert_eq!(next(&all, 0), Some(beat(&all)));
        assert_eq!(next(&all, 200), None);
        assert_eq!(next(&[("a", 1), ("b", 2)], 400), Some(beat(&[("b", 2)])));
        assert_eq!(next(&[("a", 1), ("b", 2)], 600), None);
        assert_eq!(next(&[("a", 1)], 1_000), Some(beat(&[("a", 1)])));
        assert_eq!(
            next(&[], 2_000),
            Some(beat(&[])),
            "a worker that is idle is alive"
        );
    }

    #[test]
    fn the_end_of_a_drain_is_told_with_everything() {
        let (mut counts, begun) = (Counts::default(), Instant::now());
        assert!(counts.next(beat(&[("a", 0)]), Whole::Yes, begun).is_some());
        assert!(counts.next(beat(&[("a", 0)]), Whole::Yes, begun).is_some());
    }
}
