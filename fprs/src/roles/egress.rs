//! What a process of control tells of the egress beside its plane, for the status page: what every gateway
//! says, asked again when the last look is old.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::get;
use axum::{Json, Router};
use fprs_config::View;
use fprs_control::problem::Problem;
use fprs_egress::overview::{GatewayReport, Overview};
use http::StatusCode;
use tokio::sync::Mutex;

use crate::failure::Failure;

/// How old what is told may be, however many ask.
const OLD: Duration = Duration::from_secs(2);

/// The gateways' last words.
type Last = Mutex<Option<(Instant, Vec<GatewayReport>)>>;

/// The route `/v1/egress`, of the gateways in those settings and in pools of the store; nothing is told
/// where no egress is named.
///
/// # Errors
/// Its settings are wrong.
pub fn egress_api(settings: Option<&Path>, view: View) -> Result<Router, Failure> {
    let overview = settings.map(Overview::of).transpose();
    let overview = overview.map_err(|error| Failure::new(format!("`--egress`: {error}")))?;
    let last = Arc::<Last>::default();
    let show = async move || match overview {
        Some(overview) => show(&overview, &view, &last).await,
        None => Ok(Json(Vec::new())),
    };
    Ok(Router::new().route("/v1/egress", get(show)))
}

async fn show(
    overview: &Overview,
    view: &View,
    last: &Last,
) -> Result<Json<Vec<GatewayReport>>, Problem> {
    // Whoever comes meanwhile waits for the same look, which has deadlines of its own.
    let mut last = last.lock().await;
    if let Some((at, reports)) = &*last
        && at.elapsed() < OLD
    {
        return Ok(Json(reports.clone()));
    }
    let reports = overview.look(&view.load()).await.map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            .remedy("correct what `--egress` names; it is read again each time")
    })?;
    *last = Some((Instant::now(), reports.clone()));
    Ok(Json(reports))
}
