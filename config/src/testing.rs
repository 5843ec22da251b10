//! Records for this crate's own tests: valid, small, told apart by their names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::key::{Key, Revision};
use crate::record::{
    Auth, Domain, Lease, Record, Replica, ReplicaState, Scaling, Server, Version, Worker,
};
use crate::store::{Batch, Change, Contents, Entry};

pub(crate) fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9000))
}

pub(crate) fn server(name: &str) -> Record {
    server_with(name, 4)
}

/// Servers of one name differ by their `max_replicas`.
pub(crate) fn server_with(name: &str, max_replicas: u32) -> Record {
    Record::Server(Server {
        name: name.into(),
        tenant: String::new(),
        target: Arc::new(Version {
            generation: 1,
            command: vec!["serve".into(), "$PORT".into()],
            image: String::new(),
            h2: false,
            env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            startup_timeout: Duration::from_secs(30),
            exit_grace: Duration::from_secs(10),
            working_dir: "/srv".into(),
        }),
        proven: false,
        fallback: None,
        scaling: Scaling {
            target_concurrency: Some(8.0),
            min_replicas: 0,
            max_replicas,
            buffer_replicas: 0,
            scaleup_window: Duration::ZERO,
            scaledown_window: Duration::from_secs(60),
        },
        auth: Auth::Public,
        hold: Duration::from_secs(1),
        request_timeout: Some(Duration::from_secs(60)),
        routing_region: "local".into(),
        compute_region: "local".into(),
        egress: String::new(),
        deployed_unix_ms: 1,
    })
}

pub(crate) fn replica(id: &str, server: &str, state: ReplicaState) -> Record {
    Record::Replica(Replica {
        id: id.into(),
        server: server.into(),
        generation: 1,
        state,
        worker: Some("w1".into()),
        address: Some(address()),
        since_unix_ms: 1,
        reason: String::new(),
        startup_ms: 5,
        weight: 1,
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
        id: id.into(),
        address: address(),
        compute_region: "local".into(),
        capacity: 8,
        epoch: 1,
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

/// A value no build can use.
pub(crate) fn broken(key: Key) -> Change {
    Change {
        key,
        value: Some(Bytes::from_static(b"\xff\xff")),
    }
}

pub(crate) fn batch(revision: u64, changes: Vec<Change>) -> Batch {
    Batch {
        revision: Revision(revision),
        changes,
    }
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
