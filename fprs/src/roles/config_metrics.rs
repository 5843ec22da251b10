//! What a process runs by, as metrics: revision, age and refusals of its config, so that a store
//! that went away or a record that was refused shows before anybody asks.

use std::sync::Arc;

use fprs_config::follow::{Status, StatusReport};
use prometheus::Registry;

use super::readings::{counter, gauge};
use crate::failure::Failure;

/// Its name, its help, and what it reads.
type Metric<V> = (&'static str, &'static str, fn(&StatusReport) -> V);

/// Registers the metrics of one followed store.
///
/// # Errors
/// The registry has them already.
pub(super) fn register(registry: &Registry, status: &Arc<Status>) -> Result<(), Failure> {
    let gauges: [Metric<f64>; 3] = [
        (
            "fprs_config_revision",
            "The store's revision in force.",
            |report| report.revision.0 as f64,
        ),
        (
            "fprs_config_age_seconds",
            "Since the store was last known to have nothing newer.",
            |report| report.age.unwrap_or_default().as_secs_f64(),
        ),
        (
            "fprs_config_refused_records",
            "Records whose last version is refused; their last good version is in force.",
            |report| report.refused.len() as f64,
        ),
    ];
    for (name, help, read) in gauges {
        let status = Arc::clone(status);
        gauge(registry, name, help, move || read(&status.report()))?;
    }
    let counters: [Metric<u64>; 2] = [
        (
            "fprs_config_refusals_total",
            "Records refused so far.",
            |report| report.refusals,
        ),
        (
            "fprs_config_panics_total",
            "Batches whose applying panicked; anything above 0 is a fault to report.",
            |report| report.panics,
        ),
    ];
    for (name, help, read) in counters {
        let status = Arc::clone(status);
        counter(registry, name, help, move || read(&status.report()))?;
    }
    Ok(())
}
