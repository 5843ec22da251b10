//! PURE. A store's contents for benchmarks: numbered servers, each with one replica and one custom
//! domain; and those of a large plane.

pub mod million;

use fprs_config::{
    Change, Contents, Domain, Entry, Record, Replica, ReplicaState, Revision, samples,
};

/// A server.
pub fn server(place: usize) -> Record {
    Record::Server(samples::server(&name(place)))
}

/// Its one replica.
pub fn replica(place: usize, since_unix_ms: u64) -> Record {
    let replica = samples::replica(&format!("r-{place}"), &name(place), ReplicaState::Ready);
    Record::Replica(Replica {
        since_unix_ms,
        ..replica
    })
}

/// Its one custom domain.
pub fn domain(place: usize) -> Record {
    domain_of(place, place)
}

/// The custom domain of that number, of any server.
pub fn domain_of(place: usize, server: usize) -> Record {
    Record::Domain(Domain {
        host: host(place).into(),
        server: name(server).into(),
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
