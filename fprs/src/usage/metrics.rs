//! The same for Prometheus, bounded: the first servers that were used have series of their own, the
//! others one together, which never shrinks, since a server never moves between the two.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Opts};

use super::{OTHERS, OfServer, Usage, Used};

/// Servers with series of their own, in one process.
const SERVERS: usize = 1_000;

/// What tenants use, for a registry.
#[derive(Debug)]
pub struct Metrics {
    usage: Usage,
    exchanges: CounterVec,
    received: CounterVec,
    sent: CounterVec,
    replicas: CounterVec,
}

impl Metrics {
    /// Of that usage.
    ///
    /// # Errors
    /// Never with these names; the library checks them anyway.
    pub fn new(usage: Usage) -> prometheus::Result<Self> {
        let counter =
            |name: &str, help: &str| CounterVec::new(Opts::new(name, help), &["tenant", "server"]);
        Ok(Self {
            usage,
            exchanges: counter(
                "fprs_usage_exchanges_total",
                "Exchanges with replicas that have ended.",
            )?,
            received: counter(
                "fprs_usage_received_bytes_total",
                "Bytes of bodies that went to programs.",
            )?,
            sent: counter(
                "fprs_usage_sent_bytes_total",
                "Bytes of bodies that came from programs.",
            )?,
            replicas: counter(
                "fprs_usage_replica_seconds_total",
                "Seconds that replicas ran, all together.",
            )?,
        })
    }

    const fn counters(&self) -> [&CounterVec; 4] {
        [&self.exchanges, &self.received, &self.sent, &self.replicas]
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        let counters = self.counters().into_iter();
        counters.flat_map(|counter| counter.desc()).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
    fn collect(&self) -> Vec<MetricFamily> {
        for counter in self.counters() {
            counter.reset();
        }
        for of in bounded(self.usage.since_start(), SERVERS) {
            let Used {
                exchanges,
                received_bytes,
                sent_bytes,
                replica_ms,
            } = of.used;
            // A proxy counts no replicas, and an autoscaler nothing else.
            let (proxied, ran) = (exchanges > 0, replica_ms > 0);
            let values = [
                (proxied, exchanges as f64),
                (proxied, received_bytes as f64),
                (proxied, sent_bytes as f64),
                (ran, replica_ms as f64 / 1_000.0),
            ];
            for (counter, (shown, value)) in self.counters().into_iter().zip(values) {
                if shown {
                    let labels = [&*of.tenant, &*of.server];
                    counter.with_label_values(&labels).inc_by(value);
                }
            }
        }
        let counters = self.counters().into_iter();
        counters.flat_map(|counter| counter.collect()).collect()
    }
}

/// The first so many, and the rest in one.
fn bounded(mut all: Vec<OfServer>, most: usize) -> Vec<OfServer> {
    let rest = all.split_off(all.len().min(most));
    if let Some(used) = rest.into_iter().map(|of| of.used).reduce(Used::plus) {
        let name: Arc<str> = OTHERS.into();
        all.push(OfServer {
            tenant: Arc::clone(&name),
            server: name,
            used,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_servers_there_are_series_are_bounded_and_nothing_is_left_out() {
        let of = |number: u64| OfServer {
            tenant: "t".into(),
            server: format!("s{number}").into(),
            used: Used {
                exchanges: number,
                ..Used::default()
            },
        };
        let shown = bounded((1..=5).map(of).collect(), 3);
        let shown: Vec<_> = shown
            .iter()
            .map(|of| (&*of.server, of.used.exchanges))
            .collect();
        assert_eq!(shown, [("s1", 1), ("s2", 2), ("s3", 3), ("*", 9)]);
    }
}
