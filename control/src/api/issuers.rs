//! Issuers of JWTs that a tenant's servers believe.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{Algorithm, Issuer, Jwks, Key, Kind, Record, Snapshot};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tokens::known_tenant;
use super::{Api, checked, forbidden, read, refused};
use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;

/// An issuer as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    tenant: Option<String>,
    iss: String,
    aud: String,
    #[serde(default)]
    algorithms: Vec<String>,
    /// The document itself.
    jwks: Value,
    #[serde(default)]
    servers_claim: String,
}

/// One issuer. Its keys are public; their names are enough here.
#[derive(Debug, Serialize)]
pub(super) struct IssuerReport {
    name: String,
    tenant: String,
    iss: String,
    aud: String,
    algorithms: Vec<&'static str>,
    kids: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    servers_claim: String,
}

impl From<&Issuer> for IssuerReport {
    fn from(issuer: &Issuer) -> Self {
        let algorithms = issuer.algorithms.iter();
        let keys = issuer.jwks.keys().iter();
        Self {
            name: issuer.name.clone(),
            tenant: issuer.tenant.clone(),
            iss: issuer.iss.clone(),
            aud: issuer.aud.clone(),
            algorithms: algorithms.map(|algorithm| algorithm.name()).collect(),
            kids: keys.map(|key| key.kid.clone()).collect(),
            servers_claim: issuer.servers_claim.clone(),
        }
    }
}

/// Every issuer that whoever asks may see, by name.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Json<Vec<IssuerReport>> {
    let snapshot = api.view.load();
    let mut issuers: Vec<_> = snapshot
        .issuers()
        .filter(|issuer| who.sees(&issuer.tenant))
        .map(|issuer| IssuerReport::from(&**issuer))
        .collect();
    issuers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Json(issuers)
}

/// Writes an issuer: a new one, or other keys of one that is there.
pub(super) async fn put(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<IssuerReport>, Problem> {
    let spec: Spec = read("issuer", body)?;
    let tenant = spec.tenant.unwrap_or_else(|| who.own_tenant().to_owned());
    if !who.changes(&tenant) {
        return Err(forbidden(&who));
    }
    let issuer = Issuer {
        name: name.clone(),
        tenant,
        iss: spec.iss,
        aud: spec.aud,
        algorithms: algorithms(&spec.algorithms)?,
        jwks: Jwks::parse(spec.jwks.to_string()).map_err(|invalid| refused(&invalid))?,
        servers_claim: spec.servers_claim,
    };
    let report = IssuerReport::from(&issuer);
    let record = checked(Record::Issuer(issuer.clone()))?;
    let what = format!("issuer/{name}");
    api.commit(&who, "set", &what, |snapshot| {
        known_tenant(snapshot, &issuer.tenant)?;
        alone(snapshot, &who, &issuer)?;
        let mut group = Group::default();
        group.put(snapshot, &record);
        Ok(group)
    })
    .await?;
    Ok(Json(report))
}

/// Removes an issuer: its JWTs are refused from then on.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let what = format!("issuer/{name}");
    let revision = api
        .commit(&who, "remove", &what, |snapshot| {
            let issuer = snapshot.issuer(&name);
            let issuer = issuer.filter(|issuer| who.sees(&issuer.tenant));
            let issuer = issuer.ok_or_else(|| no_issuer(&name))?;
            if !who.changes(&issuer.tenant) {
                return Err(forbidden(&who));
            }
            let mut group = Group::default();
            group.delete(snapshot, Key::new(Kind::Issuer, &name));
            Ok(group)
        })
        .await?;
    Ok(Json(json!({ "name": name, "revision": revision.0 })))
}

/// No other tenant has an issuer of that name, nor one that speaks for the same audience: a proxy
/// tells by them whose a JWT is.
fn alone(snapshot: &Snapshot, who: &Who, issuer: &Issuer) -> Result<(), Problem> {
    let conflict = |detail: String| Problem::new(StatusCode::CONFLICT, detail);
    if let Some(other) = snapshot.issuer(&issuer.name)
        && !who.changes(&other.tenant)
    {
        return Err(
            conflict(format!("the issuer `{}` is another tenant's", issuer.name))
                .remedy("choose another name"),
        );
    }
    let same = |other: &&std::sync::Arc<Issuer>| {
        other.name != issuer.name && other.iss == issuer.iss && other.aud == issuer.aud
    };
    if snapshot.issuers().any(|other| same(&other)) {
        return Err(
            conflict("another issuer has this `iss` and `aud`".to_owned())
                .remedy("choose an `aud` that is this tenant's alone, or edit that issuer"),
        );
    }
    Ok(())
}

/// None named: the one that nothing can be got wrong with.
fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, Problem> {
    if names.is_empty() {
        return Ok(vec![Algorithm::EdDsa]);
    }
    let algorithm = |name: &String| {
        Algorithm::from_name(name).ok_or_else(|| {
            let detail = format!("there is no algorithm `{name}`");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
                .remedy("the algorithms are EdDSA, ES256 and RS256")
        })
    };
    names.iter().map(algorithm).collect()
}

fn no_issuer(name: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no issuer `{name}`"),
    )
    .remedy("`fprs issuer list` lists those there are")
}
