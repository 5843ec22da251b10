//! What operators see of mirrors. Labels are bounded: mirrors beyond `MIRRORS` are summed up under an
//! empty name.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{Capturing, Ending};
use crate::proxy::Tables;

/// Mirrors with labels of their own, by name.
const MIRRORS: usize = 1_000;

/// The metrics, for a registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    tables: Arc<Tables>,
    requests: IntCounterVec,
    in_flight: IntGaugeVec,
    compared: IntCounterVec,
    captured: IntCounterVec,
    files: IntCounterVec,
    waiting: IntGauge,
    held: IntGauge,
    limit: IntGauge,
}

impl Metrics {
    /// Of the mirrors of those tables.
    ///
    /// # Errors
    /// Never with these names; the library checks them anyway.
    pub fn new(tables: &Arc<Tables>) -> prometheus::Result<Self> {
        let requests = Opts::new(
            "fprs_mirror_requests_total",
            "Requests that a mirror is for, by what became of their copies.",
        );
        let in_flight = Opts::new("fprs_mirror_in_flight", "Copies begun and not ended.");
        let compared = Opts::new(
            "fprs_mirror_compared_total",
            "Pairs of a server's answer and its shadow's, by whether they were the same.",
        );
        let captured = Opts::new(
            "fprs_mirror_captured_total",
            "Exchanges that were to be written down, by what became of that.",
        );
        let files = Opts::new(
            "fprs_mirror_capture_files_total",
            "Closed files of captures, by what became of them; one that fails is tried again.",
        );
        Ok(Self {
            tables: Arc::clone(tables),
            requests: IntCounterVec::new(requests, &["mirror", "end"])?,
            in_flight: IntGaugeVec::new(in_flight, &["mirror"])?,
            compared: IntCounterVec::new(compared, &["mirror", "result"])?,
            captured: IntCounterVec::new(captured, &["mirror", "result"])?,
            files: IntCounterVec::new(files, &["result"])?,
            waiting: IntGauge::new(
                "fprs_mirror_capture_files_waiting",
                "Closed files of captures that wait to be uploaded.",
            )?,
            held: IntGauge::new(
                "fprs_mirror_held_bytes",
                "Bytes that copies of requests hold in memory.",
            )?,
            limit: IntGauge::new(
                "fprs_mirror_limit_bytes",
                "Bytes that copies of requests may hold in memory.",
            )?,
        })
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.requests.desc(),
            self.in_flight.desc(),
            self.compared.desc(),
            self.captured.desc(),
            self.files.desc(),
            self.waiting.desc(),
            self.held.desc(),
            self.limit.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.requests.reset();
        self.in_flight.reset();
        self.compared.reset();
        self.captured.reset();
        self.files.reset();
        let mirrors = self.tables.mirrors();
        for (result, count) in mirrors.spool().counts() {
            self.files.with_label_values(&[result]).inc_by(count);
        }
        let waiting = i64::try_from(mirrors.spool().waiting());
        self.waiting.set(waiting.unwrap_or(i64::MAX));
        for (place, (name, tally)) in mirrors.all().iter().enumerate() {
            let name = if place < MIRRORS { name } else { "" };
            self.in_flight
                .with_label_values(&[name])
                .add(i64::from(tally.in_flight()));
            for (result, count) in tally.findings.counts() {
                if count > 0 {
                    self.compared
                        .with_label_values(&[name, result])
                        .inc_by(count);
                }
            }
            for how in Capturing::ALL {
                let count = tally.captures(how);
                if count > 0 {
                    self.captured
                        .with_label_values(&[name, how.name()])
                        .inc_by(count);
                }
            }
            for ending in Ending::ALL {
                let count = tally.ended(ending);
                if count > 0 {
                    self.requests
                        .with_label_values(&[name, ending.name()])
                        .inc_by(count);
                }
            }
        }
        let bytes = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.held.set(bytes(mirrors.process().held()));
        self.limit.set(bytes(mirrors.process().limit()));
        [
            self.requests.collect(),
            self.in_flight.collect(),
            self.compared.collect(),
            self.captured.collect(),
            self.files.collect(),
            self.waiting.collect(),
            self.held.collect(),
            self.limit.collect(),
        ]
        .concat()
    }
}
