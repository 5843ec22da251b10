//! What operators see of splits. Labels are bounded: splits beyond `SPLITS` are summed up under an empty
//! name.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use super::Went;
use crate::proxy::Tables;

/// Splits with labels of their own, by name.
const SPLITS: usize = 1_000;

/// The metrics, for a registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    tables: Arc<Tables>,
    requests: IntCounterVec,
}

impl Metrics {
    /// Of the splits of those tables.
    ///
    /// # Errors
    /// Never with these names; the library checks them anyway.
    pub fn new(tables: &Arc<Tables>) -> prometheus::Result<Self> {
        let requests = Opts::new(
            "fprs_split_requests_total",
            "Requests that a split was asked about, by where they went.",
        );
        Ok(Self {
            tables: Arc::clone(tables),
            requests: IntCounterVec::new(requests, &["split", "went"])?,
        })
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        self.requests.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.requests.reset();
        for (place, (name, tally)) in self.tables.splits().all().iter().enumerate() {
            let name = if place < SPLITS { name } else { "" };
            for went in Went::ALL {
                let count = tally.went(went);
                if count > 0 {
                    let requests = self.requests.with_label_values(&[name, went.name()]);
                    requests.inc_by(count);
                }
            }
        }
        self.requests.collect()
    }
}
