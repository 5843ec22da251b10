//! A server's scaling settings, read and changed while it runs. A deploy sets them to what its
//! manifest says again, but for a pause.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{Record, Scaling, ScalingChange, Server, Snapshot};
use serde::Serialize;

use super::servers::visible;
use super::{Api, forbidden, no_server, read, refused};
use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;

/// A server's settings, all of them.
#[derive(Debug, Serialize)]
pub(super) struct ScalingReport {
    server: String,
    #[serde(flatten)]
    settings: ScalingChange,
}

impl ScalingReport {
    fn of(server: &Server) -> Self {
        Self {
            server: server.name.to_string(),
            settings: ScalingChange::whole(&server.scaling),
        }
    }
}

/// The settings in force.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<ScalingReport>, Problem> {
    let snapshot = api.view.load();
    let server = server(&snapshot, &who, &name)?;
    Ok(Json(ScalingReport::of(server)))
}

/// Changes the settings that are given, and answers with all of them as they are now.
pub(super) async fn change(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ScalingReport>, Problem> {
    let change: ScalingChange = read("change", body)?;
    let what = format!("server/{name}");
    let revision = api
        .commit(&who, "scale", &what, |snapshot| {
            let server = server(snapshot, &who, &name)?;
            if !who.changes(server.tenant()) {
                return Err(forbidden(&who));
            }
            let scaling = change.apply(&server.scaling);
            let scaling = scaling.map_err(|invalid| refused(&invalid))?;
            Ok(with(snapshot, server, scaling))
        })
        .await?;
    tracing::info!(server = name, %revision, "scaling settings changed");
    show(State(api), Extension(who), Path(name)).await
}

/// The server with these settings and all else as it is.
fn with(snapshot: &Snapshot, server: &Server, scaling: Scaling) -> Group {
    let server = Server {
        scaling,
        ..server.clone()
    };
    let mut group = Group::default();
    group.put(snapshot, &Record::Server(server));
    group
}

fn server<'a>(snapshot: &'a Snapshot, who: &Who, name: &str) -> Result<&'a Server, Problem> {
    let view = visible(snapshot, who, name)?;
    view.server.as_deref().ok_or_else(|| no_server(name))
}
