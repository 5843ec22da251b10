//! What makes pods of Deployments: as many as they say, and when there are too many, those go first
//! that Kubernetes' own order says. Pods whose Deployment is gone go with it.

use serde_json::{Value, json};

use super::state::{Kind, mark_deleted};
use super::{Cluster, Shared};

/// Works until the runtime ends.
pub(super) async fn run(cluster: Cluster) {
    let mut changed = Shared::changed(&cluster);
    let mut made = 0_u64;
    while changed.changed().await.is_ok() {
        for deployment in cluster.all(Kind::Deployments) {
            keep(&cluster, &deployment, &mut made);
        }
        collect(&cluster);
    }
}

impl Shared {
    fn changed(cluster: &Cluster) -> tokio::sync::watch::Receiver<u64> {
        cluster.shared.changed.subscribe()
    }
}

fn keep(cluster: &Cluster, deployment: &Value, made: &mut u64) {
    let uid = &deployment["metadata"]["uid"];
    let name = deployment["metadata"]["name"].as_str().unwrap();
    let wanted = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap();
    let mut pods = cluster.all(Kind::Pods);
    pods.retain(|pod| owner(pod) == uid && counts(pod));
    for _ in pods.len()..wanted {
        *made += 1;
        let template = &deployment["spec"]["template"];
        let mut pod = json!({
            "metadata": template["metadata"],
            "spec": template["spec"],
            "status": { "phase": "Pending" },
        });
        pod["metadata"]["ownerReferences"] =
            json!([{ "name": name, "uid": uid, "controller": true }]);
        cluster.put(Kind::Pods, &format!("{name}-5d4f-{made:05}"), pod);
    }
    pods.sort_by_cached_key(rank);
    for pod in pods.iter().take(pods.len().saturating_sub(wanted)) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        match pod["spec"]["nodeName"].is_null() {
            true => cluster.remove(Kind::Pods, name),
            false => cluster.edit(Kind::Pods, name, mark_deleted),
        }
    }
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let status = json!({
        "replicas": pods.len(),
        "readyReplicas": ready,
        "observedGeneration": deployment["metadata"]["generation"],
    });
    cluster.edit(Kind::Deployments, name, |deployment| {
        deployment["status"] = status
    });
}

/// Garbage collection.
fn collect(cluster: &Cluster) {
    let deployments = cluster.all(Kind::Deployments);
    for pod in cluster.all(Kind::Pods) {
        let owner = owner(&pod);
        let owned = deployments
            .iter()
            .any(|deployment| deployment["metadata"]["uid"] == *owner);
        if !owner.is_null() && !owned && counts(&pod) {
            let name = pod["metadata"]["name"].as_str().unwrap();
            match pod["spec"]["nodeName"].is_null() {
                true => cluster.remove(Kind::Pods, name),
                false => cluster.edit(Kind::Pods, name, mark_deleted),
            }
        }
    }
}

fn owner(pod: &Value) -> &Value {
    &pod["metadata"]["ownerReferences"][0]["uid"]
}

/// Its Deployment counts it.
fn counts(pod: &Value) -> bool {
    let ended = pod["status"]["phase"] == "Failed" || pod["status"]["phase"] == "Succeeded";
    pod["metadata"]["deletionTimestamp"].is_null() && !ended
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The order in which pods go (pkg/controller: `ActivePodsWithRanks`): without a node, not running, not
/// ready, of the lowest cost, the newest.
fn rank(pod: &Value) -> (bool, bool, bool, i64, std::cmp::Reverse<u64>) {
    let metadata = &pod["metadata"]["annotations"];
    let made = metadata["double/made"].as_str();
    let cost = metadata["controller.kubernetes.io/pod-deletion-cost"].as_str();
    (
        !pod["spec"]["nodeName"].is_null(),
        pod["status"]["phase"] == "Running",
        is_ready(pod),
        cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
        std::cmp::Reverse(made.and_then(|made| made.parse().ok()).unwrap_or(0)),
    )
}
