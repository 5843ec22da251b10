//! PURE. Builds the next snapshot from checked steps, keeping records and views in agreement and
//! noting what was touched. It cannot fail: everything was checked before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Callers, Step};
use crate::key::{Kind, Revision};
use crate::record::{Domain, Mirror, Record, Replica, Server};
use crate::snapshot::{Held, Map, ServerView, Snapshot};

#[derive(Debug)]
pub(super) struct Builder {
    snapshot: Snapshot,
    servers: BTreeSet<Arc<str>>,
    hosts: BTreeSet<Arc<str>>,
    tenants: BTreeSet<Arc<str>>,
    tokens: BTreeSet<Arc<str>>,
    issuers: BTreeSet<Arc<str>>,
}

/// The snapshot, and the names of what was touched.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) snapshot: Snapshot,
    pub(super) servers: Vec<Arc<str>>,
    pub(super) hosts: Vec<Arc<str>>,
    pub(super) callers: Callers,
}

impl Builder {
    pub(super) fn on(current: &Snapshot) -> Self {
        Self {
            snapshot: current.clone(),
            servers: BTreeSet::new(),
            hosts: BTreeSet::new(),
            tenants: BTreeSet::new(),
            tokens: BTreeSet::new(),
            issuers: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Put(record, revision) => self.put(*record, revision),
            Step::Delete(kind, name) => self.delete(kind, &name),
        }
    }

    pub(super) fn finish(mut self, revision: Revision) -> Built {
        self.snapshot.revision = revision;
        Built {
            snapshot: self.snapshot,
            servers: self.servers.into_iter().collect(),
            hosts: self.hosts.into_iter().collect(),
            callers: Callers {
                tenants: self.tenants.into_iter().collect(),
                tokens: self.tokens.into_iter().collect(),
                issuers: self.issuers.into_iter().collect(),
            },
        }
    }

    fn put(&mut self, record: Record, written: Revision) {
        let new = match record {
            Record::Server(server) => self.put_server(Arc::new(server), written),
            Record::Replica(replica) => self.put_replica(Arc::new(replica), written),
            Record::Domain(domain) => self.put_domain(Arc::new(domain), written),
            Record::Mirror(mirror) => self.put_mirror(Arc::new(mirror), written),
            Record::Worker(worker) => {
                let id = worker.id.as_str().into();
                hold(&mut self.snapshot.workers, id, worker, written)
            }
            Record::Lease(lease) => {
                let name = lease.name.as_str().into();
                hold(&mut self.snapshot.leases, name, lease, written)
            }
            Record::EgressPool(pool) => {
                let name = pool.name.as_str().into();
                hold(&mut self.snapshot.egress_pools, name, pool, written)
            }
            Record::Tenant(tenant) => {
                let name: Arc<str> = tenant.name.as_str().into();
                self.tenants.insert(Arc::clone(&name));
                hold(&mut self.snapshot.tenants, name, tenant, written)
            }
            Record::Token(token) => {
                let id: Arc<str> = token.id.as_str().into();
                self.tokens.insert(Arc::clone(&id));
                hold(&mut self.snapshot.tokens, id, token, written)
            }
            Record::Issuer(issuer) => {
                let name: Arc<str> = issuer.name.as_str().into();
                self.issuers.insert(Arc::clone(&name));
                hold(&mut self.snapshot.issuers, name, issuer, written)
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

    fn put_mirror(&mut self, mirror: Arc<Mirror>, written: Revision) -> bool {
        let name: Arc<str> = mirror.name.as_str().into();
        let held = Held {
            value: Arc::clone(&mirror),
            written,
        };
        let before = self.snapshot.mirrors.insert(Arc::clone(&name), held);
        if let Some(before) = &before
            && before.value.server != mirror.server
        {
            self.edit(&before.value.server, |view| {
                view.mirrors.remove(&name);
            });
        }
        self.edit(&Arc::clone(&mirror.server), |view| {
            view.mirrors.insert(name, mirror);
        });
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
            Kind::Mirror => match self.snapshot.mirrors.remove(name) {
                Some(mirror) => {
                    self.edit(&mirror.value.server, |view| {
                        view.mirrors.remove(name);
                    });
                    true
                }
                None => false,
            },
            Kind::Worker => self.snapshot.workers.remove(name).is_some(),
            Kind::Lease => self.snapshot.leases.remove(name).is_some(),
            Kind::EgressPool => self.snapshot.egress_pools.remove(name).is_some(),
            Kind::Tenant => {
                self.tenants.insert(Arc::clone(name));
                self.snapshot.tenants.remove(name).is_some()
            }
            Kind::Token => {
                self.tokens.insert(Arc::clone(name));
                self.snapshot.tokens.remove(name).is_some()
            }
            Kind::Issuer => {
                self.issuers.insert(Arc::clone(name));
                self.snapshot.issuers.remove(name).is_some()
            }
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
        if held.value.is_empty() {
            servers.remove(name);
        }
        self.servers.insert(Arc::clone(name));
    }
}

/// Holds a record that nothing else depends on; `true`: it is new.
fn hold<V: Clone>(map: &mut Map<V>, name: Arc<str>, value: V, written: Revision) -> bool {
    let value = Arc::new(value);
    map.insert(name, Held { value, written }).is_none()
}
