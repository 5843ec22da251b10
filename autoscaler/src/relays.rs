//! PURE. What relays count on their replicas, as control passes it on: never demand by itself, but
//! it says how much of a silent proxy's load is real, and whether what proxies report is true.

use std::collections::HashMap;
use std::sync::Arc;

use fprs_proto::demand::RelayCounts;

/// What control told of a worker is believed this long: it tells twice a second, and one relay's
/// heartbeat may be a second old by then.
const BELIEVED_MS: u64 = 3_000;

/// Workers that may be told of; what exceeds it is not known.
const WORKER_LIMIT: usize = 65_536;

/// The newest counts of every worker.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    workers: HashMap<String, Counted>,
}

#[derive(Debug)]
struct Counted {
    heard_ms: u64,
    /// Replicas with anything in flight.
    replicas: HashMap<Arc<str>, u64>,
}

impl Relays {
    /// Takes what one control tells, at `now_ms` of this process's monotonic clock. Several tell of
    /// workers of their own; a worker that moved is told of by the one it is attached to now.
    pub(crate) fn take(&mut self, counts: RelayCounts, now_ms: u64) {
        for worker in counts.workers {
            if self.workers.len() >= WORKER_LIMIT && !self.workers.contains_key(&worker.worker) {
                continue;
            }
            let replicas = worker.replicas.into_iter();
            let counted = Counted {
                heard_ms: now_ms,
                replicas: replicas
                    .map(|count| (count.replica.into(), count.in_flight))
                    .collect(),
            };
            self.workers.insert(worker.worker, counted);
        }
    }

    /// Exchanges in flight on a replica of that worker; `None` if nobody told of the worker lately.
    pub(crate) fn count(&self, worker: &str, replica: &str, now_ms: u64) -> Option<u64> {
        let counted = self.workers.get(worker)?;
        let believed = counted.is_believed(now_ms);
        believed.then(|| counted.replicas.get(replica).copied().unwrap_or(0))
    }

    /// Every replica with something in flight.
    pub(crate) fn busy(&self, now_ms: u64) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let workers = self.workers.values();
        workers
            .filter(move |counted| counted.is_believed(now_ms))
            .flat_map(|counted| counted.replicas.iter())
            .map(|(replica, count)| (replica, *count))
    }

    /// Forgets workers nobody told of lately.
    pub(crate) fn retain(&mut self, now_ms: u64) {
        self.workers
            .retain(|_, counted| counted.is_believed(now_ms));
    }
}

impl Counted {
    const fn is_believed(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_ms) <= BELIEVED_MS
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use fprs_proto::demand::{ReplicaCount, WorkerCounts};

    use super::*;

    /// What control tells of one worker.
    pub(crate) fn counts(worker: &str, replicas: &[(&str, u64)]) -> RelayCounts {
        let replicas = replicas.iter().map(|(replica, in_flight)| ReplicaCount {
            replica: (*replica).to_owned(),
            in_flight: *in_flight,
        });
        RelayCounts {
            workers: vec![WorkerCounts {
                worker: worker.to_owned(),
                replicas: replicas.collect(),
            }],
        }
    }

    #[test]
    fn a_replica_that_is_not_named_has_none_and_a_worker_that_is_not_is_unknown() {
        let mut relays = Relays::default();
        relays.take(counts("w", &[("a", 3)]), 0);
        assert_eq!(relays.count("w", "a", 100), Some(3));
        assert_eq!(relays.count("w", "b", 100), Some(0));
        assert_eq!(relays.count("v", "a", 100), None);
        relays.take(counts("w", &[]), 200);
        assert_eq!(relays.count("w", "a", 200), Some(0));
    }

    #[test]
    fn what_was_told_long_ago_is_not_believed() {
        let mut relays = Relays::default();
        relays.take(counts("w", &[("a", 3)]), 0);
        assert_eq!(relays.busy(BELIEVED_MS).count(), 1);
        assert_eq!(relays.count("w", "a", BELIEVED_MS + 1), None);
        assert_eq!(relays.busy(BELIEVED_MS + 1).count(), 0);
        relays.retain(BELIEVED_MS + 1);
        assert!(relays.workers.is_empty());
    }
}
