//! The replicas of one server.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use fprs_config::ReplicaState;
use serde::Deserialize;

use super::Api;
use super::servers::visible;
use crate::access::Who;
use crate::problem::Problem;
use crate::report::ReplicaReport;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ask {
    /// Failed ones too.
    all: bool,
}

/// Replicas by id; those that failed only on demand. A deleted server shows what still drains.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Result<Json<Vec<ReplicaReport>>, Problem> {
    let Query(ask) = ask.map_err(|rejection| {
        Problem::new(rejection.status(), rejection.body_text())
            .remedy("the only parameter is `all=true`")
    })?;
    let snapshot = api.view.load();
    let view = visible(&snapshot, &who, &name)?;
    let reports = view
        .replicas()
        .filter(|replica| ask.all || replica.state != ReplicaState::Failed)
        .map(|replica| {
            let in_flight = api.workers.in_flight(&replica.id).unwrap_or_default();
            ReplicaReport::new(replica, in_flight)
        })
        .collect();
    Ok(Json(reports))
}
