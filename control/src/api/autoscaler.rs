//! Which autoscaler decides, for those who want to ask it why.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::Api;
use crate::counts::LEASE;
use crate::problem::Problem;

/// The holder of the lease and where it answers.
pub(super) async fn show(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let snapshot = api.view.load();
    let lease = snapshot.lease(LEASE).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "no autoscaler has ever decided here")
            .remedy("start one with `fprs autoscaler`")
    })?;
    Ok(Json(json!({
        "holder": lease.holder,
        "address": lease.address,
        "epoch": lease.epoch,
        "renewed_unix_ms": lease.renewed_unix_ms,
    })))
}
