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
    /// When the next lease ends.
    pub(crate) wake: Option<Instant>,
}

/// The next moves of everything in that snapshot. The fleet must have met the snapshot's workers.
pub(crate) fn plan(snapshot: &Snapshot, fleet: &Fleet, lease: Duration, now: Now) -> Plan {
    let mut plan = Plan::default();
    let whole = workers::plan(snapshot, fleet, lease, now, &mut plan);
    replicas::plan(snapshot, fleet, lease, now, &whole, &mut plan);
    strays::plan(snapshot, fleet, &mut plan);
    plan
}

#[cfg(test)]
mod tests;
