//! PURE. The next moves: from the snapshot and what workers say to orders for relays and writes for
//! the store. Level-triggered: the same input gives the same plan, nothing depends on which event
//! came before, so a restart, a lost message or a conflict is mended by planning again. Costs in
//! proportion to replicas and workers, not to servers.
//!
//! Orders go out at once, writes through commits with expectations; a Start is sent before the
//! commit that says so. If that commit loses, the replica runs on a relay without a record to it,
//! and the next plan stops it.

mod replicas;
mod servers;
mod step;
mod strays;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_config::{Snapshot, Version};

use crate::commit::Group;
use crate::fleet::Fleet;
use crate::place::NoRoom;

/// The time, read once for a whole plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// For leases.
    pub(crate) instant: Instant,
    /// For records.
    pub(crate) unix_ms: u64,
}

/// What a relay is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Its lease has ended; it has to attach again.
    Disconnect,
    /// Run this.
    Start {
        /// The replica's id.
        replica: Arc<str>,
        /// The server it is a copy of.
        server: Arc<str>,
        /// What to run.
        version: Arc<Version>,
    },
    /// Let it end.
    Stop {
        /// The replica's id.
        replica: Arc<str>,
    },
    /// It is part of the plane.
    Welcome,
}

/// The next moves.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// For which worker, in the order to send them.
    pub(crate) orders: Vec<(Arc<str>, Order)>,
    /// Writes that belong together; no record is in two groups.
    pub(crate) groups: Vec<Group>,
    /// Servers with replicas that find no place, and why.
    pub(crate) waiting: BTreeMap<Arc<str>, NoRoom>,
    /// Replicas that ended and whose end is in the store: (worker, replica).
    pub(crate) ended: Vec<(Arc<str>, Arc<str>)>,
    /// Workers that are away and that the store knows nothing of.
    pub(crate) gone: Vec<Arc<str>>,
    /// When to plan again if nothing happens: when the next lease ends, or soon if orders are left.
    pub(crate) wake: Option<Instant>,
    /// Orders were left for the next plan.
    more: bool,
}

/// The next moves of everything in that snapshot. The fleet must have met the snapshot's workers.
pub(crate) fn plan(snapshot: &Snapshot, fleet: &Fleet, lease: Duration, now: Now) -> Plan {
    let mut plan = Plan::default();
    let whole = workers::plan(snapshot, fleet, lease, now, &mut plan);
    replicas::plan(snapshot, fleet, lease, now, &whole, &mut plan);
    strays::plan(snapshot, fleet, &mut plan);
    if plan.more {
        plan.wake = Some(now.instant + ORDERS_PAUSE);
    }
    plan
}

impl Plan {
    /// Whether one more Start or Stop fits into this plan. What doesn't is planned again.
    fn has_room(&mut self) -> bool {
        let has = self.orders.len() < MAX_ORDERS_AT_ONCE;
        self.more |= !has;
        has
    }
}

/// Orders in one plan: a fraction of a worker's queue, so that a burst never looks like a worker that
/// doesn't take its orders.
const MAX_ORDERS_AT_ONCE: usize = 256;
/// For queues to drain between two such plans.
const ORDERS_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
