//! Deploying, showing and deleting servers.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use fprs_config::{Key, Kind, Manifest, Revision, ServerView, Snapshot};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Api, no_server};
use crate::deploy::{self, DeployError};
use crate::driver::unix_ms;
use crate::problem::Problem;
use crate::report::ServerReport;

/// Every server, by name.
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<ServerReport>> {
    let snapshot = api.view.load();
    let mut named: Vec<_> = snapshot.servers().collect();
    named.sort_unstable_by_key(|(name, _)| *name);
    let reports = named
        .into_iter()
        .filter_map(|(_, view)| report(&api, &snapshot, view))
        .collect();
    Json(reports)
}

/// One server.
pub(super) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<ServerReport>, Problem> {
    find(&api, &name).map(Json)
}

/// Deploys a manifest and answers with the server.
pub(super) async fn deploy(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ServerReport>, Problem> {
    let body = body.map_err(|rejection| {
        Problem::new(
            rejection.status(),
            format!("the manifest was not read: {rejection}"),
        )
    })?;
    let manifest = manifest(&name, &body)?;
    let what = format!("the server `{name}`");
    let revision = api
        .commit(&what, |snapshot| {
            deploy::deploy(snapshot, &api.settings.zone, &manifest, unix_ms()).map_err(refused)
        })
        .await?;
    tracing::info!(server = name, %revision, "deployed");
    find(&api, &name).map(Json)
}

/// Deletes a server and its domains; what still runs is drained.
pub(super) async fn delete(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let what = format!("the server `{name}`");
    let revision = api
        .commit(&what, |snapshot| {
            deploy::delete(snapshot, &name).ok_or_else(|| no_server(&name))
        })
        .await?;
    tracing::info!(server = name, %revision, "deleted");
    Ok(Json(json!({ "name": name, "revision": revision.0 })))
}

fn find(api: &Api, name: &str) -> Result<ServerReport, Problem> {
    let snapshot = api.view.load();
    snapshot
        .server(name)
        .and_then(|view| report(api, &snapshot, view))
        .ok_or_else(|| no_server(name))
}

fn report(api: &Api, snapshot: &Snapshot, view: &ServerView) -> Option<ServerReport> {
    let server = view.server.as_ref()?;
    let revision: Revision = snapshot
        .written(&Key::new(Kind::Server, &server.name))
        .unwrap_or_default();
    let waiting = api.workers.waiting(&server.name);
    let url = api.settings.url(&server.name);
    Some(ServerReport::new(
        server,
        view,
        revision,
        url,
        waiting.as_ref(),
    ))
}

fn manifest(name: &str, body: &[u8]) -> Result<Manifest, Problem> {
    let manifest: Manifest = serde_json::from_slice(body).map_err(|error| {
        let status = if error.is_data() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::BAD_REQUEST
        };
        Problem::new(
            status,
            format!("the manifest of `{name}` can't be used: {error}"),
        )
        .remedy("correct what it names; the body is a manifest as JSON")
    })?;
    if &**manifest.name() != name {
        let detail = format!(
            "the manifest is of `{}`, the path names `{name}`",
            manifest.name()
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .remedy("put it at the path of its own name"));
    }
    Ok(manifest)
}

fn refused(error: DeployError) -> Problem {
    let status = match error {
        DeployError::HostTaken { .. } => StatusCode::CONFLICT,
        DeployError::Invalid(_) | DeployError::Missing { .. } | DeployError::TooLong(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    };
    Problem::new(status, error.to_string()).remedy(error.remedy())
}
