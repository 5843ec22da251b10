//! Records, tables and replicas for tests of the proxy's pure parts.

use std::sync::Arc;
use std::time::Duration;

use fprs_autoscaler_client::Demand;
use fprs_config::{
    Auth, Batch, Change, Domain, Record, ReplicaState, Revision, Scaling, Server, Snapshot, Version,
};

use crate::proxy::table::{Edit, Tables};

pub(crate) const ZONE: &str = "region.localhost";

pub(crate) fn server(name: &str) -> Change {
    let server = Server {
        name: name.into(),
        tenant: String::new(),
        target: Arc::new(Version {
            generation: 1,
            command: vec!["serve".into()],
            image: String::new(),
            h2: false,
            env: Default::default(),
            startup_timeout: Duration::from_secs(30),
            exit_grace: Duration::from_secs(10),
            working_dir: String::new(),
        }),
        proven: true,
        fallback: None,
        scaling: Scaling {
            target_concurrency: None,
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
    };
    Record::Server(server).change()
}

pub(crate) fn replica(id: &str, server: &str, state: ReplicaState) -> Change {
    let replica = fprs_config::Replica {
        id: id.into(),
        server: server.into(),
        generation: 1,
        state,
        worker: Some("w1".into()),
        address: Some(([127, 0, 0, 1], 9000).into()),
        since_unix_ms: 1,
        reason: String::new(),
        startup_ms: 0,
        weight: 1,
    };
    Record::Replica(replica).change()
}

pub(crate) fn domain(host: &str, server: &str) -> Change {
    Record::Domain(Domain {
        host: host.into(),
        server: server.into(),
    })
    .change()
}

/// Tables with the snapshot they were made from.
pub(crate) struct World {
    pub(crate) tables: Arc<Tables>,
    snapshot: Arc<Snapshot>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            tables: Tables::new(ZONE, Demand::new()),
            snapshot: Arc::default(),
        }
    }

    /// Commits records and applies them.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Edit {
        let revision = Revision(self.snapshot.revision().0 + 1);
        let batch = Batch { revision, changes };
        let applied = fprs_config::apply::apply(&self.snapshot, &batch);
        assert_eq!(applied.refused, []);
        self.snapshot = Arc::clone(&applied.snapshot);
        self.tables.apply(&applied)
    }
}
