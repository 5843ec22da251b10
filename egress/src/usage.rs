//! PURE. How much each tenant has sent and been sent by a static IP, over all sessions of its agents. A
//! counter that begins anew is a new session, and loses nothing that was counted before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::PublicKey;

/// What one tenant has used of one static IP. Never falls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Whose agents; empty: the plane's own.
    pub tenant: Arc<str>,
    /// Bytes from them.
    pub received: u64,
    /// Bytes to them.
    pub sent: u64,
}

/// The counts of one static IP.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    totals: BTreeMap<Arc<str>, (u64, u64)>,
    /// Counters of each peer as they were seen last.
    last: HashMap<PublicKey, (u64, u64)>,
}

impl Meter {
    /// Goes on from what an earlier process counted.
    pub fn new(records: Vec<UsageRecord>) -> Self {
        let totals = records
            .into_iter()
            .map(|record| (record.tenant, (record.received, record.sent)));
        Self {
            totals: totals.collect(),
            last: HashMap::new(),
        }
    }

    /// Takes a peer's counters in, as they are now.
    pub fn seen(&mut self, tenant: &Arc<str>, key: PublicKey, received: u64, sent: u64) {
        let last = self.last.insert(key, (received, sent));
        // One of them fell: both are a new session's.
        let goes_on =
            |(was_received, was_sent): (u64, u64)| was_received <= received && was_sent <= sent;
        let (was_received, was_sent) = last.filter(|last| goes_on(*last)).unwrap_or_default();
        let total = self.totals.entry(Arc::clone(tenant)).or_default();
        total.0 = total.0.saturating_add(received - was_received);
        total.1 = total.1.saturating_add(sent - was_sent);
    }

    /// A peer is removed: another one of its key counts from 0.
    pub fn gone(&mut self, key: &PublicKey) {
        self.last.remove(key);
    }

    /// What there is, by tenant.
    pub fn records(&self) -> Vec<UsageRecord> {
        let all = self
            .totals
            .iter()
            .map(|(tenant, (received, sent))| UsageRecord {
                tenant: Arc::clone(tenant),
                received: *received,
                sent: *sent,
            });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_or_counted_twice_by_sessions_that_end_and_processes_that_restart() {
        let (acme, key) = ("acme".into(), PublicKey([1; 32]));
        let mut meter = Meter::default();
        meter.seen(&acme, key, 10, 1);
        meter.seen(&acme, key, 15, 1);
        // A new session of the same key, seen before its end was.
        meter.seen(&acme, key, 4, 2);
        meter.gone(&key);
        meter.seen(&acme, key, 5, 2);
        meter.seen(&"other".into(), PublicKey([2; 32]), 7, 0);
        let records = meter.records();
        assert_eq!((records[0].received, records[0].sent), (24, 5));
        assert_eq!((&*records[1].tenant, records[1].received), ("other", 7));
        let mut again = Meter::new(records);
        again.seen(&acme, key, 1, 1);
        assert_eq!(
            (again.records()[0].received, again.records()[0].sent),
            (25, 6)
        );
    }
}
