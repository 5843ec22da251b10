//! What a process runs by, as metrics: revision, age and refusals of its config, so that a store
//! that went away or a record that was refused shows before anybody asks.

use std::sync::Arc;

use fprs_config::follow::Status;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge};

/// The metrics of one followed store.
#[derive(Debug)]
pub(super) struct ConfigMetrics {
    status: Arc<Status>,
    revision: IntGauge,
    age: Gauge,
    refused: IntGauge,
    refusals: IntCounter,
    panics: IntCounter,
}

impl ConfigMetrics {
    /// Metrics of that following.
    ///
    /// # Errors
    /// Never with these names; the library checks them anyway.
    pub(super) fn new(status: Arc<Status>) -> prometheus::Result<Self> {
        Ok(Self {
            status,
            revision: IntGauge::new("fprs_config_revision", "The store's revision in force.")?,
            age: Gauge::new(
                "fprs_config_age_seconds",
                "Since the store was last known to have nothing newer.",
            )?,
            refused: IntGauge::new(
                "fprs_config_refused_records",
                "Records whose last version is refused; their last good version is in force.",
            )?,
            refusals: IntCounter::new("fprs_config_refusals_total", "Records refused so far.")?,
            panics: IntCounter::new(
                "fprs_config_panics_total",
                "Batches whose applying panicked; anything above 0 is a fault to report.",
            )?,
        })
    }

    fn of(counter: &IntCounter, count: u64) -> Vec<MetricFamily> {
        counter.reset();
        counter.inc_by(count);
        counter.collect()
    }
}

impl Collector for ConfigMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let families: [&dyn Collector; 5] = [
            &self.revision,
            &self.age,
            &self.refused,
            &self.refusals,
            &self.panics,
        ];
        families.iter().flat_map(|family| family.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let report = self.status.report();
        self.revision
            .set(i64::try_from(report.revision.0).unwrap_or(i64::MAX));
        self.age.set(report.age.unwrap_or_default().as_secs_f64());
        self.refused
            .set(i64::try_from(report.refused.len()).unwrap_or(i64::MAX));
        [
            self.revision.collect(),
            self.age.collect(),
            self.refused.collect(),
            Self::of(&self.refusals, report.refusals),
            Self::of(&self.panics, report.panics),
        ]
        .concat()
    }
}
