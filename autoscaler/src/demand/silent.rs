//! PURE. Load that no proxy reports now: what is left of one that fell silent, or of one that was
//! never heard. Of its last counts stays what relays count and no proxy that reports accounts for.
//! That only ever shrinks, so a late count of a relay makes no load; it ends when the proxy reports or
//! nothing is left.

use std::collections::HashMap;
use std::sync::Arc;

use super::Load;

#[derive(Debug, Default)]
pub(super) struct Silent {
    replicas: HashMap<Arc<str>, Last>,
}

/// A replica's last count.
#[derive(Debug)]
struct Last {
    server: Arc<str>,
    count: u64,
}

impl Silent {
    /// The last counts: replica, its server, exchanges in flight.
    pub(super) fn new(counts: impl Iterator<Item = (Arc<str>, Arc<str>, u64)>) -> Self {
        let replicas = counts.filter(|&(_, _, count)| count > 0);
        let last = |(id, server, count)| (id, Last { server, count });
        Self {
            replicas: replicas.map(last).collect(),
        }
    }

    /// Keeps what `counted` confirms beyond the loads so far, and adds it to them.
    pub(super) fn tick(
        &mut self,
        loads: &mut HashMap<Arc<str>, Load>,
        counted: &dyn Fn(&str) -> Option<u64>,
    ) {
        self.replicas.retain(|id, last| {
            let load = loads.get(&last.server);
            let known = load.and_then(|load| load.replicas.get(id)).copied();
            let beyond = counted(id).unwrap_or(0).saturating_sub(known.unwrap_or(0));
            last.count = last.count.min(beyond);
            if last.count == 0 {
                return false;
            }
            let load = loads.entry(Arc::clone(&last.server)).or_default();
            load.average += last.count as f64;
            load.in_flight += last.count;
            *load.replicas.entry(Arc::clone(id)).or_default() += last.count;
            true
        });
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.replicas.values().map(|last| last.count).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replicas.is_empty()
    }
}
