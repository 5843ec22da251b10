//! One admin port: probes, metrics and the (empty) status page for everybody, everything else (JSON and
//! gRPC alike) behind the admin token. Every role serves one; control adds its own routes to it.

use std::fmt;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use fprs_config::View;
use fprs_config::follow::{Source, Status};
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tonic::service::Routes;

use crate::page;
use crate::problem::Problem;
use crate::token::{AdminToken, Guard, guard};

/// Whether this process serves, or one line saying what it still waits for. Asked at every
/// `/readyz`, so it must be cheap and must not block.
pub type ReadyCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What one admin port serves.
#[derive(Clone)]
pub struct Admin {
    /// What every route but the probes and metrics asks for.
    pub token: AdminToken,
    /// What `/metrics` prints.
    pub registry: Registry,
    /// What `/readyz` says.
    pub ready: ReadyCheck,
    /// What `/v1/config` shows: how the process's follower does.
    pub config: Arc<Status>,
    /// More JSON routes, with whole paths (`/v1/autoscaler/{name}`); a fallback of its own is
    /// dropped.
    pub api: Router,
    /// More gRPC services, e.g. the feed.
    pub grpc: Routes,
}

impl Admin {
    /// The routes of the port, for `axum::serve` (which speaks HTTP/1.1 and h2c).
    ///
    /// # Panics
    /// Where two of the merged routers claim the same path, like [`Router::merge`].
    pub fn router(self) -> Router {
        self.router_for(None)
    }

    /// As [`router`](Self::router), where the tokens of that view are good too.
    pub(crate) fn router_for(self, view: Option<View>) -> Router {
        let Self {
            token,
            registry,
            ready,
            config,
            api,
            grpc,
        } = self;
        let view_is_control = view.is_some();
        let confirming = Arc::clone(&config);
        let guarded = Router::new()
            .route(
                "/v1/config/confirm",
                post(move || confirm(Arc::clone(&confirming))),
            )
            .route("/v1/config", get(move || show_config(Arc::clone(&config))))
            .merge(api.reset_fallback())
            .merge(grpc.into_axum_router().reset_fallback())
            .fallback(no_such_path)
            .method_not_allowed_fallback(no_such_method)
            .layer(middleware::from_fn_with_state(Guard { token, view }, guard));
        Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(move || readiness(Arc::clone(&ready))))
            .route("/metrics", get(move || metrics(registry.clone())))
            .merge(page::router(view_is_control))
            .merge(guarded)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

async fn readiness(ready: ReadyCheck) -> Response {
    match ready() {
        Ok(()) => "ready\n".into_response(),
        Err(waiting) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, waiting).into_response(),
    }
}

async fn metrics(registry: Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the metrics can't be written: {error}"),
        )
        .into_response(),
    }
}

/// What is held is meant; answers what is in force now.
async fn confirm(config: Arc<Status>) -> Json<Value> {
    config.confirm();
    show_config(config).await
}

async fn show_config(config: Arc<Status>) -> Json<Value> {
    let report = config.report();
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|refusal| {
            json!({
                "key": refusal.key.to_string(),
                "revision": refusal.revision.0,
                "reason": refusal.reason,
            })
        })
        .collect();
    Json(json!({
        "revision": report.revision.0,
        "source": match report.source {
            Source::Nothing => "nothing",
            Source::LastGood => "last_good",
            Source::Store => "store",
        },
        "age_seconds": report.age.map(|age| age.as_secs_f64()),
        "refused": refused,
        "refusals": report.refusals,
        "panics": report.panics,
        "trouble": report.trouble,
        "cell": report.cell,
        "staged": report.staged.iter().map(|staged| json!({
            "record": staged.record,
            "set": staged.set,
            "revision": staged.written.0,
            "runs": if staged.here { "staged" } else { "promoted" },
        })).collect::<Vec<_>>(),
    }))
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at `{}`", uri.path()),
    )
    .remedy("the API starts at `/v1/servers`; a gRPC service may not be part of this process")
}

async fn no_such_method(method: http::Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("`{}` does not take {method}", uri.path()),
    )
    .remedy("the `allow` header names the methods it takes")
}
