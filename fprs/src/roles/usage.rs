//! What a process counts of tenants' use: its metrics, its files, and what it answers about them.

use std::sync::Arc;

use axum::Router;
use fprs_config::View;
use fprs_control::{MonthReport, usage_report};
use prometheus::Registry;

use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::process::Parts;
use crate::roles::Autoscaling;
use crate::usage::{self, Meter, Metrics, Usage};

/// Begins to count, for a process of that data dir.
///
/// # Errors
/// The registry has such metrics already.
pub fn usage(dir: &DataDir, registry: &Registry, parts: &mut Parts) -> Result<Usage, Failure> {
    let usage = Usage::kept_in(dir.usage());
    let metrics = Metrics::new(usage.clone()).map_err(Failure::new)?;
    registry.register(Box::new(metrics)).map_err(Failure::new)?;
    parts.run("the keeper of usage", usage::keep(usage.clone()));
    Ok(usage)
}

/// Counts how long replicas run while this autoscaler decides.
pub fn meter(usage: &Usage, view: View, autoscaler: &Autoscaling, parts: &mut Parts) {
    let meter = Meter {
        usage: usage.clone(),
        view,
        leads: autoscaler.leads(),
    };
    parts.run("the meter of replicas", meter.run());
}

/// What it answers, for its process's admin port.
pub fn usage_api(usage: &Usage) -> Router {
    let usage = usage.clone();
    usage_report(Arc::new(move |month| {
        let (month, used) = usage.of_month(month)?;
        let used = used.iter().map(serde_json::to_value);
        Ok(MonthReport {
            month,
            used: used.collect::<Result<_, _>>()?,
        })
    }))
}

/// Writes what was counted last, before the process ends.
pub fn save_usage(usage: &Usage) {
    if let Err(error) = usage.save() {
        tracing::error!(%error, "what tenants used last can't be written");
    }
}
