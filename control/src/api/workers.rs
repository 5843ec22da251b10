//! The workers of the plane, and taking one out of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{Record, ReplicaState, Snapshot, Worker};
use http::StatusCode;
use serde::Serialize;

use super::{Api, forbidden};
use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;

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
    /// It takes no more replicas; those it has are replaced elsewhere.
    draining: bool,
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
            draining: worker.draining,
            attached: attachment.as_ref().is_some_and(|known| known.attached),
            silent_ms: attachment
                .and_then(|known| u64::try_from(known.silent_for.as_millis()).ok()),
        }
    };
    workers.into_iter().map(|worker| report(worker)).collect()
}

/// Moves everything off a worker: its replicas are replaced on others, then end.
pub(super) async fn drain(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Json<WorkerReport>, Problem> {
    set(&api, &who, &id, true).await
}

/// Lets a worker take replicas again.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Json<WorkerReport>, Problem> {
    set(&api, &who, &id, false).await
}

async fn set(
    api: &Api,
    who: &Who,
    id: &str,
    draining: bool,
) -> Result<Json<WorkerReport>, Problem> {
    if !who.is_admin() {
        return Err(forbidden(who));
    }
    let action = if draining { "drain" } else { "resume" };
    let what = format!("worker/{id}");
    api.commit(who, action, &what, |snapshot| {
        let worker = snapshot.worker(id).ok_or_else(|| no_worker(id))?;
        let worker = Worker {
            draining,
            ..Worker::clone(worker)
        };
        let mut group = Group::default();
        group.put(snapshot, &Record::Worker(worker));
        Ok(group)
    })
    .await?;
    let reports = report_all(api, &api.view.load()).into_iter();
    let mut reports = reports.filter(|report| report.id == id);
    reports.next().map(Json).ok_or_else(|| no_worker(id))
}

fn no_worker(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no worker `{id}`"))
        .remedy("`fprs worker list` lists those there are")
}
