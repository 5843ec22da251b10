//! For this crate's own tests: records that are valid and small, and a store that is only a
//! snapshot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::apply::apply;
use fprs_config::{
    Auth, Batch, Change, Key, Kind, Manifest, Record, Replica, ReplicaState, Revision, Scaling,
    Server, Snapshot, Version, Worker,
};

use crate::commit::Group;

pub(crate) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

/// A store that is only its newest snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Records {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut store = Self::default();
        for record in records {
            store.put(record);
        }
        store
    }

    pub(crate) fn put(&mut self, record: &Record) {
        self.write(vec![record.change()]);
    }

    pub(crate) fn delete(&mut self, kind: Kind, name: &str) {
        self.write(vec![Change::delete(Key::new(kind, name))]);
    }

    /// Writes the group if it expects what there is.
    pub(crate) fn commit(&mut self, group: &Group) -> bool {
        let (writes, expectations) = group.parts();
        let holds = expectations
            .iter()
            .all(|expected| self.snapshot.written(&expected.key) == expected.revision);
        if holds {
            self.write(writes);
        }
        holds
    }

    pub(crate) fn replica(&self, id: &str) -> Option<&Replica> {
        self.snapshot.replica(id).map(AsRef::as_ref)
    }

    pub(crate) fn state(&self, id: &str) -> Option<ReplicaState> {
        self.replica(id).map(|replica| replica.state)
    }

    pub(crate) fn server(&self, name: &str) -> &Server {
        self.snapshot.server(name).unwrap().server.as_ref().unwrap()
    }

    fn write(&mut self, changes: Vec<Change>) {
        let revision = Revision(self.snapshot.revision().0 + 1);
        let applied = apply(&self.snapshot, &Batch { revision, changes });
        assert!(applied.refused.is_empty(), "{:?}", applied.refused);
        self.snapshot = applied.snapshot;
    }
}

pub(crate) fn version(generation: u64) -> Version {
    Version {
        generation,
        command: vec![format!("program-{generation}"), "$PORT".to_owned()],
        image: String::new(),
        h2: false,
        env: BTreeMap::new(),
        startup_timeout: Duration::from_secs(30),
        exit_grace: Duration::from_secs(10),
        working_dir: String::new(),
    }
}

pub(crate) fn server(name: &str, generation: u64) -> Server {
    Server {
        name: name.into(),
        tenant: String::new(),
        target: Arc::new(version(generation)),
        proven: false,
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
        routing_region: "local".to_owned(),
        compute_region: "local".to_owned(),
        egress: String::new(),
        deployed_unix_ms: 1,
    }
}

/// A replica in that state; on worker `w1` unless it is only requested.
pub(crate) fn replica(id: &str, server: &str, state: ReplicaState) -> Replica {
    let placed = state != ReplicaState::Requested;
    Replica {
        id: id.into(),
        server: server.into(),
        generation: 1,
        state,
        worker: placed.then(|| "w1".into()),
        address: placed.then_some(ADDRESS),
        since_unix_ms: 1,
        reason: String::new(),
        startup_ms: 0,
        weight: 1,
    }
}

pub(crate) fn worker(id: &str, epoch: u64) -> Worker {
    Worker {
        id: id.to_owned(),
        address: ADDRESS,
        compute_region: "local".to_owned(),
        capacity: 100,
        epoch,
    }
}

pub(crate) fn manifest(lines: &str) -> Manifest {
    let text =
        format!("name = \"hello\"\ncommand = [\"serve\", \"$PORT\"]\nauth = \"public\"\n{lines}");
    Manifest::from_toml(&text).unwrap()
}
