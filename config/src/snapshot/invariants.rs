//! PURE. What holds in every snapshot: each record is counted once, views and records agree in both
//! directions, nothing is newer than the snapshot. Checked in debug builds.

use std::sync::Arc;

use super::{ServerView, Snapshot};
use crate::key::{Key, Kind};

impl Snapshot {
    /// Asserts every invariant. Costs the whole snapshot.
    pub(crate) fn check_invariants(&self) {
        for (name, view) in &self.servers {
            self.check_view(name, view);
        }
        for domain in self.domains.values() {
            self.check_host(&domain.host);
        }
        for replica in self.replicas.values() {
            let view = self.servers.get(&replica.server);
            assert!(
                view.is_some_and(|view| view.replicas.contains_key(&replica.id)),
                "replica {} is in its server's view",
                replica.id
            );
        }
        let servers = self.servers.values().filter(|view| view.server.is_some());
        assert_eq!(
            self.written.len(),
            servers.count()
                + self.domains.len()
                + self.replicas.len()
                + self.workers.len()
                + self.leases.len(),
            "every record in force is counted once"
        );
        for (key, revision) in &self.written {
            assert!(
                *revision <= self.revision,
                "{key} is not from after the snapshot"
            );
        }
    }

    /// Asserts the invariants of what a batch touched. Costs what it touched.
    pub(crate) fn check_touched(&self, servers: &[Arc<str>], hosts: &[Arc<str>]) {
        for name in servers {
            if let Some(view) = self.servers.get(name) {
                self.check_view(name, view);
            }
        }
        for host in hosts {
            self.check_host(host);
        }
    }

    fn check_view(&self, name: &Arc<str>, view: &ServerView) {
        assert!(
            view.server.is_some() || !view.replicas.is_empty() || !view.domains.is_empty(),
            "the view of {name} has a reason to exist"
        );
        assert_eq!(
            view.server.is_some(),
            self.written.contains_key(&Key::new(Kind::Server, name)),
            "server {name} is in force exactly when it is written"
        );
        for (id, replica) in &view.replicas {
            assert_eq!(
                (id, name),
                (&replica.id, &replica.server),
                "a replica is in its own place"
            );
            assert_eq!(
                self.replicas.get(id),
                Some(replica),
                "replica {id} is the same everywhere"
            );
        }
        for (host, ()) in &view.domains {
            let bound = self.domains.get(host);
            assert!(
                bound.is_some_and(|domain| domain.server == *name),
                "{host} is bound to {name}"
            );
        }
    }

    fn check_host(&self, host: &Arc<str>) {
        if let Some(domain) = self.domains.get(host) {
            let view = self.servers.get(&domain.server);
            assert!(
                view.is_some_and(|view| view.domains.contains_key(host)),
                "{host} is in its server's view"
            );
        }
    }
}
