//! Metrics that are read when somebody asks: what is counted somewhere already is not counted twice.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, PullingGauge, Registry};

use crate::failure::Failure;

/// Registers a gauge.
///
/// # Errors
/// The name is taken.
pub(super) fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    read: impl Fn() -> f64 + Send + Sync + 'static,
) -> Result<(), Failure> {
    let gauge = PullingGauge::new(name, help, Box::new(read)).map_err(Failure::new)?;
    registry.register(Box::new(gauge)).map_err(Failure::new)
}

/// Registers a counter of what `read` has counted so far.
///
/// # Errors
/// The name is taken.
pub(super) fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    read: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<(), Failure> {
    let counter = IntCounter::new(name, help).map_err(Failure::new)?;
    let counted = Counted { counter, read };
    registry.register(Box::new(counted)).map_err(Failure::new)
}

struct Counted<F> {
    counter: IntCounter,
    read: F,
}

impl<F: Fn() -> u64 + Send + Sync> Collector for Counted<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.counter.reset();
        self.counter.inc_by((self.read)());
        self.counter.collect()
    }
}
