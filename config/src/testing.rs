//! Records for this crate's own tests: valid, small, told apart by their names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::key::{Key, Kind, Revision};
use crate::record::{
    Domain, Lease, Record, Replica, ReplicaState, Rollout, Scaling, Server, Version, Worker,
};
use crate::samples;
use crate::store::{Batch, Change, Contents, Entry};

pub(crate) fn address() -> SocketAddr {
    samples::ADDRESS
}

pub(crate) fn server(name: &str) -> Record {
    server_with(name, 4)
}

/// Servers of one name differ by their `max_replicas`.
pub(crate) fn server_with(name: &str, max_replicas: u32) -> Record {
    Record::Server(Server {
        target: Arc::new(Version {
            env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            working_dir: "/srv".into(),
            ..samples::version(1)
        }),
        scaling: Scaling {
            max_replicas,
            ..samples::scaling()
        },
        hold: Duration::from_secs(1),
        request_timeout: Some(Duration::from_secs(60)),
        ..samples::server(name)
    })
}

pub(crate) fn replica(id: &str, server: &str, state: ReplicaState) -> Record {
    Record::Replica(Replica {
        startup_ms: 5,
        ..samples::replica(id, server, state)
    })
}

pub(crate) fn domain(host: &str, server: &str) -> Record {
    Record::Domain(Domain {
        host: host.into(),
        server: server.into(),
    })
}

pub(crate) fn worker(id: &str) -> Record {
    Record::Worker(Worker {
        capacity: 8,
        ..samples::worker(id)
    })
}

pub(crate) fn lease(name: &str) -> Record {
    Record::Lease(Lease {
        name: name.into(),
        holder: "p1".into(),
        address: address(),
        epoch: 1,
        renewed_unix_ms: 1,
        ttl_ms: 1000,
    })
}

pub(crate) fn tenant(name: &str) -> Record {
    Record::Tenant(samples::tenant(name))
}

pub(crate) fn token(id: &str) -> Record {
    Record::Token(samples::token(id, "acme"))
}

pub(crate) fn issuer(name: &str) -> Record {
    Record::Issuer(samples::issuer(name, "acme"))
}

pub(crate) fn egress_pool(name: &str) -> Record {
    Record::EgressPool(samples::egress_pool(name))
}

pub(crate) fn mirror(name: &str, server: &str) -> Record {
    Record::Mirror(samples::mirror(name, server, "shadow"))
}

/// A server staged for those cells; `name` is `server/…`.
pub(crate) fn rollout(name: &str, cells: &[&str]) -> Rollout {
    let record = name.strip_prefix("server/").unwrap();
    Rollout {
        name: name.into(),
        kind: Kind::Server,
        record: record.into(),
        staged: Some(Box::new(server_with(record, 9))),
        cells: cells.iter().map(ToString::to_string).collect(),
        basis_points: 0,
        base: None,
        set: name.into(),
    }
}

/// A value no build can use.
pub(crate) fn broken(key: Key) -> Change {
    Change {
        key,
        value: Some(Bytes::from_static(b"\xff\xff")),
    }
}

pub(crate) fn batch(revision: u64, changes: Vec<Change>) -> Batch {
    Batch::new(Revision(revision), changes)
}

/// What a store would hold after these batches.
pub(crate) fn contents_after(batches: &[Batch]) -> Contents {
    let mut rows = BTreeMap::new();
    let mut revision = Revision::default();
    for batch in batches {
        revision = batch.revision;
        for change in &batch.changes {
            match &change.value {
                Some(value) => {
                    rows.insert(change.key.clone(), (value.clone(), revision));
                }
                None => {
                    rows.remove(&change.key);
                }
            }
        }
    }
    Contents {
        revision,
        entries: rows
            .into_iter()
            .map(|(key, (value, revision))| Entry {
                key,
                value,
                revision,
            })
            .collect(),
    }
}
