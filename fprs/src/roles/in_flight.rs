//! Exchanges in flight as each role counts them, read when somebody asks. Between requests they are
//! all the same, and equal to what the programs see.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};

use crate::failure::Failure;

/// Registers a gauge of that name that is read anew each time.
///
/// # Errors
/// The name is taken.
pub(super) fn register(
    registry: &Registry,
    name: &str,
    read: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<(), Failure> {
    let gauge = IntGauge::new(name, "Exchanges begun and not ended.").map_err(Failure::new)?;
    let in_flight = InFlight { gauge, read };
    registry.register(Box::new(in_flight)).map_err(Failure::new)
}

struct InFlight<F> {
    gauge: IntGauge,
    read: F,
}

impl<F: Fn() -> u64 + Send + Sync> Collector for InFlight<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge
            .set(i64::try_from((self.read)()).unwrap_or(i64::MAX));
        self.gauge.collect()
    }
}
