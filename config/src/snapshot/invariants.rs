//! PURE. What holds in every snapshot: each record is counted once, views and records agree in both
//! directions, nothing is newer than the snapshot. Checked in debug builds.

use std::sync::Arc;

use super::{ServerView, Snapshot};

impl Snapshot {
    /// Asserts every invariant. Costs the whole snapshot.
    pub(crate) fn check_invariants(&self) {
        for (name, view) in self.servers() {
            self.check_view(name, view);
        }
        for (host, _) in self.domains() {
            self.check_host(host);
        }
        for mirror in self.mirrors() {
            let view = self.server(&mirror.server);
            assert!(
                view.is_some_and(|view| view.mirrors.contains_key(mirror.name.as_str())),
                "{} is in its server's view",
                mirror.name
            );
        }
        assert_eq!(
            self.homes.len(),
            self.replicas().count(),
            "every replica has its home, and every home its replica"
        );
        let servers = self.servers().filter(|(_, view)| view.server.is_some());
        assert_eq!(
            self.len(),
            servers.count()
                + self.domains.len()
                + self.homes.len()
                + self.workers.len()
                + self.leases.len()
                + self.tenants.len()
                + self.tokens.len()
                + self.issuers.len()
                + self.mirrors.len()
                + self.egress_pools.len()
                + self.rollouts.len(),
            "every record in force is counted once"
        );
        let here = self.cell().map(|cell| &**cell);
        for rollout in self.rollouts() {
            assert_eq!(
                self.beneath.contains_key(&rollout.target()),
                rollout.is_for(here),
                "what is staged for this cell is in force, and nothing else"
            );
        }
        for key in self.beneath.keys() {
            let rollout = self.rollout(&key.to_string());
            assert!(rollout.is_some(), "nothing is staged of {key}");
        }
        for entry in self.contents().entries {
            assert!(
                entry.revision <= self.revision,
                "{} is not from after the snapshot",
                entry.key
            );
        }
    }

    /// Asserts the invariants of what a batch touched. Costs what it touched.
    pub(crate) fn check_touched(&self, servers: &[Arc<str>], hosts: &[Arc<str>]) {
        for name in servers {
            if let Some(view) = self.server(name) {
                self.check_view(name, view);
            }
        }
        for host in hosts {
            self.check_host(host);
        }
    }

    fn check_view(&self, name: &Arc<str>, view: &ServerView) {
        assert!(!view.is_empty(), "the view of {name} has a reason to exist");
        if let Some(server) = &view.server {
            assert_eq!(server.name, *name, "a server is in its own place");
        }
        for (id, replica) in view.replicas.iter() {
            assert_eq!(
                (id, name),
                (&replica.id, &replica.server),
                "a replica is in its own place"
            );
            assert_eq!(
                self.homes.get(id),
                Some(name),
                "replica {id} is found in its server's view"
            );
        }
        for (mirror, held) in view.mirrors.iter() {
            let known = self.mirror(mirror);
            assert!(
                known.is_some_and(|known| Arc::ptr_eq(known, held) && held.server == *name),
                "mirror {mirror} is of {name}"
            );
        }
        for host in view.domains.keys() {
            let bound = self.domain(host);
            assert!(
                bound.is_some_and(|domain| domain.server == *name),
                "{host} is bound to {name}"
            );
        }
    }

    fn check_host(&self, host: &Arc<str>) {
        if let Some(domain) = self.domain(host) {
            let view = self.server(&domain.server);
            assert!(
                view.is_some_and(|view| view.domains.contains_key(host)),
                "{host} is in its server's view"
            );
        }
    }
}
