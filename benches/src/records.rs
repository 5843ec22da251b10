//! PURE. A store's contents for benchmarks: numbered servers, each with one replica and one custom
//! domain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::{
    Auth, Change, Contents, Domain, Entry, Record, Replica, ReplicaState, Revision, Scaling,
    Server, Version,
};

/// A server.
pub fn server(place: usize) -> Record {
    Record::Server(Server {
        name: name(place).into(),
        tenant: String::new(),
        target: Arc::new(Version {
            generation: 1,
            command: vec!["serve".into(), "$PORT".into()],
            image: String::new(),
            h2: true,
            env: BTreeMap::new(),
            startup_timeout: Duration::from_secs(30),
            exit_grace: Duration::from_secs(10),
            working_dir: "/srv".into(),
        }),
        proven: true,
        fallback: None,
        scaling: Scaling {
            target_concurrency: Some(8.0),
            min_replicas: 0,
            max_replicas: 4,
            buffer_replicas: 0,
            scaleup_window: Duration::ZERO,
            scaledown_window: Duration::from_secs(60),
        },
        auth: Auth::Public,
        hold: Duration::ZERO,
        request_timeout: None,
        routing_region: "local".into(),
        compute_region: "local".into(),
        egress: String::new(),
        deployed_unix_ms: 1,
    })
}

/// Its one replica.
pub fn replica(place: usize, since_unix_ms: u64) -> Record {
    Record::Replica(Replica {
        id: format!("r-{place}").into(),
        server: name(place).into(),
        generation: 1,
        state: ReplicaState::Ready,
        worker: Some("w1".into()),
        address: Some(SocketAddr::from(([127, 0, 0, 1], 9000))),
        since_unix_ms,
        reason: String::new(),
        startup_ms: 5,
        weight: 1,
    })
}

/// Its one custom domain.
pub fn domain(place: usize) -> Record {
    Record::Domain(Domain {
        host: host(place).into(),
        server: name(place).into(),
    })
}

/// Its name.
pub fn name(place: usize) -> String {
    format!("server-{place}")
}

/// Its custom host name.
pub fn host(place: usize) -> String {
    format!("www.customer-{place}.example")
}

/// Each server with one replica and one custom domain.
pub fn contents(servers: usize) -> Contents {
    let records = (0..servers).flat_map(|place| [server(place), replica(place, 1), domain(place)]);
    let entries = records.map(|record| {
        let Change { key, value } = record.change();
        Entry {
            key,
            value: value.unwrap_or_default(),
            revision: Revision(1),
        }
    });
    Contents {
        revision: Revision(1),
        entries: entries.collect(),
    }
}
