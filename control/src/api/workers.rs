//! The workers of the plane.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use fprs_config::{ReplicaState, Snapshot, Worker};
use serde::Serialize;

use super::Api;

/// One worker.
#[derive(Debug, Serialize)]
pub(super) struct WorkerReport {
    id: String,
    address: SocketAddr,
    compute_region: String,
    capacity: u32,
    /// Placed on it, those that failed left out.
    replicas: u32,
    epoch: u64,
    /// Its channel is open.
    attached: bool,
    /// Since it last said anything, milliseconds.
    silent_ms: Option<u64>,
}

/// Every worker, by id.
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<WorkerReport>> {
    Json(report_all(&api, &api.view.load()))
}

/// Every worker, by name.
pub(super) fn report_all(api: &Api, snapshot: &Snapshot) -> Vec<WorkerReport> {
    let mut placed: BTreeMap<&str, u32> = BTreeMap::new();
    for replica in snapshot.replicas() {
        if let (Some(worker), false) = (&replica.worker, replica.state == ReplicaState::Failed) {
            *placed.entry(worker).or_default() += 1;
        }
    }
    let mut workers: Vec<_> = snapshot.workers().collect();
    workers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let report = |worker: &Worker| {
        let attachment = api.workers.attachment(&worker.id, Instant::now());
        WorkerReport {
            id: worker.id.clone(),
            address: worker.address,
            compute_region: worker.compute_region.clone(),
            capacity: worker.capacity,
            replicas: placed.get(worker.id.as_str()).copied().unwrap_or_default(),
            epoch: worker.epoch,
            attached: attachment.as_ref().is_some_and(|known| known.attached),
            silent_ms: attachment
                .and_then(|known| u64::try_from(known.silent_for.as_millis()).ok()),
        }
    };
    workers.into_iter().map(|worker| report(worker)).collect()
}
