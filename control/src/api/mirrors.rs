//! Mirrors: which of a server's requests are copied to which other server of the same tenant.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json, Router};
use fprs_config::record::NO_WEBSOCKETS;
use fprs_config::{Capture, Compare, Key, Kind, Mirror, MirrorKey, Record, Snapshot, limits};
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
    capture: Option<CaptureSpec>,
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

/// What is written down.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaptureSpec {
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    redact: Vec<String>,
    #[serde(default)]
    query: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    capture: Option<CaptureSpec>,
    not_copied: NotCopied,
}

/// What it does not copy, and why.
#[derive(Debug, Serialize)]
struct NotCopied {
    websockets: &'static str,
}

impl From<&Mirror> for MirrorReport {
    fn from(mirror: &Mirror) -> Self {
        let (compare, capture) = (mirror.compare.as_ref(), mirror.capture.as_ref());
        Self {
            name: mirror.name.clone(),
            server: mirror.server.to_string(),
            shadow: mirror.shadow.to_string(),
            percent: percent(mirror),
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
            capture: capture.map(|capture| CaptureSpec {
                headers: capture.headers.clone(),
                redact: capture.redact.clone(),
                query: capture.query,
            }),
            not_copied: NotCopied {
                websockets: NO_WEBSOCKETS,
            },
        }
    }
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
    Sort::Mirror.write(&api, &who, mirror).await
}

/// The routes of one sort, which is shown as `R`, beside the one that writes it.
pub(super) fn routes<R>(sort: Sort, put: MethodRouter<Api>) -> Router<Api>
where
    R: for<'a> From<&'a Mirror> + Serialize + Send + 'static,
{
    let list = async move |State(api): State<Api>, Extension(who): Extension<Who>| {
        let snapshot = api.view.load();
        let seen = seen(&snapshot, &who, sort).into_iter();
        Json(seen.map(R::from).collect::<Vec<R>>())
    };
    let remove =
        async move |State(api): State<Api>,
                    Extension(who): Extension<Who>,
                    Path(name): Path<String>| { sort.remove(&api, &who, &name).await };
    let set_paused = |paused: bool| {
        post(
            async move |State(api): State<Api>,
                        Extension(who): Extension<Who>,
                        Path(name): Path<String>| {
                sort.set_paused::<R>(&api, &who, &name, paused).await
            },
        )
    };
    let all = format!("/v1/{}s", sort.name());
    Router::new()
        .route(&all, get(list))
        .route(&format!("{all}/{{name}}"), put.delete(remove))
        .route(&format!("{all}/{{name}}/pause"), set_paused(true))
        .route(&format!("{all}/{{name}}/resume"), set_paused(false))
}

/// Those of one sort of servers that whoever asks may see, by name.
fn seen<'a>(snapshot: &'a Snapshot, who: &Who, sort: Sort) -> Vec<&'a Mirror> {
    let mirrors = snapshot.mirrors().map(|mirror| &**mirror);
    let mut seen: Vec<_> = mirrors
        .filter(|mirror| sort.is(mirror) && who.sees(tenant(snapshot, mirror)))
        .collect();
    seen.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    seen
}

/// What a record of mirrors is to users. Both sorts share their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// It copies.
    Mirror,
    /// It sends the requests themselves.
    Split,
}

impl Sort {
    const fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Split => "split",
        }
    }

    fn is(self, mirror: &Mirror) -> bool {
        mirror.serves == (self == Self::Split)
    }

    /// The one of that name.
    fn of<'a>(self, snapshot: &'a Snapshot, name: &str) -> Result<&'a Mirror, Problem> {
        let found = snapshot.mirror(name).filter(|mirror| self.is(mirror));
        found.map(|found| &**found).ok_or_else(|| self.none(name))
    }

    fn none(self, name: &str) -> Problem {
        let sort = self.name();
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no {sort} `{name}`"),
        )
        .remedy(format!("`fprs {sort} list` lists those there are"))
    }

    /// One that whoever asks may change.
    fn own<'a>(self, snapshot: &'a Snapshot, who: &Who, name: &str) -> Result<&'a Mirror, Problem> {
        let found = self.of(snapshot, name)?;
        let tenant = tenant(snapshot, found);
        match (who.sees(tenant), who.changes(tenant)) {
            (false, _) => Err(self.none(name)),
            (true, false) => Err(forbidden(who)),
            (true, true) => Ok(found),
        }
    }

    /// Writes it as it is to be, paused if the one in its place is.
    pub(super) async fn write<R>(
        self,
        api: &Api,
        who: &Who,
        wanted: Mirror,
    ) -> Result<Json<R>, Problem>
    where
        R: for<'a> From<&'a Mirror>,
    {
        checked(Record::Mirror(wanted.clone()))?;
        let name = &wanted.name;
        let what = format!("{}/{name}", self.name());
        api.commit(who, "set", &what, |snapshot| {
            let mut mirror = wanted.clone();
            if let Some(current) = snapshot.mirror(name) {
                if !self.is(current) || !who.changes(tenant(snapshot, current)) {
                    let detail = format!("the name `{name}` is taken");
                    let problem = Problem::new(StatusCode::CONFLICT, detail);
                    return Err(problem.remedy("choose another one"));
                }
                mirror.paused = current.paused;
            }
            fits(snapshot, who, &mirror)?;
            let mut group = Group::default();
            group.put(snapshot, &Record::Mirror(mirror));
            Ok(group)
        })
        .await?;
        self.shown(api, name)
    }

    /// Removes it; what it has begun goes on.
    async fn remove(self, api: &Api, who: &Who, name: &str) -> Result<Json<Value>, Problem> {
        let what = format!("{}/{name}", self.name());
        let revision = api
            .commit(who, "remove", &what, |snapshot| {
                self.own(snapshot, who, name)?;
                let mut group = Group::default();
                group.delete(snapshot, Key::new(Kind::Mirror, name));
                Ok(group)
            })
            .await?;
        Ok(Json(json!({ "name": name, "revision": revision.0 })))
    }

    /// Does nothing until it is told to go on, or goes on.
    async fn set_paused<R>(
        self,
        api: &Api,
        who: &Who,
        name: &str,
        paused: bool,
    ) -> Result<Json<R>, Problem>
    where
        R: for<'a> From<&'a Mirror>,
    {
        let what = format!("{}/{name}", self.name());
        let action = if paused { "pause" } else { "resume" };
        api.commit(who, action, &what, |snapshot| {
            let mirror = Mirror {
                paused,
                ..self.own(snapshot, who, name)?.clone()
            };
            let mut group = Group::default();
            group.put(snapshot, &Record::Mirror(mirror));
            Ok(group)
        })
        .await?;
        self.shown(api, name)
    }

    fn shown<R>(self, api: &Api, name: &str) -> Result<Json<R>, Problem>
    where
        R: for<'a> From<&'a Mirror>,
    {
        let snapshot = api.view.load();
        self.of(&snapshot, name).map(R::from).map(Json)
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
            .remedy("requests stay within one tenant; deploy the other one there"));
    }
    if mirror.serves {
        takes_its_own(snapshot, mirror)?;
    }
    let others = snapshot.server(&mirror.server).map_or(0, |view| {
        let mirrors = view.mirrors.keys();
        mirrors.filter(|name| ***name != *mirror.name).count()
    });
    if others >= limits::MIRRORS_PER_SERVER {
        let detail = format!(
            "`{}` has {others} mirrors and splits, the most there may be",
            mirror.server
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .remedy("remove one that is no longer needed"));
    }
    Ok(())
}

/// Of two splits that take the same callers, the second would never take any.
fn takes_its_own(snapshot: &Snapshot, split: &Mirror) -> Result<(), Problem> {
    let view = snapshot.server(&split.server);
    let mut others = view.iter().flat_map(|view| view.mirrors.values());
    let same = others.find(|other| {
        let beside = other.serves && other.name != split.name;
        beside && other.key == split.key && other.salt == split.salt
    });
    let Some(same) = same else {
        return Ok(());
    };
    let detail = format!(
        "split `{}` takes the same callers of `{}`",
        same.name, split.server
    );
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        .remedy("give this one a salt of its own, or change that one"))
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
        capture: spec.capture.map(|capture| Capture {
            headers: lower_case(capture.headers),
            redact: capture.redact,
            query: capture.query,
        }),
        ..usual
    })
}

fn lower_case(names: Vec<String>) -> Vec<String> {
    let names = names.into_iter();
    names.map(|name| name.to_ascii_lowercase()).collect()
}

pub(super) fn key(text: &str) -> Result<MirrorKey, Problem> {
    MirrorKey::parse(text).ok_or_else(|| {
        let detail = format!("there is no key `{text}`");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .remedy("the keys are request, client, token, header:NAME and cookie:NAME")
    })
}

pub(super) fn basis_points(percent: f64) -> Result<u32, Problem> {
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

/// The reverse of [`basis_points`].
pub(super) fn percent(mirror: &Mirror) -> f64 {
    f64::from(mirror.basis_points) / POINTS_PER_PERCENT
}

const POINTS_PER_PERCENT: f64 = 100.0;

pub(crate) fn no_mirror(name: &str) -> Problem {
    Sort::Mirror.none(name)
}
