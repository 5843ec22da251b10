//! PURE. What the store wants of the cluster: which versions, and how many pods each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fprs_config::{MadeFor, ReplicaState, ServerView, Snapshot, Version};

/// What is wanted of one version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// How it is run; `None`: nothing new is, it only has replicas left.
    pub(crate) version: Option<Arc<Version>>,
    /// Replicas that have a pod or need one: all but those that failed.
    pub(crate) replicas: u32,
    /// Pods that have one of them.
    pub(crate) occupied: BTreeSet<Arc<str>>,
}

/// Everything wanted in pods of that region. Costs in proportion to the servers, and to the replicas of
/// those with an image.
pub(crate) fn wanted(snapshot: &Snapshot, compute_region: &str) -> BTreeMap<MadeFor, Wanted> {
    let mut all = BTreeMap::new();
    for (name, view) in snapshot.servers() {
        of_server(snapshot, name, view, compute_region, &mut all);
    }
    all
}

fn of_server(
    snapshot: &Snapshot,
    name: &Arc<str>,
    view: &ServerView,
    compute_region: &str,
    all: &mut BTreeMap<MadeFor, Wanted>,
) {
    let key = |generation| MadeFor {
        server: Arc::clone(name),
        generation,
    };
    let server = view.server.as_ref();
    let server = server.filter(|server| server.compute_region == compute_region);
    if let Some(server) = server {
        let versions = [Some(&server.target), server.fallback.as_ref()];
        for version in versions.into_iter().flatten() {
            if !version.image.is_empty() {
                let wanted: &mut Wanted = all.entry(key(version.generation)).or_default();
                wanted.version = Some(Arc::clone(version));
            }
        }
    }
    for replica in view.replicas() {
        if replica.state == ReplicaState::Failed {
            continue;
        }
        let key = key(replica.generation);
        let worker = replica.worker.as_ref();
        let in_pod = worker
            .and_then(|worker| snapshot.worker(worker))
            .is_some_and(|worker| worker.made_for.as_ref() == Some(&key));
        // What an older version has left, and what waits for a pod of a version that is wanted.
        if in_pod {
            let wanted = all.entry(key).or_default();
            wanted.replicas += 1;
            wanted.occupied.extend(worker.map(Arc::clone));
        } else if let Some(wanted) = all.get_mut(&key)
            && worker.is_none()
        {
            wanted.replicas += 1;
        }
    }
}
