//! Tenants and their limits.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{DEFAULT_TENANT, Key, Kind, Limits, Record, Snapshot, Tenant};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, checked, forbidden, read};
use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;

/// A tenant as it is written and shown. What is absent is no limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Spec {
    requests_per_second: Option<u32>,
    burst: Option<u32>,
    concurrent_exchanges: Option<u32>,
    streams_per_connection: Option<u32>,
    buffered_bytes: Option<u64>,
    dials: Option<u32>,
    weight: Option<u32>,
}

/// One tenant and what is its.
#[derive(Debug, Serialize)]
pub(super) struct TenantReport {
    name: String,
    servers: usize,
    tokens: usize,
    issuers: usize,
    #[serde(flatten)]
    spec: Spec,
}

impl TenantReport {
    fn of(snapshot: &Snapshot, tenant: &Tenant) -> Self {
        let Limits {
            requests_per_second,
            burst,
            concurrent_exchanges,
            streams_per_connection,
            buffered_bytes,
            dials,
        } = tenant.limits;
        let name = tenant.name.as_str();
        let servers = snapshot.servers();
        let servers = servers.filter_map(|(_, view)| view.server.as_ref());
        Self {
            servers: servers.filter(|server| server.tenant() == name).count(),
            tokens: snapshot
                .tokens()
                .filter(|token| token.tenant == name)
                .count(),
            issuers: snapshot
                .issuers()
                .filter(|issuer| issuer.tenant == name)
                .count(),
            name: name.to_owned(),
            spec: Spec {
                requests_per_second,
                burst,
                concurrent_exchanges,
                streams_per_connection,
                buffered_bytes,
                dials,
                weight: Some(tenant.weight),
            },
        }
    }
}

/// Every tenant that whoever asks may see, by name; the default one too.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Json<Vec<TenantReport>> {
    Json(seen_by(&who, &api.view.load(), usize::MAX))
}

/// Those that they may see, by name; at most `most`.
pub(super) fn seen_by(who: &Who, snapshot: &Snapshot, most: usize) -> Vec<TenantReport> {
    let default = Tenant::new(DEFAULT_TENANT);
    let written = snapshot.tenants().map(AsRef::as_ref);
    let implied = snapshot
        .tenant(DEFAULT_TENANT)
        .is_none()
        .then_some(&default);
    let mut tenants: Vec<_> = written
        .chain(implied)
        .filter(|tenant| who.sees(&tenant.name))
        .collect();
    tenants.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    tenants.truncate(most);
    tenants
        .into_iter()
        .map(|tenant| TenantReport::of(snapshot, tenant))
        .collect()
}

/// One tenant.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<TenantReport>, Problem> {
    let snapshot = api.view.load();
    let default = Tenant::new(DEFAULT_TENANT);
    let implied = (name == DEFAULT_TENANT).then_some(&default);
    let tenant = snapshot.tenant(&name).map(AsRef::as_ref).or(implied);
    tenant
        .filter(|tenant| who.sees(&tenant.name))
        .map(|tenant| Json(TenantReport::of(&snapshot, tenant)))
        .ok_or_else(|| no_tenant(&name))
}

/// Makes a tenant or changes its limits: what is absent is no limit from then on.
pub(super) async fn put(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<TenantReport>, Problem> {
    if !who.is_admin() {
        return Err(forbidden(&who));
    }
    let spec: Spec = read("tenant", body)?;
    let record = checked(Record::Tenant(Tenant {
        name: name.clone(),
        limits: Limits {
            requests_per_second: spec.requests_per_second,
            burst: spec.burst,
            concurrent_exchanges: spec.concurrent_exchanges,
            streams_per_connection: spec.streams_per_connection,
            buffered_bytes: spec.buffered_bytes,
            dials: spec.dials,
        },
        weight: spec.weight.unwrap_or(1),
    }))?;
    let what = format!("tenant/{name}");
    api.commit(&who, "set", &what, |snapshot| {
        let mut group = Group::default();
        group.put(snapshot, &record);
        Ok(group)
    })
    .await?;
    show(State(api), Extension(who), Path(name)).await
}

/// Deletes a tenant that has nothing left.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    if !who.is_admin() {
        return Err(forbidden(&who));
    }
    let what = format!("tenant/{name}");
    let revision = api
        .commit(&who, "delete", &what, |snapshot| {
            let tenant = snapshot.tenant(&name).ok_or_else(|| no_tenant(&name))?;
            let report = TenantReport::of(snapshot, tenant);
            let left = report.servers + report.tokens + report.issuers;
            if left > 0 && name != DEFAULT_TENANT {
                return Err(in_use(&report));
            }
            let mut group = Group::default();
            group.delete(snapshot, Key::new(Kind::Tenant, &name));
            Ok(group)
        })
        .await?;
    Ok(Json(json!({ "name": name, "revision": revision.0 })))
}

fn in_use(report: &TenantReport) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        format!(
            "the tenant `{}` has {} servers, {} tokens and {} issuers",
            report.name, report.servers, report.tokens, report.issuers
        ),
    )
    .remedy("delete, revoke and remove those first")
}

fn no_tenant(name: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no tenant `{name}`"),
    )
    .remedy("`fprs tenant list` lists those there are")
}
