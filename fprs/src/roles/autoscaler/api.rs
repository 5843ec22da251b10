//! What the autoscaler answers over HTTP: the last decisions about a server, and every one from now
//! on.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use fprs_autoscaler::{Autoscaler, Explained};
use fprs_control::problem::Problem;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;

/// The routes, without a check of who asks.
pub(super) fn router(autoscaler: Autoscaler) -> Router {
    Router::new()
        .route("/v1/autoscaler/servers/{name}/decisions", get(decisions))
        .route("/v1/autoscaler/servers/{name}/trace", get(trace))
        .with_state(autoscaler)
}

/// The oldest first.
async fn decisions(
    State(autoscaler): State<Autoscaler>,
    Path(name): Path<String>,
) -> Result<Json<Vec<Explained>>, Problem> {
    leads(&autoscaler)?;
    let decisions = autoscaler.explain(&name);
    if decisions.is_empty() {
        let detail = format!("nothing was decided about `{name}` since this autoscaler leads");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail)
            .remedy("a server at rest is not looked at; `fprs servers` lists those there are"));
    }
    Ok(Json(decisions))
}

/// One JSON object a line, until the reader goes.
async fn trace(
    State(autoscaler): State<Autoscaler>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    leads(&autoscaler)?;
    let lines = autoscaler.record(&name).ok_or_else(|| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many recordings go on already",
        )
        .remedy("end one of them")
    })?;
    let lines = stream::unfold(lines, async |mut lines| Some((lines.recv().await?, lines)));
    let lines = lines.map(|line| {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        Ok::<_, serde_json::Error>(Bytes::from(text))
    });
    let body = Body::from_stream(lines);
    Ok(([(CONTENT_TYPE, "application/jsonl")], body).into_response())
}

fn leads(autoscaler: &Autoscaler) -> Result<(), Problem> {
    if autoscaler.leads() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "this autoscaler stands by and decides nothing",
    )
    .remedy("ask control at `/v1/autoscaler` which one decides"))
}
