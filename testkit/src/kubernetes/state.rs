//! The objects, each with the version it was written at, and the history that watches are told.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `apps/v1`.
    Deployments,
    /// `v1`.
    Pods,
}

#[derive(Debug, Default)]
pub(super) struct State {
    version: u64,
    objects: BTreeMap<(Kind, String), Value>,
    history: Vec<Change>,
    /// Everything up to here is forgotten.
    forgotten: u64,
    uids: u64,
}

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) kind: Kind,
    pub(super) was: Option<Value>,
    /// `None`: it is gone.
    pub(super) is: Option<Value>,
}

impl Kind {
    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::Deployments => "apps/v1",
            Self::Pods => "v1",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Deployments => "Deployment",
            Self::Pods => "Pod",
        }
    }
}

impl State {
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn all(&self, kind: Kind) -> Vec<Value> {
        let of = self.objects.iter().filter(|((of, _), _)| *of == kind);
        of.map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// Writes an object; one that is as it was keeps its version.
    pub(super) fn put(&mut self, kind: Kind, name: &str, mut object: Value) {
        let key = (kind, name.to_owned());
        let was = self.objects.get(&key).cloned();
        if was.as_ref() == Some(&object) {
            return;
        }
        self.version += 1;
        let respecified = was
            .as_ref()
            .is_some_and(|was| was["spec"] != object["spec"]);
        let metadata = &mut object["metadata"];
        metadata["name"] = name.into();
        metadata["namespace"] = super::NAMESPACE.into();
        metadata["resourceVersion"] = self.version.to_string().into();
        if was.is_none() {
            self.uids += 1;
            metadata["uid"] = format!("uid-{}", self.uids).into();
            metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
            metadata["generation"] = 1.into();
            // For the order in which pods were made: times are in seconds.
            metadata["annotations"]["double/made"] = self.version.to_string().into();
        } else if respecified {
            let generation = metadata["generation"].as_u64().unwrap_or(0);
            metadata["generation"] = (generation + 1).into();
        }
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.name().into();
        self.objects.insert(key, object.clone());
        self.tell(kind, was, Some(object));
    }

    pub(super) fn remove(&mut self, kind: Kind, name: &str) {
        let Some(was) = self.objects.remove(&(kind, name.to_owned())) else {
            return;
        };
        self.version += 1;
        self.tell(kind, Some(was), None);
    }

    pub(super) fn forget(&mut self) {
        self.history.clear();
        self.forgotten = self.version;
    }

    /// What came after that version; `None` if some of it is forgotten.
    pub(super) fn since(&self, kind: Kind, version: u64) -> Option<Vec<Change>> {
        if version < self.forgotten {
            return None;
        }
        let after = self
            .history
            .iter()
            .filter(|change| change.version > version);
        Some(
            after
                .filter(|change| change.kind == kind)
                .cloned()
                .collect(),
        )
    }

    fn tell(&mut self, kind: Kind, was: Option<Value>, is: Option<Value>) {
        self.history.push(Change {
            version: self.version,
            kind,
            was,
            is,
        });
    }
}

/// As a graceful deletion begins.
pub(super) fn mark_deleted(pod: &mut Value) {
    if pod["metadata"]["deletionTimestamp"].is_null() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let minutes = now.as_secs() / 60 % 60;
        let at = format!("2026-01-01T00:{minutes:02}:00Z");
        pod["metadata"]["deletionTimestamp"] = at.into();
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64();
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace.unwrap_or(30));
    }
}
