//! What proxies have seen of mirrors, for those who may see the mirrored servers. Served by the process
//! that has seen it: a proxy, or a whole plane.

use std::sync::Arc;

use axum::extract::Path;
use axum::routing::get;
use axum::{Extension, Json, Router};
use fprs_config::View;
use serde_json::Value;

use crate::access::Who;
use crate::api::mirrors::{no_mirror, tenant};
use crate::problem::Problem;

/// The report of the mirror of that name; `None`: nothing is known of it. Must not block.
pub type MirrorReports = Arc<dyn Fn(&str) -> Option<Value> + Send + Sync>;

/// The route `/v1/mirrors/{name}/report`, for [`Admin::api`](crate::Admin::api).
pub fn mirror_reports(view: View, reports: MirrorReports) -> Router {
    Router::new().route(
        "/v1/mirrors/{name}/report",
        get(
            async move |Extension(who): Extension<Who>, Path(name): Path<String>| {
                report(&view, &reports, &who, &name)
            },
        ),
    )
}

fn report(
    view: &View,
    reports: &MirrorReports,
    who: &Who,
    name: &str,
) -> Result<Json<Value>, Problem> {
    let snapshot = view.load();
    snapshot
        .mirror(name)
        .filter(|mirror| who.sees(tenant(&snapshot, mirror)))
        .and_then(|_| reports(name))
        .map(Json)
        .ok_or_else(|| no_mirror(name))
}
