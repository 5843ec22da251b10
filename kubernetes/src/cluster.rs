//! PURE. What the cluster has of this plane, as the API server told it last.

use std::collections::BTreeMap;

use fprs_config::MadeFor;
use serde_json::Value;

use crate::manifest;

/// Its Deployments and pods.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) deployments: Listing<Deployment>,
    pub(crate) pods: Listing<Pod>,
}

/// Objects of one kind by name. While they are listed anew, the ones from before stay in force.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    known: BTreeMap<String, T>,
    listed: Option<BTreeMap<String, T>>,
    complete: bool,
}

/// One Deployment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Its `resourceVersion`.
    pub(crate) version: String,
    pub(crate) made_for: MadeFor,
    pub(crate) replicas: u32,
    /// The store's revision it was written by.
    pub(crate) revision: u64,
    /// It is being deleted.
    pub(crate) leaving: bool,
    /// All of it.
    pub(crate) object: Value,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) made_for: MadeFor,
    /// It is being deleted, or has ended: its Deployment counts it no more.
    pub(crate) leaving: bool,
    /// It serves, as far as Kubernetes knows.
    pub(crate) ready: bool,
    /// It is the next to go when its Deployment gets smaller.
    pub(crate) marked: bool,
}

/// What makes a pod the next to go.
pub(crate) const COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Below that of every pod nobody gave one.
pub(crate) const COST: &str = "-1000";

impl<T> Listing<T> {
    pub(crate) fn begin(&mut self) {
        self.listed = Some(BTreeMap::new());
    }

    pub(crate) fn list(&mut self, name: String, object: T) {
        self.listed.get_or_insert_default().insert(name, object);
    }

    pub(crate) fn end(&mut self) {
        if let Some(listed) = self.listed.take() {
            self.known = listed;
        }
        self.complete = true;
    }

    pub(crate) fn put(&mut self, name: String, object: T) {
        self.known.insert(name, object);
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        self.known.remove(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.known.get(name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.known.values()
    }

    /// All of them were told at least once.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            listed: None,
            complete: false,
        }
    }
}

impl Cluster {
    /// It can be planned on.
    pub(crate) const fn is_complete(&self) -> bool {
        self.deployments.is_complete() && self.pods.is_complete()
    }

    /// Pods that their Deployment counts.
    pub(crate) fn pods_of<'a>(&'a self, made_for: &'a MadeFor) -> impl Iterator<Item = &'a Pod> {
        self.pods
            .all()
            .filter(move |pod| !pod.leaving && pod.made_for == *made_for)
    }
}

impl Deployment {
    /// `None` for one that says not what it was made for.
    pub(crate) fn of(object: Value) -> Option<Self> {
        let metadata = field(&object, "metadata");
        let text = |name: &str| field(metadata, name).as_str().map(str::to_owned);
        let replicas = field(field(&object, "spec"), "replicas");
        let revision = field(field(metadata, "annotations"), manifest::REVISION);
        Some(Self {
            name: text("name")?,
            uid: text("uid")?,
            version: text("resourceVersion")?,
            made_for: manifest::made_for(field(metadata, "labels"))?,
            replicas: u32::try_from(replicas.as_u64().unwrap_or(1)).unwrap_or(u32::MAX),
            revision: revision
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            leaving: !field(metadata, "deletionTimestamp").is_null(),
            object,
        })
    }
}

impl Pod {
    /// `None` for one that says not what it was made for.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let metadata = field(object, "metadata");
        let text = |name: &str| field(metadata, name).as_str().map(str::to_owned);
        let status = field(object, "status");
        let ended = ["Succeeded", "Failed"].map(Value::from);
        let conditions = field(status, "conditions").as_array();
        let mut conditions = conditions.into_iter().flatten();
        Some(Self {
            name: text("name")?,
            uid: text("uid")?,
            made_for: manifest::made_for(field(metadata, "labels"))?,
            leaving: !field(metadata, "deletionTimestamp").is_null()
                || ended.contains(field(status, "phase")),
            ready: conditions.any(|condition| {
                field(condition, "type") == "Ready" && field(condition, "status") == "True"
            }),
            marked: field(field(metadata, "annotations"), COST_ANNOTATION) == COST,
        })
    }
}

/// What an object has under that name; null where it has nothing.
pub(crate) fn field<'a>(object: &'a Value, name: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    object.get(name).unwrap_or(&NOTHING)
}
