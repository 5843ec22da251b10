//! PURE. Everything fprs runs by, at one revision, as one immutable value with structural sharing:
//! a clone is cheap, a changed copy costs what changed.

mod invariants;

use std::ops::Deref;
use std::sync::Arc;

use imbl::OrdMap;

use crate::few::Few;
use crate::key::{Key, Kind, Revision};
use crate::names::Names;
use crate::record::{
    Domain, EgressPool, Issuer, Lease, Mirror, Record, Replica, Rollout, Server, Tenant, Token,
    Worker,
};
use crate::store::{Change, Contents, Entry};

pub(crate) type Map<V> = Names<Held<V>>;

/// What is in force, and the commit that wrote it: one map entry, since copying map nodes is most of
/// what applying a change costs.
#[derive(Debug)]
pub struct Held<V> {
    pub(crate) value: Arc<V>,
    pub(crate) written: Revision,
}

impl<V> Deref for Held<V> {
    type Target = Arc<V>;

    fn deref(&self) -> &Arc<V> {
        &self.value
    }
}

impl<V> Clone for Held<V> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            written: self.written,
        }
    }
}

/// Everything at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) revision: Revision,
    /// The last one that changed more than leases.
    pub(crate) settled: Revision,
    /// How many records are in force.
    pub(crate) records: usize,
    /// `written` is the server record's, and means nothing once that is gone.
    pub(crate) servers: Map<ServerView>,
    pub(crate) domains: Names<Bound>,
    /// The server each replica belongs to, whose view alone holds the replica: a replica changes
    /// far more often than it moves, and then only one large map is copied.
    pub(crate) homes: Names<Arc<str>>,
    pub(crate) workers: Map<Worker>,
    pub(crate) leases: Map<Lease>,
    pub(crate) tenants: Map<Tenant>,
    pub(crate) tokens: Map<Token>,
    pub(crate) issuers: Map<Issuer>,
    pub(crate) mirrors: Map<Mirror>,
    pub(crate) egress_pools: Map<EgressPool>,
    pub(crate) rollouts: Map<Rollout>,
    /// Where whoever runs by it is; `None`: nowhere.
    pub(crate) cell: Option<Arc<str>>,
    /// Records whose staged version is in force here, as they are elsewhere.
    pub(crate) beneath: OrdMap<Key, Option<Beneath>>,
}

/// A record as the store has it, while another version is in force.
#[derive(Clone, Debug)]
pub(crate) struct Beneath {
    pub(crate) record: Arc<Record>,
    pub(crate) written: Revision,
}

/// What a custom host name is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The server.
    pub server: Arc<str>,
    pub(crate) written: Revision,
}

/// A server with what points up to it; it exists as long as anything does. It can hold replicas of a
/// server that is gone: they still have to be drained.
#[derive(Clone, Debug, Default)]
pub struct ServerView {
    /// The deployed program; `None` once deleted.
    pub server: Option<Arc<Server>>,
    /// Its replicas by id, in every state.
    pub replicas: Few<Held<Replica>>,
    /// Its custom host names.
    pub domains: Few<()>,
    /// The mirrors of its requests, by name.
    pub mirrors: Few<Arc<Mirror>>,
}

impl ServerView {
    /// Nothing is left of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.server.is_none()
            && self.replicas.is_empty()
            && self.domains.is_empty()
            && self.mirrors.is_empty()
    }

    /// Its replicas, by id, in every state.
    pub fn replicas(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.replicas.values().map(|held| &held.value)
    }

    /// Requests to it go the same way as by that other view of it: at most domains differ. `false` may be
    /// said of what is the same.
    pub fn is_routed_as(&self, other: &Self) -> bool {
        let same_server = match (&self.server, &other.server) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        let same = |a: &Held<Replica>, b: &Held<Replica>| Arc::ptr_eq(&a.value, &b.value);
        same_server
            && self.replicas.is_same(&other.replicas, same)
            && self.mirrors.is_same(&other.mirrors, Arc::ptr_eq)
    }

    /// Holds that replica as the commit of that revision wrote it, in place of what was.
    pub fn put(&mut self, value: Arc<Replica>, written: Revision) {
        let id = Arc::clone(&value.id);
        self.replicas.insert(id, Held { value, written });
    }
}

impl Snapshot {
    /// Nothing yet, in that cell.
    pub fn in_cell(cell: Option<Arc<str>>) -> Self {
        Self {
            cell,
            ..Self::default()
        }
    }

    /// Where whoever runs by it is.
    pub fn cell(&self) -> Option<&Arc<str>> {
        self.cell.as_ref()
    }

    /// The store's revision this is exact at.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The last revision that changed more than leases, which are renewed every few seconds: until there is
    /// a later one, all the rest is as it was.
    pub const fn settled(&self) -> Revision {
        self.settled
    }

    /// The server of that name, or what is left of it.
    pub fn server(&self, name: &str) -> Option<&Arc<ServerView>> {
        self.servers.get(name).map(|held| &held.value)
    }

    /// Every server, in no order.
    pub fn servers(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<ServerView>)> {
        self.servers.iter().map(|(name, held)| (name, &held.value))
    }

    /// What that custom host name is bound to.
    pub fn domain(&self, host: &str) -> Option<&Bound> {
        self.domains.get(host)
    }

    /// Every custom host name and what it is bound to, in no order.
    pub fn domains(&self) -> impl Iterator<Item = (&Arc<str>, &Bound)> {
        self.domains.iter()
    }

    /// The replica of that id.
    pub fn replica(&self, id: &str) -> Option<&Arc<Replica>> {
        self.held_replica(id).map(|held| &held.value)
    }

    /// Every replica, in no order.
    pub fn replicas(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.held_replicas().map(|held| &held.value)
    }

    /// The worker of that id.
    pub fn worker(&self, id: &str) -> Option<&Arc<Worker>> {
        self.workers.get(id).map(|held| &held.value)
    }

    /// Every worker, in no order.
    pub fn workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.workers.values().map(|held| &held.value)
    }

    /// The lease of that name.
    pub fn lease(&self, name: &str) -> Option<&Arc<Lease>> {
        self.leases.get(name).map(|held| &held.value)
    }

    /// The tenant of that name.
    pub fn tenant(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(name).map(|held| &held.value)
    }

    /// Every tenant with a record, in no order.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values().map(|held| &held.value)
    }

    /// The token of that id.
    pub fn token(&self, id: &str) -> Option<&Arc<Token>> {
        self.tokens.get(id).map(|held| &held.value)
    }

    /// Every token, in no order.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.tokens.values().map(|held| &held.value)
    }

    /// The issuer of that name.
    pub fn issuer(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.issuers.get(name).map(|held| &held.value)
    }

    /// Every issuer, in no order.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.values().map(|held| &held.value)
    }

    /// The mirror of that name.
    pub fn mirror(&self, name: &str) -> Option<&Arc<Mirror>> {
        self.mirrors.get(name).map(|held| &held.value)
    }

    /// Every mirror, in no order.
    pub fn mirrors(&self) -> impl Iterator<Item = &Arc<Mirror>> {
        self.mirrors.values().map(|held| &held.value)
    }

    /// The egress pool of that name.
    pub fn egress_pool(&self, name: &str) -> Option<&Arc<EgressPool>> {
        self.egress_pools.get(name).map(|held| &held.value)
    }

    /// Every egress pool, in no order.
    pub fn egress_pools(&self) -> impl Iterator<Item = &Arc<EgressPool>> {
        self.egress_pools.values().map(|held| &held.value)
    }

    /// The rollout of the record `kind/name`.
    pub fn rollout(&self, name: &str) -> Option<&Arc<Rollout>> {
        self.rollouts.get(name).map(|held| &held.value)
    }

    /// Every rollout, in no order.
    pub fn rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        self.rollouts.values().map(|held| &held.value)
    }

    /// What the store has under that key, whatever is in force here, and the commit that wrote it.
    pub(crate) fn stored(&self, key: &Key) -> Option<(Record, Revision)> {
        match self.beneath.get(key) {
            Some(beneath) => {
                let beneath = beneath.as_ref()?;
                Some((Record::clone(&beneath.record), beneath.written))
            }
            None => self.record(key),
        }
    }

    /// The commit that wrote it.
    pub(crate) fn stored_at(&self, key: &Key) -> Option<Revision> {
        match self.beneath.get(key) {
            Some(beneath) => beneath.as_ref().map(|beneath| beneath.written),
            None => self.written(key),
        }
    }

    /// The record in force under that key, and the commit that wrote it.
    pub fn record(&self, key: &Key) -> Option<(Record, Revision)> {
        let name = &*key.name;
        let record = match Kind::from_name(&key.kind)? {
            Kind::Domain => {
                Record::Domain(self.domains.name(name).zip(self.domain(name)).map(bound)?)
            }
            Kind::EgressPool => Record::EgressPool((**self.egress_pool(name)?).clone()),
            Kind::Issuer => Record::Issuer((**self.issuer(name)?).clone()),
            Kind::Lease => Record::Lease((**self.lease(name)?).clone()),
            Kind::Mirror => Record::Mirror((**self.mirror(name)?).clone()),
            Kind::Replica => Record::Replica((**self.replica(name)?).clone()),
            Kind::Rollout => Record::Rollout((**self.rollout(name)?).clone()),
            Kind::Server => Record::Server((**self.server(name)?.server.as_ref()?).clone()),
            Kind::Tenant => Record::Tenant((**self.tenant(name)?).clone()),
            Kind::Token => Record::Token((**self.token(name)?).clone()),
            Kind::Worker => Record::Worker((**self.worker(name)?).clone()),
        };
        Some((record, self.written(key)?))
    }

    /// How many records are in force, rollouts included.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether no record is in force.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Every record as a store would hold it, whatever is in force here, in key order. Costs an encoding of each.
    pub fn contents(&self) -> Contents {
        let mut entries: Vec<Entry> = self.entries().collect();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Contents {
            revision: self.revision,
            entries,
        }
    }

    /// The same one by one, in no order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let servers = self.servers.values().filter_map(|held| {
            let server = held.value.server.as_deref()?;
            Some((Record::Server(server.clone()), held.written))
        });
        let domains = self
            .domains()
            .map(|entry| (Record::Domain(bound(entry)), entry.1.written));
        let leases = records(&self.leases, Record::Lease);
        let replicas = self.held_replicas();
        let replicas =
            replicas.map(|held| (Record::Replica(Replica::clone(&held.value)), held.written));
        let workers = records(&self.workers, Record::Worker);
        servers
            .chain(domains)
            .chain(leases)
            .chain(replicas)
            .chain(workers)
            .chain(records(&self.tenants, Record::Tenant))
            .chain(records(&self.tokens, Record::Token))
            .chain(records(&self.issuers, Record::Issuer))
            .chain(records(&self.mirrors, Record::Mirror))
            .chain(records(&self.egress_pools, Record::EgressPool))
            .filter(|(record, _)| {
                self.beneath.is_empty() || !self.beneath.contains_key(&record.key())
            })
            .chain(records(&self.rollouts, Record::Rollout))
            .chain(
                self.beneath
                    .values()
                    .flatten()
                    .map(|beneath| (Record::clone(&beneath.record), beneath.written)),
            )
            .filter_map(|(record, revision)| {
                let Change { key, value } = record.change();
                Some(Entry {
                    key,
                    value: value?,
                    revision,
                })
            })
    }

    /// The commit that wrote the record in force under that key.
    pub fn written(&self, key: &Key) -> Option<Revision> {
        let name = &*key.name;
        match Kind::from_name(&key.kind)? {
            Kind::Domain => self.domain(name).map(|bound| bound.written),
            Kind::EgressPool => self.egress_pools.get(name).map(|held| held.written),
            Kind::Issuer => self.issuers.get(name).map(|held| held.written),
            Kind::Lease => self.leases.get(name).map(|held| held.written),
            Kind::Mirror => self.mirrors.get(name).map(|held| held.written),
            Kind::Replica => self.held_replica(name).map(|held| held.written),
            Kind::Rollout => self.rollouts.get(name).map(|held| held.written),
            Kind::Server => {
                let held = self.servers.get(name);
                let held = held.filter(|held| held.value.server.is_some());
                held.map(|held| held.written)
            }
            Kind::Tenant => self.tenants.get(name).map(|held| held.written),
            Kind::Token => self.tokens.get(name).map(|held| held.written),
            Kind::Worker => self.workers.get(name).map(|held| held.written),
        }
    }

    fn held_replica(&self, id: &str) -> Option<&Held<Replica>> {
        self.server(self.homes.get(id)?)?.replicas.get(id)
    }

    fn held_replicas(&self) -> impl Iterator<Item = &Held<Replica>> {
        self.servers().flat_map(|(_, view)| view.replicas.values())
    }
}

fn bound((host, bound): (&Arc<str>, &Bound)) -> Domain {
    Domain {
        host: Arc::clone(host),
        server: Arc::clone(&bound.server),
    }
}

fn records<V: Clone>(
    map: &Map<V>,
    record: impl Fn(V) -> Record,
) -> impl Iterator<Item = (Record, Revision)> {
    map.values()
        .map(move |held| (record(V::clone(&held.value)), held.written))
}
