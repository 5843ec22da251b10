//! What report streams, the controller and those who ask share. Every lock is held for a few
//! microseconds of pure code, never across an await.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fprs_proto::demand::{DemandReport, RelayCounts};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::changed::Changes;
use crate::demand::Demand;
use crate::explain::Explanations;
use crate::recorders::Recorders;
use crate::relays::Relays;

#[derive(Debug)]
pub(crate) struct Shared {
    started: Instant,
    leads: AtomicBool,
    demand: Mutex<Demand>,
    relays: Mutex<Relays>,
    /// Replicas whose load proxies and relays did not agree on when that was checked last.
    pub(crate) disagreeing: AtomicUsize,
    urgent: Mutex<HashSet<Arc<str>>>,
    /// Some server is urgent.
    pub(crate) wake: Notify,
    pub(crate) changes: Changes,
    pub(crate) explanations: Explanations,
    pub(crate) recorders: Recorders,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            leads: AtomicBool::new(false),
            demand: Mutex::default(),
            relays: Mutex::default(),
            disagreeing: AtomicUsize::new(0),
            urgent: Mutex::default(),
            wake: Notify::new(),
            changes: Changes::new(),
            explanations: Explanations::default(),
            recorders: Recorders::default(),
        })
    }

    /// Milliseconds on this process's monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether this process holds the lease.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    /// Begins or ends leading. What was known before counts no more.
    pub(crate) fn lead(&self, leads: bool) {
        *self.demand() = Demand::default();
        *self.relays() = Relays::default();
        self.disagreeing.store(0, Ordering::Relaxed);
        self.urgent().clear();
        self.changes.reset();
        self.leads.store(leads, Ordering::Release);
    }

    /// Takes a report; says whether a full one is needed.
    pub(crate) fn take(&self, report: &DemandReport) -> bool {
        let now_ms = self.now_ms();
        let taken = self.demand().take(report, now_ms);
        if !taken.unserved.is_empty() {
            self.urgent().extend(taken.unserved);
            self.wake.notify_one();
        }
        taken.resync
    }

    /// Takes what relays count.
    pub(crate) fn count(&self, counts: RelayCounts) {
        let now_ms = self.now_ms();
        self.relays().take(counts, now_ms);
    }

    /// Servers with unserved demand since this was last asked.
    pub(crate) fn take_urgent(&self) -> HashSet<Arc<str>> {
        std::mem::take(&mut *self.urgent())
    }

    pub(crate) fn demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn relays(&self) -> MutexGuard<'_, Relays> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn urgent(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.urgent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
