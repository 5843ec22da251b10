//! Every gauge of a proxy by the replica or server it belongs to. The routing table asks once per
//! replica and server and keeps the `Arc`s: a count survives every edit of the table around it, and
//! the request path never comes here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::gauge::{Gauge, Guard, Reading};

pub(crate) type Map<V> = HashMap<Arc<str>, V, foldhash::fast::RandomState>;

/// Servers whose demand may wait for the reporter to take note of it. It takes all of them every
/// few milliseconds; a server that finds the queue full tries again with its next request.
const WOKEN_LIMIT: usize = 4_096;

/// Gauges that were made with a first exchange and wait to be taken note of, which whoever looks at the
/// gauges does. One that finds no room tries again with its next exchange.
const FRESH_LIMIT: usize = 4_096;

/// Every gauge of a proxy. Asked when the routing table changes and by the one reporter, never by a
/// request.
#[derive(Debug)]
pub struct Demand {
    gauges: Mutex<Gauges>,
    fresh: mpsc::Sender<Fresh>,
    wake: mpsc::Sender<Arc<str>>,
    /// For the reporter to take.
    woken: Mutex<Option<mpsc::Receiver<Arc<str>>>>,
}

/// Takes note of gauges that requests make, without a lock.
#[derive(Clone, Debug)]
pub struct Lister(mpsc::Sender<Fresh>);

#[derive(Debug)]
struct Fresh {
    server: Arc<str>,
    replica: Arc<str>,
    gauge: Arc<Gauge>,
}

#[derive(Debug)]
pub(crate) struct Gauges {
    fresh: mpsc::Receiver<Fresh>,
    pub(crate) replicas: Map<ReplicaGauge>,
    pub(crate) servers: Map<Arc<ServerDemand>>,
}

#[derive(Debug)]
pub(crate) struct ReplicaGauge {
    pub(crate) server: Arc<str>,
    /// Retired with its replica, it goes once the autoscaler was told that nothing is in flight.
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) told: Told,
}

/// What the autoscaler was told of a gauge.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) reading: Reading,
    /// The integral since the beginning, in exchange × microseconds.
    pub(crate) integral_us: i64,
}

/// The requests of one server that no replica serves: refused, and waiting for one.
#[derive(Debug)]
pub struct ServerDemand {
    name: Arc<str>,
    unserved: AtomicU64,
    waiting: Arc<Gauge>,
    /// Nobody asked in vain lately: the next one to do so is reported at once.
    quiet: AtomicBool,
    wake: mpsc::Sender<Arc<str>>,
}

impl Demand {
    /// An empty registry.
    pub fn new() -> Arc<Self> {
        let (wake, woken) = mpsc::channel(WOKEN_LIMIT);
        let (list, fresh) = mpsc::channel(FRESH_LIMIT);
        let gauges = Gauges {
            fresh,
            replicas: Map::default(),
            servers: Map::default(),
        };
        Arc::new(Self {
            gauges: Mutex::new(gauges),
            fresh: list,
            wake,
            woken: Mutex::new(Some(woken)),
        })
    }

    /// The gauge of a replica, the same one for the same id until it is removed.
    pub fn replica(&self, server: &Arc<str>, replica: &Arc<str>) -> Arc<Gauge> {
        let mut gauges = self.gauges();
        let known = gauges
            .replicas
            .entry(Arc::clone(replica))
            .or_insert_with(|| ReplicaGauge::new(server, Arc::default()));
        known.gauge.revive();
        Arc::clone(&known.gauge)
    }

    /// The gauge of a replica that had exchanges before and is here again, if it is remembered.
    pub fn known(&self, replica: &str) -> Option<Arc<Gauge>> {
        let gauges = self.gauges();
        let known = gauges.replicas.get(replica)?;
        known.gauge.revive();
        Some(Arc::clone(&known.gauge))
    }

    /// Who takes note of gauges that are made elsewhere.
    pub fn lister(&self) -> Lister {
        Lister(self.fresh.clone())
    }

    /// The unserved demand of a server, the same one for the same name until it is removed.
    pub fn server(&self, server: &Arc<str>) -> Arc<ServerDemand> {
        let mut gauges = self.gauges();
        let known = gauges
            .servers
            .entry(Arc::clone(server))
            .or_insert_with(|| ServerDemand::new(server, &self.wake));
        Arc::clone(known)
    }

    /// The replica is gone from the table. Its exchanges are counted to their end.
    pub fn remove_replica(&self, replica: &str) {
        if let Some(known) = self.gauges().replicas.get(replica) {
            known.gauge.retire();
        }
    }

    /// The server is gone from the table.
    pub fn remove_server(&self, server: &str) {
        self.gauges().servers.remove(server);
    }

    /// Removes every replica and every server that a new table does not keep.
    pub fn retain(
        &self,
        mut keep_replica: impl FnMut(&str) -> bool,
        mut keep_server: impl FnMut(&str) -> bool,
    ) {
        let mut gauges = self.gauges();
        for (id, replica) in &gauges.replicas {
            if keep_replica(id) {
                replica.gauge.revive();
            } else {
                replica.gauge.retire();
            }
        }
        gauges.servers.retain(|name, _| keep_server(name));
    }

    /// Exchanges in flight through this proxy, on all replicas that are known or not told of yet.
    pub fn in_flight(&self) -> u64 {
        let gauges = self.gauges();
        let replicas = gauges.replicas.values();
        replicas
            .map(|replica| u64::from(replica.gauge.in_flight()))
            .sum()
    }

    /// The names of servers that were quiet and have unserved demand now; `None` if a reporter has
    /// taken them already.
    pub(crate) fn take_woken(&self) -> Option<mpsc::Receiver<Arc<str>>> {
        self.woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(crate) fn gauges(&self) -> MutexGuard<'_, Gauges> {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(fresh) = gauges.fresh.try_recv() {
            let listed = ReplicaGauge::new(&fresh.server, fresh.gauge);
            gauges.replicas.insert(fresh.replica, listed);
        }
        gauges
    }
}

impl Lister {
    /// Takes note of a replica's gauge; `false`: there is no room now.
    pub fn list(&self, server: &Arc<str>, replica: &Arc<str>, gauge: &Arc<Gauge>) -> bool {
        let fresh = Fresh {
            server: Arc::clone(server),
            replica: Arc::clone(replica),
            gauge: Arc::clone(gauge),
        };
        self.0.try_send(fresh).is_ok()
    }
}

impl ReplicaGauge {
    fn new(server: &Arc<str>, gauge: Arc<Gauge>) -> Self {
        Self {
            server: Arc::clone(server),
            gauge,
            told: Told::default(),
        }
    }
}

impl ServerDemand {
    fn new(name: &Arc<str>, wake: &mpsc::Sender<Arc<str>>) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::clone(name),
            unserved: AtomicU64::new(0),
            waiting: Arc::default(),
            quiet: AtomicBool::new(true),
            wake: wake.clone(),
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

    /// The next request in vain is to be reported at once again. One that comes just before is
    /// reported with the next regular report.
    pub(crate) fn calm(&self) {
        self.quiet.store(true, Ordering::Release);
    }

    fn wake(&self) {
        // The load keeps a flood of unserved requests from writing the flag's cache line.
        if self.quiet.load(Ordering::Relaxed)
            && self.quiet.swap(false, Ordering::AcqRel)
            && self.wake.try_send(Arc::clone(&self.name)).is_err()
        {
            self.calm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_replica_keeps_its_gauge_while_the_table_is_edited_around_it() {
        let demand = Demand::new();
        let gauge = demand.replica(&name("hello"), &name("hello-1-a"));
        let guard = gauge.begin();
        demand.retain(|id| id == "hello-1-a", |_| true);
        let again = demand.replica(&name("hello"), &name("hello-1-a"));
        assert!(Arc::ptr_eq(&gauge, &again));
        assert_eq!(again.in_flight(), 1);
        drop(guard);
        assert_eq!(again.in_flight(), 0);
    }

    #[test]
    fn a_replica_that_comes_back_before_its_last_exchange_ended_keeps_its_count() {
        let demand = Demand::new();
        let gauge = demand.replica(&name("hello"), &name("hello-1-a"));
        let _guard = gauge.begin();
        demand.remove_replica("hello-1-a");
        let again = demand.replica(&name("hello"), &name("hello-1-a"));
        assert_eq!(again.in_flight(), 1);
    }

    #[test]
    fn a_gauge_that_a_request_made_is_known_from_the_next_look_and_forgotten_when_retired() {
        let demand = Demand::new();
        let gauge = Arc::new(Gauge::new());
        assert!(
            demand
                .lister()
                .list(&name("hello"), &name("hello-1-a"), &gauge)
        );
        let guard = gauge.begin();
        assert_eq!(demand.in_flight(), 1);
        gauge.retire();
        let again = demand.known("hello-1-a").expect("it is remembered");
        assert!(Arc::ptr_eq(&gauge, &again) && !again.is_retired());
        assert!(demand.known("hello-1-b").is_none());
        drop(guard);
    }

    #[test]
    fn a_crowd_of_first_exchanges_is_listed_as_room_comes() {
        let demand = Demand::new();
        let lister = demand.lister();
        let gauge = Arc::new(Gauge::new());
        for number in 0..FRESH_LIMIT {
            assert!(lister.list(&name("hello"), &name(&number.to_string()), &gauge));
        }
        assert!(!lister.list(&name("hello"), &name("late"), &gauge));
        assert_eq!(demand.gauges().replicas.len(), FRESH_LIMIT);
        assert!(lister.list(&name("hello"), &name("late"), &gauge));
        assert_eq!(demand.gauges().replicas.len(), FRESH_LIMIT + 1);
    }

    #[test]
    fn only_the_first_unserved_request_after_a_quiet_while_wakes_the_reporter() {
        let demand = Demand::new();
        let mut woken = demand.take_woken().expect("not taken yet");
        let server = demand.server(&name("hello"));
        server.unserved();
        server.unserved();
        let _waiting = server.wait();
        assert_eq!(woken.try_recv().as_deref(), Ok("hello"));
        assert!(woken.try_recv().is_err());
        server.calm();
        server.unserved();
        assert_eq!(woken.try_recv().as_deref(), Ok("hello"));
        assert_eq!(server.unserved_count(), 3);
        assert_eq!(server.waiting().in_flight(), 1);
    }

    #[test]
    fn a_server_that_finds_the_queue_full_wakes_the_reporter_with_its_next_request() {
        let demand = Demand::new();
        let mut woken = demand.take_woken().expect("not taken yet");
        for number in 0..WOKEN_LIMIT {
            demand.server(&name(&format!("other-{number}"))).unserved();
        }
        let late = demand.server(&name("late"));
        late.unserved();
        while woken.try_recv().is_ok() {}
        late.unserved();
        assert_eq!(woken.try_recv().as_deref(), Ok("late"));
    }
}
