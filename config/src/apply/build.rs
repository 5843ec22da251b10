//! PURE. Builds the next snapshot from checked steps, keeping records and views in agreement and
//! noting what was touched. It cannot fail: everything was checked before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Step;
use crate::key::{Kind, Revision};
use crate::record::{Domain, Record, Replica, Server};
use crate::snapshot::{Held, ServerView, Snapshot};

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
            Step::Put(record, revision) => self.put(*record, revision),
            Step::Delete(kind, name) => self.delete(kind, &name),
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

    fn put(&mut self, record: Record, written: Revision) {
        let new = match record {
            Record::Server(server) => self.put_server(Arc::new(server), written),
            Record::Replica(replica) => self.put_replica(Arc::new(replica), written),
            Record::Domain(domain) => self.put_domain(Arc::new(domain), written),
            Record::Worker(worker) => {
                let id = worker.id.as_str().into();
                let value = Arc::new(worker);
                let before = self.snapshot.workers.insert(id, Held { value, written });
                before.is_none()
            }
            Record::Lease(lease) => {
                let name = lease.name.as_str().into();
                let value = Arc::new(lease);
                let before = self.snapshot.leases.insert(name, Held { value, written });
                before.is_none()
            }
        };
        if new {
            self.snapshot.records = self.snapshot.records.saturating_add(1);
        }
    }

    fn put_server(&mut self, server: Arc<Server>, written: Revision) -> bool {
        let name = Arc::clone(&server.name);
        let mut new = false;
        self.view(&name, |held| {
            held.written = written;
            new = Arc::make_mut(&mut held.value)
                .server
                .replace(server)
                .is_none();
        });
        new
    }

    fn put_replica(&mut self, replica: Arc<Replica>, written: Revision) -> bool {
        let id = Arc::clone(&replica.id);
        let server = Arc::clone(&replica.server);
        let home = self.snapshot.homes.get(&id).map(Arc::clone);
        if home.as_ref() != Some(&server) {
            self.snapshot
                .homes
                .insert(Arc::clone(&id), Arc::clone(&server));
        }
        if let Some(home) = &home
            && *home != server
        {
            self.edit(home, |view| {
                view.replicas.remove(&id);
            });
        }
        self.edit(&server, |view| view.put(replica, written));
        home.is_none()
    }

    fn put_domain(&mut self, domain: Arc<Domain>, written: Revision) -> bool {
        let host = Arc::clone(&domain.host);
        let held = Held {
            value: Arc::clone(&domain),
            written,
        };
        let before = self.snapshot.domains.insert(Arc::clone(&host), held);
        if let Some(before) = &before
            && before.value.server != domain.server
        {
            self.edit(&before.value.server, |view| {
                view.domains.remove(&host);
            });
        }
        self.edit(&domain.server, |view| {
            view.domains.insert(Arc::clone(&host), ());
        });
        self.hosts.insert(host);
        before.is_none()
    }

    fn delete(&mut self, kind: Kind, name: &Arc<str>) {
        let gone = match kind {
            Kind::Server => {
                let mut gone = false;
                self.edit(name, |view| gone = view.server.take().is_some());
                gone
            }
            Kind::Replica => match self.snapshot.homes.remove(name) {
                Some(server) => {
                    self.edit(&server, |view| {
                        view.replicas.remove(name);
                    });
                    true
                }
                None => false,
            },
            Kind::Domain => match self.snapshot.domains.remove(name) {
                Some(domain) => {
                    self.edit(&domain.value.server, |view| {
                        view.domains.remove(name);
                    });
                    self.hosts.insert(Arc::clone(name));
                    true
                }
                None => false,
            },
            Kind::Worker => self.snapshot.workers.remove(name).is_some(),
            Kind::Lease => self.snapshot.leases.remove(name).is_some(),
        };
        if gone {
            self.snapshot.records = self.snapshot.records.saturating_sub(1);
        }
    }

    fn edit(&mut self, name: &Arc<str>, edit: impl FnOnce(&mut ServerView)) {
        self.view(name, |held| edit(Arc::make_mut(&mut held.value)));
    }

    /// Edits what is held of a server, creating it with its first reason to exist and removing it
    /// with the last.
    fn view(&mut self, name: &Arc<str>, edit: impl FnOnce(&mut Held<ServerView>)) {
        let servers = &mut self.snapshot.servers;
        let held = match servers.get_mut(name) {
            Some(held) => held,
            None => servers.entry(Arc::clone(name)).or_insert_with(|| Held {
                value: Arc::default(),
                written: Revision::default(),
            }),
        };
        edit(held);
        let view = &held.value;
        if view.server.is_none() && view.replicas.is_empty() && view.domains.is_empty() {
            servers.remove(name);
        }
        self.servers.insert(Arc::clone(name));
    }
}
