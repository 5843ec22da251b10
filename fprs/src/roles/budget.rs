//! What the exchanges of a process may hold in memory, and its metrics; one for all roles in it.

use std::sync::Arc;

use fprs_forward::Budget;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Opts, Registry};

use crate::failure::Failure;

/// A budget of so many bytes whose metrics are in the registry.
///
/// # Errors
/// The registry has one already.
pub(crate) fn budget(limit: usize, registry: &Registry) -> Result<Arc<Budget>, Failure> {
    let budget = Budget::new(limit);
    let metrics = Metrics::new(Arc::clone(&budget)).map_err(Failure::new)?;
    registry.register(Box::new(metrics)).map_err(Failure::new)?;
    Ok(budget)
}

struct Metrics {
    budget: Arc<Budget>,
    held: IntGauge,
    limit: IntGauge,
    shed: IntCounter,
}

impl Metrics {
    fn new(budget: Arc<Budget>) -> prometheus::Result<Self> {
        let held = Opts::new(
            "fprs_buffered_bytes",
            "Bytes held in memory of exchanges that can't go on.",
        );
        let limit = Opts::new(
            "fprs_buffer_limit_bytes",
            "Bytes of exchanges that may be held in memory.",
        );
        let shed = Opts::new(
            "fprs_exchanges_shed_total",
            "Exchanges ended because too much was held in memory.",
        );
        Ok(Self {
            budget,
            held: IntGauge::with_opts(held)?,
            limit: IntGauge::with_opts(limit)?,
            shed: IntCounter::with_opts(shed)?,
        })
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.held.desc(), self.limit.desc(), self.shed.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let bytes = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.held.set(bytes(self.budget.held()));
        self.limit.set(bytes(self.budget.limit()));
        self.shed.reset();
        self.shed.inc_by(self.budget.shed());
        [
            self.held.collect(),
            self.limit.collect(),
            self.shed.collect(),
        ]
        .concat()
    }
}
