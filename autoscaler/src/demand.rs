//! PURE. Adds up what proxies report: in flight and its average per server and replica, unserved
//! demand, and the revision every live proxy routes by.
//!
//! Each proxy process is one origin, told apart by its epoch. Counts are as of the newest report,
//! so a late or repeated one changes nothing. An origin that falls silent keeps its last counts for
//! one lease, and after that what relays confirm of them: a killed proxy leaves no ghost load, and
//! one that is only cut off hides none.

mod meter;
mod named;
mod silent;

use std::collections::HashMap;
use std::sync::Arc;

use fprs_config::Revision;
use fprs_proto::demand::{DemandReport, ServerDemand};

use self::meter::Meter;
use self::named::Named;
use self::silent::Silent;

/// How long a silent proxy keeps its last counts, in milliseconds: ten regular reports.
pub const ORIGIN_LEASE_MS: u64 = 2_000;

/// Proxies that may report at once; what exceeds it is not counted.
const ORIGIN_LIMIT: usize = 4_096;

/// The load of the plane, by origin.
#[derive(Debug, Default)]
pub struct Demand {
    origins: HashMap<String, Origin>,
    /// Origins whose lease ran out, by proxy, with what relays confirm of their last counts.
    silent: HashMap<String, Silent>,
    /// Of proxies that were never heard, as far as that is certain.
    strangers: Silent,
}

/// What became of a report.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Something may be missing: ask for a full report.
    pub resync: bool,
    /// Servers with new unserved demand. Each once.
    pub unserved: Vec<Arc<str>>,
}

/// The load of one server over one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Exchanges in flight and requests waiting, averaged over the tick.
    pub average: f64,
    /// Exchanges in flight at the newest reports.
    pub in_flight: u64,
    /// Requests waiting for a replica at the newest reports.
    pub waiting: u64,
    /// Requests that found no replica during the tick.
    pub unserved: u64,
    /// Exchanges in flight by replica; a replica that is not named has none.
    pub replicas: HashMap<Arc<str>, u64>,
}

/// What one proxy process reported.
#[derive(Debug)]
struct Origin {
    epoch: u64,
    sequence: u64,
    applied: Revision,
    /// What it routed by a regular report earlier.
    acknowledged: Revision,
    heard_ms: u64,
    /// The proxy's clock at its newest regular report, and at the last tick that read it.
    at_us: u64,
    ticked_us: Option<u64>,
    replicas: Named<Replica>,
    servers: Named<Unserved>,
}

#[derive(Debug)]
struct Replica {
    server: Arc<str>,
    meter: Meter,
}

/// Requests of one server that no replica serves.
#[derive(Debug, Default)]
struct Unserved {
    waiting: Meter,
    count: u64,
    ticked: u64,
}

impl Demand {
    /// Takes a report at `now_ms` of the receiver's monotonic clock.
    pub fn take(&mut self, report: &DemandReport, now_ms: u64) -> Taken {
        let known = match self.origins.get(&report.proxy) {
            Some(origin) if origin.epoch > report.epoch => return Taken::default(),
            Some(origin) => origin.epoch == report.epoch,
            None if self.origins.len() >= ORIGIN_LIMIT => return Taken::default(),
            None => false,
        };
        if !known {
            self.origins
                .insert(report.proxy.clone(), Origin::new(report));
        }
        let Some(origin) = self.origins.get_mut(&report.proxy) else {
            return Taken::default();
        };
        if known && report.sequence <= origin.sequence {
            return Taken::default();
        }
        let follows = known && report.sequence == origin.sequence + 1;
        origin.heard_ms = now_ms;
        self.silent.remove(&report.proxy);
        Taken {
            resync: !report.full && !follows,
            unserved: origin.take(report, known),
        }
    }

    /// Closes the tick: the load of every server that has any, and an end to origins whose lease
    /// ran out. Costs what has load.
    pub fn tick(&mut self, now_ms: u64) -> HashMap<Arc<str>, Load> {
        self.tick_with(now_ms, &|_| None)
    }

    /// As [`Demand::tick`], where `counted` is what a replica's relay counts, if that is known.
    pub fn tick_with(
        &mut self,
        now_ms: u64,
        counted: &dyn Fn(&str) -> Option<u64>,
    ) -> HashMap<Arc<str>, Load> {
        let ended = |origin: &Origin| now_ms.saturating_sub(origin.heard_ms) > ORIGIN_LEASE_MS;
        for (proxy, origin) in self.origins.extract_if(|_, origin| ended(origin)) {
            self.silent.insert(proxy, origin.into_silent());
        }
        let mut loads = HashMap::new();
        for origin in self.origins.values_mut() {
            origin.tick(&mut loads);
        }
        self.silent.retain(|_, silent| {
            silent.tick(&mut loads, counted);
            !silent.is_empty()
        });
        loads
    }

    /// From now on there is load that relays certainly count and nobody reports: replica, its server,
    /// exchanges in flight.
    pub fn meet_strangers(&mut self, counts: impl Iterator<Item = (Arc<str>, Arc<str>, u64)>) {
        self.strangers = Silent::new(counts);
    }

    /// Adds what relays still confirm of that to the loads of a tick.
    pub fn add_strangers(
        &mut self,
        loads: &mut HashMap<Arc<str>, Load>,
        counted: &dyn Fn(&str) -> Option<u64>,
    ) {
        self.strangers.tick(loads, counted);
    }

    /// The unserved demand of one server since the last tick; closes nothing. What is in flight on
    /// replicas is not looked at: a server that urgently needs one has none.
    pub fn unserved(&self, server: &str) -> Load {
        let mut load = Load::default();
        let origins = self.origins.values();
        origins
            .filter_map(|origin| origin.servers.get(server))
            .for_each(|server| server.add_to(&mut load));
        load
    }

    /// How many proxies are live.
    pub fn origins(&self) -> usize {
        self.origins.len()
    }

    /// Exchanges in flight at the newest reports of all proxies. Costs every replica they know.
    pub fn in_flight(&self) -> u64 {
        let replicas = |origin| Origin::replicas(origin).map(|replica| replica.meter.count());
        let counts = self.origins.values().flat_map(replicas);
        counts.map(u64::from).sum::<u64>() + self.unheard()
    }

    /// Of these, the ones on proxies that fell silent or were never heard, as relays confirmed them at
    /// the last tick.
    pub fn unheard(&self) -> u64 {
        let silent = self.silent.values().map(Silent::in_flight);
        silent.sum::<u64>() + self.strangers.in_flight()
    }

    /// Whether every live proxy routes by that revision or a later one, and did so a report ago:
    /// a request that chose its replica by an older table has reached it by now.
    pub fn applied(&self, revision: Revision) -> bool {
        self.origins
            .values()
            .all(|origin| origin.acknowledged >= revision)
    }

    /// Forgets idle replicas and servers that no longer exist.
    pub fn retain(
        &mut self,
        keep_replica: impl Fn(&str) -> bool,
        keep_server: impl Fn(&str) -> bool,
    ) {
        for origin in self.origins.values_mut() {
            origin.replicas.retain(&keep_replica);
            origin.servers.retain(&keep_server);
        }
    }
}

impl Origin {
    fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.all()
    }

    fn into_silent(self) -> Silent {
        let replicas = self.replicas.into_all();
        let counts =
            replicas.map(|(id, replica)| (id, replica.server, u64::from(replica.meter.count())));
        Silent::new(counts)
    }

    fn new(report: &DemandReport) -> Self {
        Self {
            epoch: report.epoch,
            sequence: report.sequence,
            applied: Revision::default(),
            acknowledged: Revision::default(),
            heard_ms: 0,
            at_us: report.at_us,
            ticked_us: None,
            replicas: Named::default(),
            servers: Named::default(),
        }
    }

    /// Takes the counts and names the servers with new unserved demand. `known`: earlier reports of
    /// this origin were taken, so what it never named was zero. A full report of an unknown origin
    /// names only servers whose unserved demand is recent, so that all of it is new here.
    fn take(&mut self, report: &DemandReport, known: bool) -> Vec<Arc<str>> {
        self.sequence = report.sequence;
        if report.at_us > self.at_us {
            self.acknowledged = self.applied;
        }
        self.applied = Revision(report.applied_revision);
        self.at_us = report.at_us;
        for load in &report.replicas {
            let new = || Replica {
                server: load.server.as_str().into(),
                meter: Meter::default(),
            };
            if let Some(replica) = self.replicas.name(&load.replica, report.sequence, new) {
                replica.meter.take(load.in_flight, load.integral_us, known);
            }
        }
        let mut unserved = Vec::new();
        for demand in &report.servers {
            let server = self
                .servers
                .name(&demand.server, report.sequence, Unserved::default);
            if server.is_some_and(|server| server.take(demand, known)) {
                unserved.push(demand.server.as_str().into());
            }
        }
        if report.full {
            let replicas = self.replicas.others(report.sequence);
            replicas.for_each(|replica| replica.meter.clear());
            let servers = self.servers.others(report.sequence);
            servers.for_each(|server| server.waiting.clear());
        }
        unserved
    }

    fn tick(&mut self, loads: &mut HashMap<Arc<str>, Load>) {
        let span_us = self.ticked_us.map(|from| self.at_us.saturating_sub(from));
        self.ticked_us = Some(self.at_us);
        self.replicas.tick(|id, replica| {
            replica.meter.tick(span_us);
            replica.add_to(id, loads.entry(Arc::clone(&replica.server)).or_default());
            !replica.meter.idle()
        });
        self.servers.tick(|name, server| {
            server.waiting.tick(span_us);
            server.add_to(loads.entry(Arc::clone(name)).or_default());
            let unserved = server.count != server.ticked;
            server.ticked = server.count;
            unserved || !server.waiting.idle()
        });
    }
}

impl Replica {
    fn add_to(&self, id: &Arc<str>, load: &mut Load) {
        load.average += self.meter.average();
        load.in_flight += u64::from(self.meter.count());
        if self.meter.count() > 0 {
            *load.replicas.entry(Arc::clone(id)).or_default() += u64::from(self.meter.count());
        }
    }
}

impl Unserved {
    /// Says whether there is new demand.
    const fn take(&mut self, demand: &ServerDemand, known: bool) -> bool {
        self.waiting
            .take(demand.waiting, demand.waiting_integral_us, known);
        if demand.unserved < self.count {
            // The server was deleted and deployed again: its count began anew.
            self.ticked = 0;
        }
        let new = demand.unserved != self.count || demand.waiting > 0;
        self.count = demand.unserved;
        new
    }

    fn add_to(&self, load: &mut Load) {
        load.average += self.waiting.average();
        load.waiting += u64::from(self.waiting.count());
        load.unserved += self.count.saturating_sub(self.ticked);
    }
}

#[cfg(test)]
mod tests;
