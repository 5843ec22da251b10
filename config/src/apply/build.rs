//! PURE. Builds the next snapshot from checked steps, keeping records and views in agreement and
//! noting what was touched. It cannot fail: everything was checked before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Step;
use crate::key::{Key, Kind, Revision};
use crate::record::{Domain, Record, Replica};
use crate::snapshot::{ServerView, Snapshot};

#[derive(Debug)]
pub(super) struct Builder {
    snapshot: Snapshot,
    servers: BTreeSet<Arc<str>>,
    hosts: BTreeSet<Arc<str>>,
}

impl Builder {
    pub(super) fn on(current: &Snapshot) -> Self {
        Self {
            snapshot: current.clone(),
            servers: BTreeSet::new(),
            hosts: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Put(record, revision) => {
                self.snapshot.written.insert(record.key(), revision);
                self.put(*record);
            }
            Step::Delete(kind, name) => {
                self.snapshot.written.remove(&Key::new(kind, &name));
                self.delete(kind, &name);
            }
        }
    }

    /// The snapshot, the servers and the hosts touched.
    pub(super) fn finish(mut self, revision: Revision) -> (Snapshot, Vec<Arc<str>>, Vec<Arc<str>>) {
        self.snapshot.revision = revision;
        (
            self.snapshot,
            self.servers.into_iter().collect(),
            self.hosts.into_iter().collect(),
        )
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Server(server) => {
                let name = Arc::clone(&server.name);
                self.view(&name, |view| view.server = Some(Arc::new(server)));
            }
            Record::Replica(replica) => self.put_replica(Arc::new(replica)),
            Record::Domain(domain) => self.put_domain(Arc::new(domain)),
            Record::Worker(worker) => {
                let id = worker.id.as_str().into();
                self.snapshot.workers.insert(id, Arc::new(worker));
            }
            Record::Lease(lease) => {
                let name = lease.name.as_str().into();
                self.snapshot.leases.insert(name, Arc::new(lease));
            }
        }
    }

    fn put_replica(&mut self, replica: Arc<Replica>) {
        let id = Arc::clone(&replica.id);
        let before = self
            .snapshot
            .replicas
            .insert(Arc::clone(&id), Arc::clone(&replica));
        if let Some(before) = before.filter(|before| before.server != replica.server) {
            self.view(&before.server, |view| {
                view.replicas.remove(&id);
            });
        }
        let server = Arc::clone(&replica.server);
        self.view(&server, |view| {
            view.replicas.insert(id, replica);
        });
    }

    fn put_domain(&mut self, domain: Arc<Domain>) {
        let host = Arc::clone(&domain.host);
        let before = self
            .snapshot
            .domains
            .insert(Arc::clone(&host), Arc::clone(&domain));
        if let Some(before) = before.filter(|before| before.server != domain.server) {
            self.view(&before.server, |view| {
                view.domains.remove(&host);
            });
        }
        self.view(&domain.server, |view| {
            view.domains.insert(Arc::clone(&host), ());
        });
        self.hosts.insert(host);
    }

    fn delete(&mut self, kind: Kind, name: &Arc<str>) {
        match kind {
            Kind::Server => self.view(name, |view| view.server = None),
            Kind::Replica => {
                if let Some(replica) = self.snapshot.replicas.remove(name) {
                    self.view(&replica.server, |view| {
                        view.replicas.remove(name);
                    });
                }
            }
            Kind::Domain => {
                if let Some(domain) = self.snapshot.domains.remove(name) {
                    self.view(&domain.server, |view| {
                        view.domains.remove(name);
                    });
                    self.hosts.insert(Arc::clone(name));
                }
            }
            Kind::Worker => {
                self.snapshot.workers.remove(name);
            }
            Kind::Lease => {
                self.snapshot.leases.remove(name);
            }
        }
    }

    /// Edits a server's view, creating it with its first reason to exist and removing it with the
    /// last.
    fn view(&mut self, name: &Arc<str>, edit: impl FnOnce(&mut ServerView)) {
        let servers = &mut self.snapshot.servers;
        let view = match servers.get_mut(name) {
            Some(view) => view,
            None => servers.entry(Arc::clone(name)).or_default(),
        };
        let view = Arc::make_mut(view);
        edit(view);
        if view.server.is_none() && view.replicas.is_empty() && view.domains.is_empty() {
            servers.remove(name);
        }
        self.servers.insert(Arc::clone(name));
    }
}
