//! What a relay counts for operators.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::program::ending::Cause;

/// The relay's metrics, all named `fprs_relay_…`.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    running: IntGauge,
    starts: IntCounter,
    failures: IntCounterVec,
    launch: Histogram,
    startup: Histogram,
    connected: IntGauge,
}

/// From a program that does nothing to an engine that loads a model, in seconds.
const STARTUP_BUCKETS: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];
/// The relay's own part of a start, in seconds.
const LAUNCH_BUCKETS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0];

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// One of the names is taken in that registry.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            running: IntGauge::new(
                "fprs_relay_programs_running",
                "Replicas on this worker from their start to nothing left of them",
            )?,
            starts: IntCounter::new(
                "fprs_relay_starts_total",
                "Replicas this relay was told to start",
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "fprs_relay_failures_total",
                    "Replicas that never got ready or died unasked",
                ),
                &["cause"],
            )?,
            launch: Histogram::with_opts(
                HistogramOpts::new(
                    "fprs_relay_launch_seconds",
                    "From being told to start a replica to its process running",
                )
                .buckets(LAUNCH_BUCKETS.to_vec()),
            )?,
            startup: Histogram::with_opts(
                HistogramOpts::new(
                    "fprs_relay_startup_seconds",
                    "From being told to start a replica to its port accepting",
                )
                .buckets(STARTUP_BUCKETS.to_vec()),
            )?,
            connected: IntGauge::new(
                "fprs_relay_control_connected",
                "1 while a control process has accepted this worker",
            )?,
        };
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.starts.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.launch.clone()))?;
        registry.register(Box::new(metrics.startup.clone()))?;
        registry.register(Box::new(metrics.connected.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn started(&self) {
        self.starts.inc();
        self.running.inc();
    }

    pub(crate) fn launched(&self, after: Duration) {
        self.launch.observe(after.as_secs_f64());
    }

    pub(crate) fn ready(&self, after: Duration) {
        self.startup.observe(after.as_secs_f64());
    }

    pub(crate) fn failed(&self, cause: Cause) {
        self.failures.with_label_values(&[cause.label()]).inc();
    }

    pub(crate) fn ended(&self) {
        self.running.dec();
    }

    pub(crate) fn connected(&self, connected: bool) {
        self.connected.set(connected.into());
    }
}
