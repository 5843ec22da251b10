//! What a process runs by, as metrics: revision, age and refusals of its config, so that a store
//! that went away or a record that was refused shows before anybody asks.

use std::sync::Arc;

use fprs_config::follow::{Status, StatusReport};
use prometheus::{Histogram, HistogramOpts, Registry};

use super::readings::{counter, gauge};
use crate::failure::Failure;

/// Its name, its help, and what it reads.
type Metric<V> = (&'static str, &'static str, fn(&StatusReport) -> V);

/// Seconds: from what one control process beside its followers takes to what an operator must see.
const LAGS: [f64; 14] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// Registers how long after their commit changes come in force.
///
/// # Errors
/// The registry has it already.
pub(super) fn lag(registry: &Registry) -> Result<Histogram, Failure> {
    let options = HistogramOpts::new(
        "fprs_config_lag_seconds",
        "From a commit to its being in force here, by the clocks of both.",
    );
    let lag = Histogram::with_opts(options.buckets(LAGS.to_vec())).map_err(Failure::new)?;
    registry
        .register(Box::new(lag.clone()))
        .map_err(Failure::new)?;
    Ok(lag)
}

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
