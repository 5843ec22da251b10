//! PURE. What a large routing plane's store holds: a million domains and 1,200,000 replicas, evenly over
//! its servers, on workers of a hundred replicas.

use std::net::{Ipv4Addr, SocketAddr};

use fprs_config::{Change, Domain, Entry, Record, Replica, ReplicaState, Revision, samples};

use super::{host, name};

/// Custom domains.
pub const DOMAINS: usize = 1_000_000;
/// Ready replicas.
pub const REPLICAS: usize = 1_200_000;
/// Servers, where nothing else is said.
pub const SERVERS: usize = 100_000;
/// Replicas of one worker.
const OF_A_WORKER: usize = 100;
/// Where relays listen.
const RELAY_PORT: u16 = 9000;

/// All records of that many servers, in key order as far as numbers are.
pub fn entries(servers: usize) -> impl Iterator<Item = Entry> {
    let domains = (0..DOMAINS).map(move |place| domain(place, place % servers));
    let replicas = (0..REPLICAS).map(move |place| replica(place, place % servers, 1));
    let servers = (0..servers).map(super::server);
    let workers = (0..REPLICAS.div_ceil(OF_A_WORKER)).map(worker);
    let records = domains.chain(replicas).chain(servers).chain(workers);
    records.map(|record| {
        let Change { key, value } = record.change();
        Entry {
            key,
            value: value.unwrap_or_default(),
            revision: Revision(1),
        }
    })
}

/// The custom domain of that number, of that server.
#[must_use]
pub fn domain(place: usize, server: usize) -> Record {
    Record::Domain(Domain {
        host: host(place).into(),
        server: name(server).into(),
    })
}

/// The replica of that number, of that server, as it has been since then.
#[must_use]
pub fn replica(place: usize, server: usize, since_unix_ms: u64) -> Record {
    let name = name(server);
    let id = format!("{name}-1-{place:06x}");
    let worker = place / OF_A_WORKER;
    Record::Replica(Replica {
        worker: Some(worker_id(worker).into()),
        address: Some(relay(worker)),
        since_unix_ms,
        startup_ms: 400,
        ..samples::replica(&id, &name, ReplicaState::Ready)
    })
}

/// The change of that number: a domain that moves to the next server, then a replica that is ready since
/// another time.
#[must_use]
pub fn moved(servers: usize, number: usize) -> Change {
    let place = number / 2;
    let record = if number.is_multiple_of(2) {
        let turn = place / DOMAINS + 1;
        domain(place % DOMAINS, (place + turn) % servers)
    } else {
        let since = u64::try_from(place / REPLICAS).unwrap_or_default();
        let place = place % REPLICAS;
        replica(place, place % servers, since + 2)
    };
    record.change()
}

fn worker(place: usize) -> Record {
    Record::Worker(fprs_config::Worker {
        address: relay(place),
        ..samples::worker(&worker_id(place))
    })
}

fn worker_id(place: usize) -> String {
    format!("worker-{place:05}")
}

/// Loopback addresses, where nobody listens.
fn relay(worker: usize) -> SocketAddr {
    let [_, _, high, low] = u32::try_from(worker).unwrap_or_default().to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 9, high, low), RELAY_PORT))
}
