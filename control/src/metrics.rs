//! What control counts. Names and labels are a promise to dashboards.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::commit::{Note, Outcome};

/// Control's metrics. Clones share their values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) workers_attached: IntGauge,
    workers_lost: IntCounter,
    replicas_ready: IntCounter,
    replicas_failed: IntCounter,
    startup: Histogram,
    commits: IntCounterVec,
}

impl Metrics {
    /// Makes them and adds them to the registry.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            workers_attached: IntGauge::new(
                "fprs_control_workers_attached",
                "Workers whose channel is open.",
            )?,
            workers_lost: IntCounter::new(
                "fprs_control_workers_lost_total",
                "Workers that were silent for their lease.",
            )?,
            replicas_ready: IntCounter::new(
                "fprs_control_replicas_ready_total",
                "Replicas that became ready.",
            )?,
            replicas_failed: IntCounter::new(
                "fprs_control_replicas_failed_total",
                "Replicas that never became ready or died unasked.",
            )?,
            startup: Histogram::with_opts(
                HistogramOpts::new(
                    "fprs_control_replica_startup_seconds",
                    "From the start of a program to its accepting port.",
                )
                .buckets(STARTUP_BUCKETS.to_vec()),
            )?,
            commits: IntCounterVec::new(
                Opts::new(
                    "fprs_control_commits_total",
                    "Commits of the driver by outcome: done, conflict, refused, failed.",
                ),
                &["outcome"],
            )?,
        };
        registry.register(Box::new(metrics.workers_attached.clone()))?;
        registry.register(Box::new(metrics.workers_lost.clone()))?;
        registry.register(Box::new(metrics.replicas_ready.clone()))?;
        registry.register(Box::new(metrics.replicas_failed.clone()))?;
        registry.register(Box::new(metrics.startup.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        Ok(metrics)
    }

    /// Counts what came of committing.
    pub(crate) fn count(&self, outcome: &Outcome) {
        let commits = |label: &str, count: usize| {
            self.commits
                .with_label_values(&[label])
                .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        };
        commits("done", usize::from(outcome.revision.is_some()));
        commits("conflict", outcome.conflicts);
        commits("refused", outcome.refused.len());
        commits("failed", usize::from(outcome.failed.is_some()));
        for note in &outcome.notes {
            match note {
                Note::Failed { .. } => self.replicas_failed.inc(),
                Note::Ready { startup_ms, .. } => {
                    self.replicas_ready.inc();
                    let startup = std::time::Duration::from_millis(*startup_ms);
                    self.startup.observe(startup.as_secs_f64());
                }
                Note::WorkerArrived { .. } => {}
                Note::WorkerLost { .. } => self.workers_lost.inc(),
            }
        }
    }
}

/// Seconds: from a script's start to a large model's.
const STARTUP_BUCKETS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];
