//! Deploying, showing and deleting servers.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{DEFAULT_TENANT, Key, Kind, Manifest, Revision, ServerView, Snapshot};
use http::StatusCode;
use serde_json::{Value, json};

use super::tokens::known_tenant;
use super::{Api, forbidden, no_server};
use crate::access::Who;
use crate::deploy::{self, DeployError};
use crate::driver::unix_ms;
use crate::problem::Problem;
use crate::report::ServerReport;

/// Every server, by name.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Json<Vec<ServerReport>> {
    let snapshot = api.view.load();
    let mut named: Vec<_> = snapshot.servers().collect();
    named.sort_unstable_by_key(|(name, _)| *name);
    let reports = named
        .into_iter()
        .filter(|(_, view)| sees(&who, view))
        .filter_map(|(_, view)| report(&api, &snapshot, view))
        .collect();
    Json(reports)
}

/// One server.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<ServerReport>, Problem> {
    find(&api, &who, &name).map(Json)
}

/// Deploys a manifest and answers with the server.
pub(super) async fn deploy(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
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
    let what = format!("server/{name}");
    let revision = api
        .commit(&who, "deploy", &what, |snapshot| {
            let manifest = for_tenant(snapshot, &who, &manifest)?;
            let plane = (api.settings.zone.as_str(), api.settings.images);
            deploy::deploy(snapshot, plane, &manifest, unix_ms()).map_err(refused)
        })
        .await?;
    tracing::info!(server = name, %revision, "deployed");
    find(&api, &who, &name).map(Json)
}

/// Deletes a server and its domains; what still runs is drained.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let what = format!("server/{name}");
    let revision = api
        .commit(&who, "delete", &what, |snapshot| {
            let view = visible(snapshot, &who, &name)?;
            if view
                .server
                .as_ref()
                .is_some_and(|server| !who.changes(server.tenant()))
            {
                return Err(forbidden(&who));
            }
            deploy::delete(snapshot, &name).ok_or_else(|| no_server(&name))
        })
        .await?;
    tracing::info!(server = name, %revision, "deleted");
    Ok(Json(json!({ "name": name, "revision": revision.0 })))
}

fn find(api: &Api, who: &Who, name: &str) -> Result<ServerReport, Problem> {
    let snapshot = api.view.load();
    report(api, &snapshot, visible(&snapshot, who, name)?).ok_or_else(|| no_server(name))
}

/// A server, or what is left of it, that whoever asks may see; another tenant's is as if it didn't
/// exist.
pub(super) fn visible<'a>(
    snapshot: &'a Snapshot,
    who: &Who,
    name: &str,
) -> Result<&'a ServerView, Problem> {
    let view = snapshot.server(name).map(AsRef::as_ref);
    view.filter(|view| sees(who, view))
        .ok_or_else(|| no_server(name))
}

/// What is left of a deleted server is nobody's but the admin's.
fn sees(who: &Who, view: &ServerView) -> bool {
    match &view.server {
        Some(server) => who.sees(server.tenant()),
        None => who.sees(NOBODY),
    }
}

/// No tenant has this name, since it is no label.
const NOBODY: &str = "";

/// The manifest with its tenant, which whoever deploys must be of, as well as of the one that the
/// server has now.
fn for_tenant<'a>(
    snapshot: &Snapshot,
    who: &Who,
    manifest: &'a Manifest,
) -> Result<Cow<'a, Manifest>, Problem> {
    let view = snapshot.server(manifest.name());
    let current = view.and_then(|view| view.server.as_deref());
    if let Some(server) = current
        && !who.changes(server.tenant())
    {
        let detail = format!("the name `{}` is taken", manifest.name());
        return Err(Problem::new(StatusCode::CONFLICT, detail).remedy("choose another one"));
    }
    let tenant = match (manifest.tenant(), current) {
        ("", Some(server)) => server.tenant(),
        ("", None) => who.own_tenant(),
        (tenant, _) => tenant,
    };
    if !who.changes(tenant) {
        return Err(forbidden(who));
    }
    known_tenant(snapshot, tenant)?;
    if manifest.tenant().is_empty() && tenant != DEFAULT_TENANT {
        return Ok(Cow::Owned(manifest.clone().in_tenant(tenant)));
    }
    Ok(Cow::Borrowed(manifest))
}

fn report(api: &Api, snapshot: &Snapshot, view: &ServerView) -> Option<ServerReport> {
    let server = view.server.as_ref()?;
    let revision: Revision = snapshot
        .written(&Key::new(Kind::Server, &server.name))
        .unwrap_or_default();
    let waiting = api.workers.waiting(&server.name);
    let url = api.settings.url(&server.name);
    let waiting = waiting.as_ref();
    Some(ServerReport::new(
        server,
        view,
        revision,
        url,
        waiting,
        unix_ms(),
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
