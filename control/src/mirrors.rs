//! What proxies have seen of mirrors, for those who may see the mirrored servers. Served by a proxy for
//! itself, and by control for all of them.

use std::sync::Arc;

use axum::extract::Path;
use axum::routing::get;
use axum::{Extension, Json, Router};
use fprs_config::View;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::access::Who;
use crate::api::mirrors::{no_mirror, tenant};
use crate::problem::Problem;

/// The report of the mirror of that name; `None`: nothing is known of it. Must not block.
pub type MirrorReports = Arc<dyn Fn(String) -> BoxFuture<'static, Option<Value>> + Send + Sync>;

/// The route `/v1/mirrors/{name}/report`, for [`Admin::api`](crate::Admin::api).
pub fn mirror_reports(view: View, reports: MirrorReports) -> Router {
    Router::new().route(
        "/v1/mirrors/{name}/report",
        get(
            async move |Extension(who): Extension<Who>, Path(name): Path<String>| {
                report(&view, &reports, &who, name).await
            },
        ),
    )
}

async fn report(
    view: &View,
    reports: &MirrorReports,
    who: &Who,
    name: String,
) -> Result<Json<Value>, Problem> {
    let sees = {
        let snapshot = view.load();
        let mirror = snapshot.mirror(&name).filter(|mirror| !mirror.serves);
        mirror.is_some_and(|mirror| who.sees(tenant(&snapshot, mirror)))
    };
    if !sees {
        return Err(no_mirror(&name));
    }
    let report = reports(name.clone()).await;
    report.map(Json).ok_or_else(|| no_mirror(&name))
}
