//! Splits: which of a server's requests go to which other server of the same tenant instead.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{Mirror, MirrorKey};
use serde::{Deserialize, Serialize};

use super::mirrors::{Sort, basis_points, key, percent};
use super::{Api, read};
use crate::access::Who;
use crate::problem::Problem;

/// A split as it is written. What is left out is as usual.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    server: String,
    variant: String,
    percent: f64,
    key: Option<String>,
    #[serde(default)]
    salt: String,
}

/// One split.
#[derive(Debug, Serialize)]
pub(super) struct SplitReport {
    name: String,
    server: String,
    variant: String,
    percent: f64,
    key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    salt: String,
    paused: bool,
}

impl From<&Mirror> for SplitReport {
    fn from(split: &Mirror) -> Self {
        Self {
            name: split.name.clone(),
            server: split.server.to_string(),
            variant: split.shadow.to_string(),
            percent: percent(split),
            key: split.key.text(),
            salt: split.salt.clone(),
            paused: split.paused,
        }
    }
}

/// Writes a split: a new one, or another version of one that is there. It goes on as it was: paused,
/// if it is.
pub(super) async fn put(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SplitReport>, Problem> {
    let spec: Spec = read("split", body)?;
    let split = Mirror {
        basis_points: basis_points(spec.percent)?,
        key: spec.key.as_deref().map_or(Ok(MirrorKey::Request), key)?,
        salt: spec.salt,
        ..Mirror::split(&name, &spec.server, &spec.variant)
    };
    Sort::Split.write(&api, &who, split).await
}
