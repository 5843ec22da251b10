//! PURE. Turns gauges into demand reports: the first of a stream in full, then only what changed.
//! Integrals are told as of one moment for all gauges, so that the receiver can average them.

use std::sync::Arc;

use fprs_config::Revision;
use fprs_proto::demand::{DemandReport, ReplicaLoad, ServerDemand as ServerLoad};

use crate::demand::{Map, ReplicaGauge, ServerDemand, Told};
use crate::gauge::Gauge;

/// How long a server with unserved demand is named in full reports after the last of it: longer
/// than a standby autoscaler needs to take over, so that a request which fell into the gap counts.
const RECENT_US: u64 = 5_000_000;

/// Codes the reports of one proxy process.
#[derive(Debug)]
pub(crate) struct Coder {
    proxy: String,
    epoch: u64,
    sequence: u64,
    /// The moment that integrals were told of last.
    at_us: u64,
    full: bool,
    recent: Map<Recent>,
    /// Woken since the last report.
    fresh: Vec<Arc<str>>,
}

/// A server that has, or lately had, unserved demand.
#[derive(Debug)]
struct Recent {
    demand: Arc<ServerDemand>,
    told: Told,
    unserved: u64,
    last_us: u64,
}

impl Coder {
    /// `epoch` grows with every start of the proxy process.
    pub(crate) fn new(proxy: String, epoch: u64) -> Self {
        Self {
            proxy,
            epoch,
            sequence: 0,
            at_us: 0,
            full: true,
            recent: Map::default(),
            fresh: Vec::new(),
        }
    }

    /// The next report is full: the receiver may know nothing of this proxy, or not enough.
    pub(crate) const fn restart(&mut self) {
        self.full = true;
    }

    /// Takes note of a server with unserved demand.
    pub(crate) fn woken(&mut self, name: Arc<str>, demand: &Arc<ServerDemand>, now_us: u64) {
        let recent = || Recent {
            demand: Arc::clone(demand),
            told: Told::default(),
            unserved: 0,
            last_us: now_us,
        };
        let known = self.recent.entry(Arc::clone(&name)).or_insert_with(recent);
        if !Arc::ptr_eq(&known.demand, demand) {
            // The server was deleted and deployed again meanwhile.
            *known = recent();
        }
        self.fresh.push(name);
    }

    /// Names the servers woken since the last report, and no replica. Integrals stay those of the
    /// last regular report, and so does its time.
    pub(crate) fn urgent(&mut self, applied: Revision, now_us: u64) -> DemandReport {
        let mut servers = Vec::new();
        for name in std::mem::take(&mut self.fresh) {
            let Some(recent) = self.recent.get_mut(&name) else {
                continue;
            };
            recent.unserved = recent.demand.unserved_count();
            recent.last_us = now_us;
            servers.push(ServerLoad {
                server: name.to_string(),
                waiting: recent.demand.waiting().in_flight(),
                waiting_integral_us: unsigned(recent.told.integral_us),
                unserved: recent.unserved,
            });
        }
        self.report(applied, false, Vec::new(), servers)
    }

    /// Names every gauge that changed, or in a full report every gauge that ever counted. Forgets
    /// removed replicas once it was told that nothing is in flight on them.
    pub(crate) fn regular(
        &mut self,
        replicas: &mut Map<ReplicaGauge>,
        applied: Revision,
        now_us: u64,
    ) -> DemandReport {
        let full = std::mem::take(&mut self.full);
        self.at_us = now_us;
        self.fresh.clear();
        let mut loads = Vec::new();
        for (id, replica) in replicas.iter_mut() {
            let changed = replica.told.read(&replica.gauge, now_us);
            if changed || (full && replica.told.reading.started > 0) {
                loads.push(ReplicaLoad {
                    replica: id.to_string(),
                    server: replica.server.to_string(),
                    in_flight: replica.told.reading.in_flight(),
                    integral_us: unsigned(replica.told.integral_us),
                    started: replica.told.reading.started,
                });
            }
        }
        replicas.retain(|_, replica| {
            !replica.gauge.is_retired() || replica.told.reading.in_flight() > 0
        });
        let servers = self.servers(full, now_us);
        self.report(applied, full, loads, servers)
    }

    fn servers(&mut self, full: bool, now_us: u64) -> Vec<ServerLoad> {
        let mut servers = Vec::new();
        self.recent.retain(|name, recent| {
            let unserved = recent.demand.unserved_count();
            let waited = recent.told.read(recent.demand.waiting(), now_us);
            let changed = waited || unserved != recent.unserved;
            recent.unserved = unserved;
            if changed {
                recent.last_us = now_us;
            } else {
                recent.demand.calm();
            }
            let stays = now_us.saturating_sub(recent.last_us) < RECENT_US;
            if changed || (full && stays) {
                servers.push(ServerLoad {
                    server: name.to_string(),
                    waiting: recent.told.reading.in_flight(),
                    waiting_integral_us: unsigned(recent.told.integral_us),
                    unserved,
                });
            }
            stays
        });
        servers
    }

    fn report(
        &mut self,
        applied: Revision,
        full: bool,
        replicas: Vec<ReplicaLoad>,
        servers: Vec<ServerLoad>,
    ) -> DemandReport {
        self.sequence += 1;
        DemandReport {
            proxy: self.proxy.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            applied_revision: applied.0,
            at_us: self.at_us,
            full,
            replicas,
            servers,
        }
    }
}

impl Told {
    /// Reads the gauge; says whether there is anything new to tell.
    fn read(&mut self, gauge: &Gauge, now_us: u64) -> bool {
        let reading = gauge.read(now_us);
        let grown = reading.microseconds_since(&self.reading);
        let changed = grown != 0
            || reading.started != self.reading.started
            || reading.in_flight() != self.reading.in_flight();
        self.integral_us = self.integral_us.saturating_add(grown);
        self.reading = reading;
        changed
    }
}

/// Below zero only by the little that the next reading makes up for.
fn unsigned(integral_us: i64) -> u64 {
    u64::try_from(integral_us).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Demand;

    const TICK_US: u64 = 200_000;

    /// One replica `hello-1-a` of `hello`, and a coder that has sent its first, full report.
    struct Plane {
        demand: Arc<Demand>,
        gauge: Arc<Gauge>,
        server: Arc<ServerDemand>,
        coder: Coder,
        now_us: u64,
    }

    impl Plane {
        fn new() -> Self {
            let demand = Demand::new();
            let hello: Arc<str> = "hello".into();
            let mut plane = Self {
                gauge: demand.replica(&hello, &"hello-1-a".into()),
                server: demand.server(&hello),
                demand,
                coder: Coder::new("proxy-1".into(), 7),
                now_us: crate::clock::now_us(),
            };
            let first = plane.tick();
            assert!(first.full && first.sequence == 1);
            plane
        }

        fn tick(&mut self) -> DemandReport {
            self.now_us += TICK_US;
            let replicas = &mut self.demand.gauges().replicas;
            self.coder.regular(replicas, Revision(3), self.now_us)
        }

        fn wake(&mut self) -> DemandReport {
            self.coder.woken("hello".into(), &self.server, self.now_us);
            self.coder.urgent(Revision(3), self.now_us)
        }
    }

    #[test]
    fn a_delta_names_only_what_changed() {
        let mut plane = Plane::new();
        assert!(plane.tick().replicas.is_empty());
        let _guard = plane.gauge.begin_at(plane.now_us);
        let busy = plane.tick();
        assert!(!busy.full);
        let [load] = busy.replicas.as_slice() else {
            panic!("one replica in {busy:?}");
        };
        assert_eq!((load.in_flight, load.started), (1, 1));
        assert_eq!(load.integral_us, TICK_US);
        assert_eq!(busy.applied_revision, 3);
    }

    #[test]
    fn a_constant_load_is_told_again_because_its_integral_grows() {
        let mut plane = Plane::new();
        let _guard = plane.gauge.begin_at(plane.now_us);
        for ticks in 1..4 {
            let report = plane.tick();
            assert_eq!(report.replicas[0].integral_us, ticks * TICK_US);
        }
    }

    #[test]
    fn a_full_report_names_every_gauge_that_ever_counted() {
        let mut plane = Plane::new();
        drop(plane.gauge.begin());
        plane.tick();
        plane.tick();
        plane.coder.restart();
        let full = plane.tick();
        assert!(full.full);
        assert_eq!(full.replicas.len(), 1);
        assert!(!plane.tick().full);
    }

    #[test]
    fn an_urgent_report_keeps_the_time_of_the_integrals() {
        let mut plane = Plane::new();
        let regular = plane.tick();
        plane.now_us += 50_000;
        plane.server.unserved();
        let urgent = plane.wake();
        assert_eq!(urgent.at_us, regular.at_us);
        assert_eq!(urgent.servers[0].unserved, 1);
        assert!(urgent.replicas.is_empty());
        assert_eq!(urgent.sequence, regular.sequence + 1);
    }

    #[test]
    fn waiting_requests_are_told_while_they_wait_and_when_they_no_longer_do() {
        let mut plane = Plane::new();
        let waiting = plane.server.wait();
        assert_eq!(plane.wake().servers[0].waiting, 1);
        assert_eq!(plane.tick().servers[0].waiting, 1);
        drop(waiting);
        assert_eq!(plane.tick().servers[0].waiting, 0);
        plane.tick();
        assert!(plane.tick().servers.is_empty());
    }

    #[test]
    fn a_full_report_names_servers_whose_demand_fell_into_a_takeover() {
        let mut plane = Plane::new();
        plane.server.unserved();
        plane.wake();
        for _ in 0..10 {
            plane.tick();
        }
        plane.coder.restart();
        assert_eq!(plane.tick().servers[0].unserved, 1);
        plane.now_us += RECENT_US;
        plane.coder.restart();
        plane.tick();
        plane.coder.restart();
        assert!(plane.tick().servers.is_empty());
    }

    #[test]
    fn a_removed_replica_is_forgotten_after_its_last_exchange_was_told() {
        let mut plane = Plane::new();
        let guard = plane.gauge.begin();
        plane.demand.remove_replica("hello-1-a");
        assert_eq!(plane.tick().replicas[0].in_flight, 1);
        drop(guard);
        assert_eq!(plane.tick().replicas[0].in_flight, 0);
        assert!(plane.demand.gauges().replicas.is_empty());
    }
}
