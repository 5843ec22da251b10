//! PURE. Everything fprs runs by, at one revision, as one immutable value with structural sharing:
//! a clone is cheap, a changed copy costs what changed.

mod invariants;

use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap};

use crate::key::{Key, Kind, Revision};
use crate::record::{Domain, Lease, Record, Replica, Server, Worker};
use crate::store::{Change, Contents, Entry};

type HashMap<K, V> = GenericHashMap<K, V, foldhash::fast::RandomState, DefaultSharedPtr>;
type Map<V> = HashMap<Arc<str>, V>;

/// Everything at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) servers: Map<Arc<ServerView>>,
    pub(crate) domains: Map<Arc<Domain>>,
    pub(crate) replicas: Map<Arc<Replica>>,
    pub(crate) workers: Map<Arc<Worker>>,
    pub(crate) leases: Map<Arc<Lease>>,
    /// When each record that is in force was written; the expectation for the next commit.
    pub(crate) written: HashMap<Key, Revision>,
}

/// A server with what points up to it; it exists as long as anything does. It can hold replicas of a
/// server that is gone: they still have to be drained.
#[derive(Clone, Debug, Default)]
pub struct ServerView {
    /// The deployed program; `None` once deleted.
    pub server: Option<Arc<Server>>,
    /// Its replicas by id, in every state.
    pub replicas: OrdMap<Arc<str>, Arc<Replica>>,
    /// Its custom host names.
    pub domains: OrdMap<Arc<str>, ()>,
}

impl Snapshot {
    /// The store's revision this is exact at.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The server of that name, or what is left of it.
    pub fn server(&self, name: &str) -> Option<&Arc<ServerView>> {
        self.servers.get(name)
    }

    /// Every server, in no order.
    pub fn servers(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<ServerView>)> {
        self.servers.iter()
    }

    /// The custom domain of that host name.
    pub fn domain(&self, host: &str) -> Option<&Arc<Domain>> {
        self.domains.get(host)
    }

    /// Every custom domain, in no order.
    pub fn domains(&self) -> impl Iterator<Item = &Arc<Domain>> {
        self.domains.values()
    }

    /// The replica of that id.
    pub fn replica(&self, id: &str) -> Option<&Arc<Replica>> {
        self.replicas.get(id)
    }

    /// Every replica, in no order.
    pub fn replicas(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.replicas.values()
    }

    /// The worker of that id.
    pub fn worker(&self, id: &str) -> Option<&Arc<Worker>> {
        self.workers.get(id)
    }

    /// Every worker, in no order.
    pub fn workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.workers.values()
    }

    /// The lease of that name.
    pub fn lease(&self, name: &str) -> Option<&Arc<Lease>> {
        self.leases.get(name)
    }

    /// The record in force under that key, and the commit that wrote it.
    pub fn record(&self, key: &Key) -> Option<(Record, Revision)> {
        let name = &*key.name;
        let record = match Kind::from_name(&key.kind)? {
            Kind::Domain => Record::Domain((**self.domain(name)?).clone()),
            Kind::Lease => Record::Lease((**self.lease(name)?).clone()),
            Kind::Replica => Record::Replica((**self.replica(name)?).clone()),
            Kind::Server => Record::Server((**self.server(name)?.server.as_ref()?).clone()),
            Kind::Worker => Record::Worker((**self.worker(name)?).clone()),
        };
        Some((record, self.written(key)?))
    }

    /// How many records are in force.
    pub fn len(&self) -> usize {
        self.written.len()
    }

    /// Whether no record is in force.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Every record in force as a store would hold it, in key order. Costs an encoding of each.
    pub fn contents(&self) -> Contents {
        let mut entries: Vec<Entry> = self
            .written
            .keys()
            .filter_map(|key| {
                let (record, revision) = self.record(key)?;
                let Change { key, value } = record.change();
                Some(Entry {
                    key,
                    value: value?,
                    revision,
                })
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Contents {
            revision: self.revision,
            entries,
        }
    }

    /// The commit that wrote the record in force under that key.
    pub fn written(&self, key: &Key) -> Option<Revision> {
        self.written.get(key).copied()
    }
}
