//! PURE. Builds the next snapshot from checked steps, keeping records and views in agreement and
//! noting what was touched. It cannot fail: everything was checked before.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{Callers, Step};
use crate::key::{Key, Kind, Revision};
use crate::record::{Domain, Mirror, Record, Replica, Rollout, Server};
use crate::snapshot::{Beneath, Bound, Held, Map, ServerView, Snapshot};

#[derive(Debug)]
pub(super) struct Builder {
    snapshot: Snapshot,
    servers: BTreeSet<Arc<str>>,
    hosts: BTreeSet<Arc<str>>,
    tenants: BTreeSet<Arc<str>>,
    tokens: BTreeSet<Arc<str>>,
    issuers: BTreeSet<Arc<str>>,
    /// Names of workers that have no record yet.
    workers: HashSet<Arc<str>, foldhash::fast::RandomState>,
    /// Everything is new: what is touched needs no note.
    whole: bool,
    /// More than leases has changed.
    settles: bool,
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
            workers: HashSet::default(),
            whole: false,
            settles: false,
        }
    }

    /// On nothing, in that cell.
    pub(super) fn whole(cell: Option<Arc<str>>) -> Self {
        Self {
            whole: true,
            settles: true,
            ..Self::on(&Snapshot::in_cell(cell))
        }
    }

    /// As it is so far.
    pub(super) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Takes a change of what the store has: in force at once, unless another version is, here.
    pub(super) fn take(&mut self, step: Step) {
        self.settles |= match &step {
            Step::Put(record, _) => !matches!(**record, Record::Lease(_)),
            Step::Delete(kind, _) => *kind != Kind::Lease,
        };
        match step {
            Step::Put(record, written) => match *record {
                Record::Rollout(rollout) => self.stage(rollout, written),
                record => {
                    if self.snapshot.beneath.is_empty() {
                        return self.put(record, written);
                    }
                    match self.snapshot.beneath.get_mut(&record.key()) {
                        Some(beneath) => {
                            let record = Arc::new(record);
                            *beneath = Some(Beneath { record, written });
                        }
                        None => self.put(record, written),
                    }
                }
            },
            Step::Delete(Kind::Rollout, name) => self.unstage(&name),
            Step::Delete(kind, name) => {
                let key = Key::new(kind, &name);
                match self.snapshot.beneath.get_mut(&key) {
                    Some(beneath) => *beneath = None,
                    None => self.delete(kind, &name),
                }
            }
        }
    }

    /// Another version of a record is staged, or staged elsewhere.
    fn stage(&mut self, rollout: Rollout, written: Revision) {
        let target = rollout.target();
        let here = rollout.is_for(self.snapshot.cell.as_deref());
        if here {
            if !self.snapshot.beneath.contains_key(&target) {
                let stored = self.snapshot.record(&target).map(|(record, written)| {
                    let record = Arc::new(record);
                    Beneath { record, written }
                });
                self.snapshot.beneath.insert(target, stored);
            }
            match &rollout.staged {
                Some(record) => self.put(Record::clone(record), written),
                None => self.delete(rollout.kind, &rollout.record),
            }
        } else {
            self.uncover(&target);
        }
        let name = rollout.name.as_str().into();
        if hold(&mut self.snapshot.rollouts, name, rollout, written) {
            self.snapshot.records = self.snapshot.records.saturating_add(1);
        }
    }

    /// Nothing is staged any more.
    fn unstage(&mut self, name: &Arc<str>) {
        if let Some(rollout) = self.snapshot.rollouts.remove(name) {
            self.snapshot.records = self.snapshot.records.saturating_sub(1);
            self.uncover(&rollout.value.target());
        }
    }

    /// What the store has is in force again.
    fn uncover(&mut self, target: &Key) {
        match self.snapshot.beneath.remove(target) {
            None => {}
            Some(Some(Beneath { record, written })) => {
                self.put(Arc::unwrap_or_clone(record), written);
            }
            Some(None) => {
                if let Some(kind) = Kind::from_name(&target.kind) {
                    self.delete(kind, &target.name);
                }
            }
        }
    }

    pub(super) fn finish(mut self, revision: Revision) -> Built {
        self.snapshot.revision = revision;
        if self.settles {
            self.snapshot.settled = revision;
        }
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
            Record::Server(server) => self.put_server(server, written),
            Record::Replica(replica) => self.put_replica(replica, written),
            Record::Domain(domain) => self.put_domain(domain, written),
            Record::Mirror(mirror) => self.put_mirror(Arc::new(mirror), written),
            Record::Rollout(_) => false,
            Record::Worker(worker) => {
                let id = self.worker_name(worker.id.as_str().into());
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

    fn put_server(&mut self, mut server: Server, written: Revision) -> bool {
        server.name = self.server_name(&server.name);
        let name = Arc::clone(&server.name);
        let mut new = false;
        self.view(&name, |_, held| {
            held.written = written;
            new = Arc::make_mut(&mut held.value)
                .server
                .replace(Arc::new(server))
                .is_none();
        });
        new
    }

    /// Puts a row of a whole snapshot: seldom is anything of it there already, and in maps of a million
    /// names a search is most of what it costs.
    fn load_replica(&mut self, mut replica: Replica, written: Revision) -> bool {
        replica.worker = replica.worker.map(|worker| self.worker_name(worker));
        let id = Arc::clone(&replica.id);
        let mut server = Arc::clone(&replica.server);
        self.view(&Arc::clone(&server), |name, held| {
            server = Arc::clone(name);
            replica.server = Arc::clone(name);
            Arc::make_mut(&mut held.value).put(Arc::new(replica), written);
        });
        let home = self
            .snapshot
            .homes
            .insert(Arc::clone(&id), Arc::clone(&server));
        if let Some(home) = &home
            && *home != server
        {
            self.edit(home, |view| {
                view.replicas.remove(&id);
            });
        }
        home.is_none()
    }

    fn put_replica(&mut self, mut replica: Replica, written: Revision) -> bool {
        if self.whole {
            return self.load_replica(replica, written);
        }
        let home = self.snapshot.homes.get(&replica.id).map(Arc::clone);
        replica.server = self.server_name(&replica.server);
        replica.worker = replica.worker.map(|worker| self.worker_name(worker));
        if let Some(id) = self.snapshot.homes.name(&replica.id) {
            replica.id = Arc::clone(id);
        }
        let id = Arc::clone(&replica.id);
        let server = Arc::clone(&replica.server);
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
        self.edit(&server, |view| view.put(Arc::new(replica), written));
        home.is_none()
    }

    /// As [`load_replica`](Self::load_replica).
    fn load_domain(&mut self, domain: Domain, written: Revision) -> bool {
        let Domain { host, mut server } = domain;
        self.view(&Arc::clone(&server), |name, held| {
            server = Arc::clone(name);
            let view = Arc::make_mut(&mut held.value);
            view.domains.insert(Arc::clone(&host), ());
        });
        let bound = Bound {
            server: Arc::clone(&server),
            written,
        };
        let before = self.snapshot.domains.insert(Arc::clone(&host), bound);
        if let Some(before) = &before
            && before.server != server
        {
            self.edit(&before.server, |view| {
                view.domains.remove(&host);
            });
        }
        before.is_none()
    }

    fn put_domain(&mut self, domain: Domain, written: Revision) -> bool {
        if self.whole {
            return self.load_domain(domain, written);
        }
        let server = self.server_name(&domain.server);
        let known = self.snapshot.domains.name(&domain.host);
        let host = known.map_or(domain.host, Arc::clone);
        let bound = Bound {
            server: Arc::clone(&server),
            written,
        };
        let before = self.snapshot.domains.insert(Arc::clone(&host), bound);
        let moved = before.as_ref().is_none_or(|before| before.server != server);
        if moved {
            if let Some(before) = &before {
                self.edit(&before.server, |view| {
                    view.domains.remove(&host);
                });
            }
            self.edit(&server, |view| {
                view.domains.insert(Arc::clone(&host), ());
            });
        }
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
                    self.edit(&domain.server, |view| {
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
            Kind::Rollout => false,
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
        self.view(name, |_, held| edit(Arc::make_mut(&mut held.value)));
    }

    /// Edits what is held of a server, under the name that all share, creating it with its first reason
    /// to exist and removing it with the last.
    fn view(&mut self, name: &Arc<str>, edit: impl FnOnce(&Arc<str>, &mut Held<ServerView>)) {
        let servers = &mut self.snapshot.servers;
        match servers.entry_mut(name) {
            Some((shared, held)) => {
                edit(shared, held);
                if held.value.is_empty() {
                    servers.remove(name);
                }
            }
            None => {
                let mut held = Held {
                    value: Arc::default(),
                    written: Revision::default(),
                };
                edit(name, &mut held);
                if !held.value.is_empty() {
                    servers.insert(Arc::clone(name), held);
                }
            }
        }
        if !self.whole {
            self.servers.insert(Arc::clone(name));
        }
    }

    /// That name, as everything that names the server shares it.
    fn server_name(&self, name: &Arc<str>) -> Arc<str> {
        let known = self.snapshot.servers.name(name);
        Arc::clone(known.unwrap_or(name))
    }

    /// That name, as every replica on the worker shares it.
    fn worker_name(&mut self, name: Arc<str>) -> Arc<str> {
        let known = self.snapshot.workers.name(&name);
        if let Some(known) = known.or_else(|| self.workers.get(&name)) {
            return Arc::clone(known);
        }
        self.workers.insert(Arc::clone(&name));
        name
    }
}

/// Holds a record that nothing else depends on; `true`: it is new.
fn hold<V: Clone>(map: &mut Map<V>, name: Arc<str>, value: V, written: Revision) -> bool {
    let value = Arc::new(value);
    map.insert(name, Held { value, written }).is_none()
}
