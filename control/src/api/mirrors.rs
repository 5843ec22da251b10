//! Mirrors: which of a server's requests are copied to which other server of the same tenant.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{Compare, Key, Kind, Mirror, MirrorKey, Record, Snapshot, limits};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, checked, forbidden, no_server, read};
use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;

/// A mirror as it is written. What is left out is as usual.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    server: String,
    shadow: String,
    percent: Option<f64>,
    key: Option<String>,
    #[serde(default)]
    salt: String,
    exchange_bytes: Option<usize>,
    copies: Option<u32>,
    deadline_ms: Option<u64>,
    compare: Option<CompareSpec>,
}

/// What is compared.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompareSpec {
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    ignore: Vec<String>,
}

/// One mirror.
#[derive(Debug, Serialize)]
pub(super) struct MirrorReport {
    name: String,
    server: String,
    shadow: String,
    percent: f64,
    key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    salt: String,
    paused: bool,
    exchange_bytes: usize,
    copies: u32,
    deadline_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    compare: Option<CompareSpec>,
}

impl From<&Mirror> for MirrorReport {
    fn from(mirror: &Mirror) -> Self {
        let compare = mirror.compare.as_ref();
        Self {
            name: mirror.name.clone(),
            server: mirror.server.to_string(),
            shadow: mirror.shadow.to_string(),
            percent: f64::from(mirror.basis_points) / POINTS_PER_PERCENT,
            key: mirror.key.text(),
            salt: mirror.salt.clone(),
            paused: mirror.paused,
            exchange_bytes: mirror.exchange_bytes,
            copies: mirror.copies,
            deadline_ms: u64::try_from(mirror.deadline.as_millis()).unwrap_or(u64::MAX),
            compare: compare.map(|compare| CompareSpec {
                headers: compare.headers.clone(),
                ignore: compare.ignore.clone(),
            }),
        }
    }
}

/// Every mirror of servers that whoever asks may see, by name.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Json<Vec<MirrorReport>> {
    let snapshot = api.view.load();
    let mut mirrors: Vec<_> = snapshot
        .mirrors()
        .filter(|mirror| who.sees(tenant(&snapshot, mirror)))
        .map(|mirror| MirrorReport::from(&**mirror))
        .collect();
    mirrors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Json(mirrors)
}

/// Writes a mirror: a new one, or another version of one that is there. It goes on as it was: paused,
/// if it is.
pub(super) async fn put(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<MirrorReport>, Problem> {
    let mirror = mirror(&name, read("mirror", body)?)?;
    checked(Record::Mirror(mirror.clone()))?;
    let what = format!("mirror/{name}");
    api.commit(&who, "set", &what, |snapshot| {
        let mut mirror = mirror.clone();
        if let Some(current) = snapshot.mirror(&name) {
            if !who.changes(tenant(snapshot, current)) {
                let detail = format!("the name `{name}` is taken");
                let problem = Problem::new(StatusCode::CONFLICT, detail);
                return Err(problem.remedy("choose another one"));
            }
            mirror.paused = current.paused;
        }
        fits(snapshot, &who, &mirror)?;
        let mut group = Group::default();
        group.put(snapshot, &Record::Mirror(mirror));
        Ok(group)
    })
    .await?;
    shown(&api, &name)
}

/// Removes a mirror; copies that are on their way go on.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let what = format!("mirror/{name}");
    let revision = api
        .commit(&who, "remove", &what, |snapshot| {
            own(snapshot, &who, &name)?;
            let mut group = Group::default();
            group.delete(snapshot, Key::new(Kind::Mirror, &name));
            Ok(group)
        })
        .await?;
    Ok(Json(json!({ "name": name, "revision": revision.0 })))
}

/// Copies nothing until it is told to go on.
pub(super) async fn pause(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<MirrorReport>, Problem> {
    set_paused(&api, &who, &name, true).await
}

/// Goes on after a pause.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<MirrorReport>, Problem> {
    set_paused(&api, &who, &name, false).await
}

async fn set_paused(
    api: &Api,
    who: &Who,
    name: &str,
    paused: bool,
) -> Result<Json<MirrorReport>, Problem> {
    let what = format!("mirror/{name}");
    let action = if paused { "pause" } else { "resume" };
    api.commit(who, action, &what, |snapshot| {
        let mirror = Mirror {
            paused,
            ..own(snapshot, who, name)?.clone()
        };
        let mut group = Group::default();
        group.put(snapshot, &Record::Mirror(mirror));
        Ok(group)
    })
    .await?;
    shown(api, name)
}

fn shown(api: &Api, name: &str) -> Result<Json<MirrorReport>, Problem> {
    let snapshot = api.view.load();
    let mirror = snapshot.mirror(name).ok_or_else(|| no_mirror(name))?;
    Ok(Json(MirrorReport::from(&**mirror)))
}

/// A mirror that whoever asks may change.
fn own<'a>(snapshot: &'a Snapshot, who: &Who, name: &str) -> Result<&'a Mirror, Problem> {
    let mirror = snapshot.mirror(name);
    let mirror = mirror.filter(|mirror| who.sees(tenant(snapshot, mirror)));
    let mirror = mirror.ok_or_else(|| no_mirror(name))?;
    match who.changes(tenant(snapshot, mirror)) {
        true => Ok(mirror),
        false => Err(forbidden(who)),
    }
}

/// Whose the mirrored server is; nobody's, if it is gone.
pub(crate) fn tenant<'a>(snapshot: &'a Snapshot, mirror: &Mirror) -> &'a str {
    let view = snapshot.server(&mirror.server);
    let server = view.and_then(|view| view.server.as_deref());
    server.map_or("", |server| server.tenant())
}

/// Both servers are there and of a tenant that whoever asks may change, and there is room for one more.
fn fits(snapshot: &Snapshot, who: &Who, mirror: &Mirror) -> Result<(), Problem> {
    let owner = |name: &str| {
        let view = snapshot.server(name);
        let server = view.and_then(|view| view.server.as_ref());
        server
            .filter(|server| who.sees(server.tenant()))
            .ok_or_else(|| no_server(name))
    };
    let (server, shadow) = (owner(&mirror.server)?, owner(&mirror.shadow)?);
    if !who.changes(server.tenant()) {
        return Err(forbidden(who));
    }
    if server.tenant() != shadow.tenant() {
        let detail = format!(
            "`{}` and `{}` are of different tenants",
            mirror.server, mirror.shadow
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .remedy("requests are copied within one tenant; deploy the shadow there"));
    }
    let others = snapshot.server(&mirror.server).map_or(0, |view| {
        let mirrors = view.mirrors.keys();
        mirrors.filter(|name| ***name != *mirror.name).count()
    });
    if others >= limits::MIRRORS_PER_SERVER {
        let detail = format!(
            "`{}` has {others} mirrors, the most there may be",
            mirror.server
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .remedy("remove one that is no longer needed"));
    }
    Ok(())
}

fn mirror(name: &str, spec: Spec) -> Result<Mirror, Problem> {
    let usual = Mirror::new(name, &spec.server, &spec.shadow);
    Ok(Mirror {
        basis_points: spec.percent.map_or(Ok(usual.basis_points), basis_points)?,
        key: spec.key.as_deref().map_or(Ok(MirrorKey::Request), key)?,
        salt: spec.salt,
        exchange_bytes: spec.exchange_bytes.unwrap_or(usual.exchange_bytes),
        copies: spec.copies.unwrap_or(usual.copies),
        deadline: spec
            .deadline_ms
            .map_or(usual.deadline, Duration::from_millis),
        compare: spec.compare.map(|compare| Compare {
            headers: lower_case(compare.headers),
            ignore: compare.ignore,
        }),
        ..usual
    })
}

fn lower_case(names: Vec<String>) -> Vec<String> {
    let names = names.into_iter();
    names.map(|name| name.to_ascii_lowercase()).collect()
}

fn key(text: &str) -> Result<MirrorKey, Problem> {
    MirrorKey::parse(text).ok_or_else(|| {
        let detail = format!("there is no key `{text}`");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .remedy("the keys are request, client, token, header:NAME and cookie:NAME")
    })
}

fn basis_points(percent: f64) -> Result<u32, Problem> {
    let points = (percent * POINTS_PER_PERCENT).round();
    let exact = (points - percent * POINTS_PER_PERCENT).abs() < 1e-6;
    if !exact || !(1.0..=f64::from(limits::BASIS_POINTS)).contains(&points) {
        let detail = format!("`percent` is {percent}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .remedy("it is 0.01 to 100, with at most two digits after the point"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 1 to 10,000"
    )]
    Ok(points as u32)
}

const POINTS_PER_PERCENT: f64 = 100.0;

pub(crate) fn no_mirror(name: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no mirror `{name}`"),
    )
    .remedy("`fprs mirror list` lists those there are")
}
