//! What tenants used, for those who may see it. Served by the process that has counted it: a proxy, an
//! autoscaler, or a whole plane.

use std::io;
use std::sync::Arc;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Who;
use crate::problem::Problem;

/// What a month's report says; `None`: of this month. May wait for the disk.
pub type UsageReports = Arc<dyn Fn(Option<&str>) -> io::Result<MonthReport> + Send + Sync>;

/// What every process of a data dir used in a month.
#[derive(Clone, Debug, Serialize)]
pub struct MonthReport {
    /// `2026-11`, UTC.
    pub month: String,
    /// By tenant and server; each has at least `tenant`.
    pub used: Vec<Value>,
}

/// What may follow the path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    month: Option<String>,
    tenant: Option<String>,
}

/// The route `/v1/usage`, for [`Admin::api`](crate::Admin::api).
pub fn usage_report(reports: UsageReports) -> Router {
    Router::new().route(
        "/v1/usage",
        get(
            async move |Extension(who): Extension<Who>,
                        asked: Result<Query<Asked>, QueryRejection>| {
                report(reports, &who, asked).await
            },
        ),
    )
}

async fn report(
    reports: UsageReports,
    who: &Who,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<MonthReport>, Problem> {
    let Query(Asked { month, tenant }) = asked.map_err(|rejection| {
        Problem::new(rejection.status(), rejection.body_text())
            .remedy("the parameters are `month=2026-11` and `tenant=NAME`")
    })?;
    let read = tokio::task::spawn_blocking(move || reports(month.as_deref())).await;
    let mut report = read
        .map_err(io::Error::other)
        .flatten()
        .map_err(unreadable)?;
    report.used.retain(|used| {
        let of = used.get("tenant").and_then(Value::as_str);
        of.is_some_and(|of| who.sees(of) && tenant.as_ref().is_none_or(|tenant| tenant == of))
    });
    Ok(Json(report))
}

fn unreadable(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::InvalidInput => Problem::new(StatusCode::BAD_REQUEST, error.to_string())
            .remedy("give one, or none for this month"),
        _ => {
            let detail = format!("what was used can't be read or written: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
                .remedy("nothing is lost that was written; see to `usage` in the data dir")
        }
    }
}
