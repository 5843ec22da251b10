//! Every gauge of a proxy by the replica or server it belongs to. The routing table asks once per
//! replica and server and keeps the `Arc`s: a count survives every edit of the table around it, and
//! the request path never comes here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::gauge::{Gauge, Guard};

type Map<V> = HashMap<Arc<str>, V, foldhash::fast::RandomState>;

/// Every gauge of a proxy. Asked when the routing table changes and by the reporter, never by a
/// request.
#[derive(Debug, Default)]
pub struct Demand {
    gauges: Mutex<Gauges>,
    urgent: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) replicas: Map<ReplicaGauge>,
    pub(crate) servers: Map<Arc<ServerDemand>>,
}

#[derive(Debug)]
pub(crate) struct ReplicaGauge {
    pub(crate) server: Arc<str>,
    pub(crate) gauge: Arc<Gauge>,
    /// Its replica is gone; it goes too once nothing is in flight.
    pub(crate) removed: bool,
}

/// The requests of one server that no replica serves: refused, and waiting for one.
#[derive(Debug)]
pub struct ServerDemand {
    unserved: AtomicU64,
    waiting: Arc<Gauge>,
    /// Nobody asked in vain lately: the next one to do so is reported at once.
    pub(crate) quiet: AtomicBool,
    pub(crate) removed: AtomicBool,
    urgent: Arc<Notify>,
}

impl Demand {
    /// An empty registry.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The gauge of a replica, the same one for the same id until it is removed.
    pub fn replica(&self, server: &Arc<str>, replica: &Arc<str>) -> Arc<Gauge> {
        let mut gauges = self.gauges();
        let known = gauges
            .replicas
            .entry(Arc::clone(replica))
            .or_insert_with(|| ReplicaGauge {
                server: Arc::clone(server),
                gauge: Arc::default(),
                removed: false,
            });
        known.removed = false;
        Arc::clone(&known.gauge)
    }

    /// The unserved demand of a server, the same one for the same name until it is removed.
    pub fn server(&self, server: &Arc<str>) -> Arc<ServerDemand> {
        let mut gauges = self.gauges();
        match gauges.servers.entry(Arc::clone(server)) {
            Entry::Occupied(known) => {
                known.get().removed.store(false, Ordering::Relaxed);
                Arc::clone(known.get())
            }
            Entry::Vacant(free) => {
                Arc::clone(free.insert(ServerDemand::new(Arc::clone(&self.urgent))))
            }
        }
    }

    /// The replica is gone from the table. Its exchanges are counted to their end.
    pub fn remove_replica(&self, replica: &str) {
        if let Some(known) = self.gauges().replicas.get_mut(replica) {
            known.removed = true;
        }
    }

    /// The server is gone from the table. Its waiting requests are counted to their end.
    pub fn remove_server(&self, server: &str) {
        if let Some(known) = self.gauges().servers.get(server) {
            known.removed.store(true, Ordering::Relaxed);
        }
    }

    /// Removes every replica and every server that a new table does not keep.
    pub fn retain(
        &self,
        mut keep_replica: impl FnMut(&str) -> bool,
        mut keep_server: impl FnMut(&str) -> bool,
    ) {
        let mut gauges = self.gauges();
        for (id, replica) in &mut gauges.replicas {
            replica.removed = !keep_replica(id);
        }
        for (name, server) in &gauges.servers {
            server.removed.store(!keep_server(name), Ordering::Relaxed);
        }
    }

    /// Returns when a server that was quiet has unserved demand.
    pub(crate) async fn urgent(&self) {
        self.urgent.notified().await;
    }

    pub(crate) fn gauges(&self) -> MutexGuard<'_, Gauges> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerDemand {
    fn new(urgent: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            unserved: AtomicU64::new(0),
            waiting: Arc::default(),
            quiet: AtomicBool::new(true),
            removed: AtomicBool::new(false),
            urgent,
        })
    }

    /// Counts one request that found no replica. The first after a quiet while is reported at once.
    pub fn unserved(&self) {
        self.unserved.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    /// Counts one request that waits for a replica, until the guard is dropped. The first after a
    /// quiet while is reported at once.
    pub fn wait(&self) -> Guard {
        let guard = self.waiting.begin();
        self.wake();
        guard
    }

    /// Requests that found no replica so far.
    pub fn unserved_count(&self) -> u64 {
        self.unserved.load(Ordering::Relaxed)
    }

    /// The gauge of the requests that wait.
    pub fn waiting(&self) -> &Gauge {
        &self.waiting
    }

    fn wake(&self) {
        // The load keeps a flood of unserved requests from writing the flag's cache line.
        if self.quiet.load(Ordering::Relaxed) && self.quiet.swap(false, Ordering::AcqRel) {
            self.urgent.notify_one();
        }
    }
}
