//! PURE. Compares what is decided by with what relays count, replica by replica. The two are told at
//! different times and load moves, so single looks differ all the time; a replica disagrees when
//! nothing that one side said within a whole span was ever said by the other.

use std::collections::HashMap;
use std::sync::Arc;

use crate::relays::Relays;

/// How long is looked before a verdict: longer than a dead proxy keeps its counts and a relay's
/// count takes to get here, together.
const SPAN_MS: u64 = 5_000;

/// Looks at every busy replica, and a verdict after every span.
#[derive(Debug, Default)]
pub(crate) struct Crosscheck {
    begun_ms: Option<u64>,
    looks: u64,
    replicas: HashMap<Arc<str>, Looks>,
}

/// A replica whose load proxies and relays do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disagreement {
    pub(crate) replica: Arc<str>,
    pub(crate) reported: Range,
    pub(crate) counted: Range,
}

/// The smallest and the largest of what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

#[derive(Debug)]
struct Looks {
    reported: Range,
    counted: Range,
    /// Its relay's word was known at every look.
    known: bool,
    /// The last look that saw it: what is not seen has nothing in flight.
    look: u64,
}

impl Crosscheck {
    /// One look at what proxies reported and what relays count. `counted` is `None` for a replica
    /// whose relay's word is not known. At the end of a span, the replicas that disagree.
    pub(crate) fn look<'a>(
        &mut self,
        now_ms: u64,
        reported: impl Iterator<Item = (&'a Arc<str>, u64)>,
        relays: &Relays,
        counted: &dyn Fn(&str) -> Option<u64>,
    ) -> Option<Vec<Disagreement>> {
        let begun_ms = *self.begun_ms.get_or_insert(now_ms);
        self.looks += 1;
        for (replica, reported) in reported {
            self.add(replica, reported, counted(replica));
        }
        for (replica, count) in relays.busy(now_ms) {
            let seen = self.replicas.get(replica);
            if seen.is_none_or(|looks| looks.look != self.looks) && counted(replica).is_some() {
                self.add(replica, 0, Some(count));
            }
        }
        if now_ms.saturating_sub(begun_ms) < SPAN_MS {
            return None;
        }
        let disagreeing = self.verdict();
        *self = Self::default();
        Some(disagreeing)
    }

    fn add(&mut self, replica: &Arc<str>, reported: u64, counted: Option<u64>) {
        let look = self.looks;
        let looks = self.replicas.entry(Arc::clone(replica));
        let looks = looks.or_insert_with(|| Looks {
            reported: Range::of(reported),
            counted: Range::of(counted.unwrap_or(0)),
            known: true,
            look: 0,
        });
        if look > looks.look + 1 {
            // It had nothing in flight in between.
            looks.reported.take(0);
            looks.counted.take(0);
        }
        looks.reported.take(reported);
        looks.counted.take(counted.unwrap_or(0));
        looks.known &= counted.is_some();
        looks.look = look;
    }

    fn verdict(&mut self) -> Vec<Disagreement> {
        let looks = self.looks;
        let replicas = self.replicas.drain();
        let mut disagreeing: Vec<Disagreement> = replicas
            .filter(|(_, replica)| replica.known && replica.look == looks)
            .filter(|(_, replica)| !replica.reported.meets(replica.counted))
            .map(|(id, replica)| Disagreement {
                replica: id,
                reported: replica.reported,
                counted: replica.counted,
            })
            .collect();
        disagreeing.sort_unstable_by(|a, b| a.replica.cmp(&b.replica));
        disagreeing
    }
}

impl Disagreement {
    /// What the relay counted all the time and no proxy ever reported.
    pub(crate) const fn hidden(&self) -> u64 {
        self.counted.least.saturating_sub(self.reported.most)
    }
}

impl Range {
    const fn of(value: u64) -> Self {
        Self {
            least: value,
            most: value,
        }
    }

    fn take(&mut self, value: u64) {
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    const fn meets(self, other: Self) -> bool {
        self.least <= other.most && other.least <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relays::tests::counts;

    const TICK_MS: u64 = 200;

    /// The verdict of a span in which the look at each time saw these counts of replica `r`.
    fn verdict(at: impl Fn(u64) -> (u64, Option<u64>)) -> Vec<Disagreement> {
        let (mut check, mut relays) = (Crosscheck::default(), Relays::default());
        let replica: Arc<str> = "r".into();
        for look in 0.. {
            let (reported, counted) = at(look);
            let busy = counted.filter(|count| *count > 0);
            let busy: Vec<_> = busy.map(|count| ("r", count)).into_iter().collect();
            let now_ms = look * TICK_MS;
            relays.take(counts("w", &busy), now_ms);
            let reported = (reported > 0).then_some((&replica, reported)).into_iter();
            if let Some(verdict) = check.look(now_ms, reported, &relays, &|_| counted) {
                return verdict;
            }
        }
        unreachable!("a span ends")
    }

    #[test]
    fn load_that_moves_is_no_disagreement_however_late_one_side_is() {
        let load = |look: u64| (look * 7) % 23;
        let late = |look: u64| (load(look), Some(load(look.saturating_sub(7))));
        assert_eq!(verdict(late), []);
    }

    #[test]
    fn load_that_proxies_never_reported_disagrees() {
        let disagreeing = verdict(|look| (2 + look % 2, Some(9 - look % 2)));
        assert_eq!(disagreeing.len(), 1);
        assert_eq!(disagreeing[0].reported, Range { least: 2, most: 3 });
        assert_eq!(disagreeing[0].counted, Range { least: 8, most: 9 });
        assert_eq!(disagreeing[0].hidden(), 5);
        assert_eq!(verdict(|_| (0, Some(4))).len(), 1);
    }

    #[test]
    fn load_that_no_relay_ever_counted_disagrees() {
        let disagreeing = verdict(|_| (4, Some(0)));
        assert_eq!((disagreeing.len(), disagreeing[0].hidden()), (1, 0));
    }

    #[test]
    fn a_dead_proxy_within_its_lease_is_no_disagreement() {
        assert_eq!(verdict(|look| (if look < 10 { 8 } else { 3 }, Some(3))), []);
    }

    #[test]
    fn nothing_is_said_of_a_replica_whose_relay_was_not_heard_all_along() {
        assert_eq!(verdict(|look| (4, (look != 9).then_some(0))), []);
    }
}
