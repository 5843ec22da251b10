//! What a proxy has in hand now, for operators: read when somebody asks.

use fprs_forward::Shards;
use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::proxy::Proxy;

/// Open connections and exchanges in flight, over all cores.
#[derive(Clone, Debug)]
pub(super) struct LoadMetrics {
    shards: Shards<Proxy>,
    connections: IntGauge,
    in_flight: IntGauge,
}

impl LoadMetrics {
    /// The load of those cores.
    ///
    /// # Errors
    /// Never with these names; the library checks them anyway.
    pub(super) fn new(shards: Shards<Proxy>) -> prometheus::Result<Self> {
        Ok(Self {
            shards,
            connections: IntGauge::new(
                "fprs_proxy_connections",
                "Connections of clients that are open.",
            )?,
            in_flight: IntGauge::new(
                "fprs_proxy_in_flight",
                "Exchanges with clients begun and not ended.",
            )?,
        })
    }
}

impl Collector for LoadMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.connections.desc(), self.in_flight.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.connections.set(gauge(self.shards.connections()));
        self.in_flight.set(gauge(self.shards.exchanges()));
        [self.connections.collect(), self.in_flight.collect()].concat()
    }
}
