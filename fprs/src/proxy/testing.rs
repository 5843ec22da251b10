//! Records, tables and replicas for tests of the proxy's pure parts.

use std::sync::Arc;

use fprs_autoscaler_client::Demand;
use fprs_config::{Batch, Change, Domain, Record, ReplicaState, Revision, Snapshot, samples};

use crate::proxy::table::{Edit, Tables};

pub(crate) const ZONE: &str = "region.localhost";

pub(crate) fn server(name: &str) -> Change {
    Record::Server(samples::server(name)).change()
}

pub(crate) fn server_of(name: &str, tenant: &str) -> Change {
    let mut server = samples::server(name);
    server.tenant = tenant.to_owned();
    Record::Server(server).change()
}

pub(crate) fn replica(id: &str, server: &str, state: ReplicaState) -> Change {
    Record::Replica(samples::replica(id, server, state)).change()
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
        let batch = Batch::new(revision, changes);
        let applied = fprs_config::apply::apply(&self.snapshot, &batch);
        assert_eq!(applied.refused, []);
        self.snapshot = Arc::clone(&applied.snapshot);
        self.tables.apply(&applied)
    }
}
