//! The JSON API: what users and the client commands ask and order. Reads come from the view, so they
//! cost the store nothing; a write answers once the view holds it.

mod autoscaler;
mod egress_pools;
mod issuers;
mod logs;
pub(crate) mod mirrors;
mod replicas;
mod rollouts;
mod scaling;
mod servers;
mod splits;
mod status;
mod tenants;
mod tokens;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::BytesRejection;
use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};
use fprs_config::record::Invalid;
use fprs_config::{CommitError, Record, Revision, SharedStore, Snapshot, View, limits};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;
use crate::settings::ControlSettings;
use crate::stage;
pub(crate) use crate::token::forbidden;
use crate::workers::Workers;

use self::mirrors::{MirrorReport, Sort};
use self::splits::SplitReport;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) settings: Arc<ControlSettings>,
    pub(crate) store: SharedStore,
    pub(crate) view: View,
    pub(crate) workers: Arc<Workers>,
}

/// The routes under `/v1`, without the token check.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/servers", get(servers::list))
        .route(
            "/v1/servers/{name}",
            get(servers::show)
                .put(servers::deploy)
                .delete(servers::delete),
        )
        .route("/v1/servers/{name}/replicas", get(replicas::list))
        .route("/v1/servers/{name}/logs", get(logs::show))
        .route(
            "/v1/servers/{name}/scaling",
            get(scaling::show).patch(scaling::change),
        )
        .route("/v1/autoscaler", get(autoscaler::show))
        .route("/v1/workers", get(workers::list))
        .route("/v1/workers/{id}/drain", post(workers::drain))
        .route("/v1/workers/{id}/resume", post(workers::resume))
        .route("/v1/status", get(status::show))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{id}", delete(tokens::revoke))
        .route("/v1/tokens/{id}/rotate", post(tokens::rotate))
        .route("/v1/tickets", post(tokens::mint))
        .route("/v1/tenants", get(tenants::list))
        .route(
            "/v1/tenants/{name}",
            get(tenants::show).put(tenants::put).delete(tenants::delete),
        )
        .route("/v1/issuers", get(issuers::list))
        .route(
            "/v1/issuers/{name}",
            put(issuers::put).delete(issuers::delete),
        )
        .route("/v1/egress/pools", get(egress_pools::list))
        .route(
            "/v1/egress/pools/{name}",
            put(egress_pools::put).delete(egress_pools::delete),
        )
        .route(
            "/v1/egress/pools/{name}/gateways/{gateway}/drain",
            post(egress_pools::drain),
        )
        .route(
            "/v1/egress/pools/{name}/gateways/{gateway}/resume",
            post(egress_pools::resume),
        )
        .merge(mirrors::routes::<MirrorReport>(
            Sort::Mirror,
            put(mirrors::put),
        ))
        .merge(mirrors::routes::<SplitReport>(
            Sort::Split,
            put(splits::put),
        ))
        .route("/v1/rollouts", get(rollouts::list))
        .route("/v1/rollouts/promote", post(rollouts::promote))
        .route("/v1/rollouts/back", post(rollouts::back))
        .layer(middleware::from_fn(stage::layer))
        .layer(DefaultBodyLimit::max(limits::MANIFEST_BYTES))
        .with_state(api)
}

impl Api {
    /// Commits what `decide` makes of the newest snapshot; again when somebody else was faster.
    /// Answers with the revision once the view holds it, and notes who did what to what.
    async fn commit(
        &self,
        who: &Who,
        action: &str,
        what: &str,
        decide: impl Fn(&Snapshot) -> Result<Group, Problem> + Send,
    ) -> Result<Revision, Problem> {
        let stage = stage::current();
        if stage.is_some() && !who.is_admin() {
            return Err(forbidden(who));
        }
        let mut view = self.view.clone();
        let deadline = Instant::now() + COMMIT_DEADLINE;
        loop {
            let snapshot = view.load();
            let mut group = decide(&snapshot)?;
            match &stage {
                Some(stage) => group = stage.group(&snapshot, &group, what)?,
                None => stage::free(&snapshot, &group)?,
            }
            let (writes, expectations) = group.parts();
            match self.store.commit(writes, expectations).await {
                Ok(revision) => {
                    self.settings.audit.note(who, action, what, revision);
                    let seen = tokio::time::timeout(VIEW_DEADLINE, view.reached(revision));
                    return match seen.await {
                        Ok(_) => stage.map_or(Ok(revision), |stage| Err(stage.done(what))),
                        // What would be shown is what was before.
                        Err(_) => Err(late(what, revision)),
                    };
                }
                Err(CommitError::Conflict(_)) if Instant::now() < deadline => {
                    // The view either moves to what won, or already has; then try at once.
                    let newer = Revision(snapshot.revision().0.saturating_add(1));
                    drop(tokio::time::timeout(CONFLICT_WAIT, view.reached(newer)).await);
                }
                Err(CommitError::Conflict(_)) => {
                    return Err(Problem::new(
                        StatusCode::CONFLICT,
                        format!("{what} changed again and again while it was written"),
                    )
                    .remedy("try again once the others are done"));
                }
                Err(CommitError::Store(error)) => {
                    return Err(Problem::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        format!("the store does not take writes: {error}"),
                    )
                    .remedy("nothing was changed; try again, and look at the plane's log"));
                }
                Err(refused) => {
                    return Err(Problem::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        format!("the store refuses {what}: {refused}"),
                    )
                    .remedy("nothing was changed; correct what it names"));
                }
            }
        }
    }
}

fn late(what: &str, revision: Revision) -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        format!("{what} is written, as revision {revision}, but not seen here yet"),
    )
    .remedy("nothing is lost: `/v1/config` says how far behind this process is, and why")
}

/// What a body says, as JSON.
fn read<T: DeserializeOwned>(
    what: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let body = body.map_err(|rejection| {
        let detail = format!("the {what} was not read: {rejection}");
        Problem::new(rejection.status(), detail)
    })?;
    let body = if body.is_empty() { b"{}" } else { &*body };
    serde_json::from_slice(body).map_err(|error| {
        let status = if error.is_data() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::BAD_REQUEST
        };
        Problem::new(status, format!("the {what} can't be used: {error}"))
            .remedy("correct what it names; the body is JSON")
    })
}

/// The record, if no follower would refuse it.
fn checked(record: Record) -> Result<Record, Problem> {
    match record.check() {
        Ok(()) => Ok(record),
        Err(invalid) => Err(refused(&invalid)),
    }
}

fn refused(invalid: &Invalid) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.to_string())
        .remedy("nothing was changed; correct what it names")
}

fn no_server(name: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no server `{name}`"),
    )
    .remedy("`GET /v1/servers` lists those there are; `fprs deploy` makes one")
}

/// Losing to other writers for longer means that something writes in a loop.
const COMMIT_DEADLINE: Duration = Duration::from_secs(5);
/// How long an answer waits for the view to hold the commit.
const VIEW_DEADLINE: Duration = Duration::from_secs(2);
/// How long a write that lost waits for the winner's to arrive in the view.
const CONFLICT_WAIT: Duration = Duration::from_millis(100);
