//! Sends the spans of this process to a collector, OTLP over gRPC, twice a second. A collector that
//! is slow or gone costs spans, which are counted, and nothing else.

mod collector;
mod encode;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fprs_forward::trace::{Record, Traces};
use prometheus::Registry;
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::failure::Failure;
use crate::process::Parts;
use crate::settings;

use self::collector::Collector;
use super::readings;

/// Between two sendings.
const EVERY: Duration = Duration::from_millis(500);

/// For one message to be taken. Spans that come meanwhile wait in their cores, as far as there is room.
const WITHIN: Duration = Duration::from_secs(5);

/// For the last spans of a process that ends.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// Requests in one message: a quarter of the 4 MiB that collectors take.
const REQUESTS: usize = 512;

/// What traces in this process.
#[derive(Clone, Debug)]
pub struct Tracing {
    traces: Traces,
    exporter: Arc<Mutex<Exporter>>,
}

#[derive(Debug)]
struct Exporter {
    collector: Collector,
    traces: Traces,
    sent: Arc<AtomicU64>,
    /// The last sending failed, and that was said.
    fails: bool,
}

impl Tracing {
    /// Begins to send, where somebody wants spans; `None`: nobody does.
    ///
    /// # Errors
    /// The collector can't be one, or the metrics are registered already.
    pub fn start(
        wanted: Option<&settings::Tracing>,
        registry: &Registry,
        parts: &mut Parts,
    ) -> Result<Option<Self>, Failure> {
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        let collector = Collector::new(wanted, WITHIN)?;
        let (traces, sent) = (Traces::new(wanted.sample), Arc::<AtomicU64>::default());
        let (told, dropped) = (Arc::clone(&sent), traces.clone());
        readings::counter(
            registry,
            "fprs_trace_spans_exported_total",
            "Spans that the collector took.",
            move || told.load(Ordering::Relaxed),
        )?;
        readings::counter(
            registry,
            "fprs_trace_spans_dropped_total",
            "Spans that nobody will see: there was no room for them, or the collector did not take them.",
            move || dropped.dropped(),
        )?;
        let exporter = Arc::new(Mutex::new(Exporter {
            collector,
            traces: traces.clone(),
            sent,
            fails: false,
        }));
        let sends = Arc::clone(&exporter);
        parts.run("the sender of spans", async move {
            let mut every = interval(EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                sends.lock().await.send().await;
            }
        });
        Ok(Some(Self { traces, exporter }))
    }

    /// What cores trace into.
    pub const fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Sends what there is, before the process ends; not for long.
    pub async fn flush(&self) {
        let send = async { self.exporter.lock().await.send().await };
        if timeout(LAST_WITHIN, send).await.is_err() {
            tracing::warn!("the collector took too long: the last spans are lost");
        }
    }
}

impl Exporter {
    async fn send(&mut self) {
        let mut taken = self.traces.take();
        while !taken.is_empty() {
            let rest = taken.split_off(taken.len().min(REQUESTS));
            self.send_some(&taken).await;
            taken = rest;
        }
    }

    async fn send_some(&mut self, records: &[Record]) {
        let spans: u64 = records.iter().map(Record::spans).sum();
        let message = encode::request(records);
        let answered = timeout(WITHIN, self.collector.take(message)).await;
        let rejected = match answered {
            Ok(Ok(partly)) => {
                self.fails = false;
                if partly.rejected_spans > 0 {
                    tracing::warn!(
                        said = partly.error_message,
                        "the collector refuses some spans"
                    );
                }
                u64::try_from(partly.rejected_spans)
                    .unwrap_or_default()
                    .min(spans)
            }
            Ok(Err(why)) => {
                self.failed(&why);
                spans
            }
            Err(_) => {
                self.failed("it does not answer");
                spans
            }
        };
        self.traces.drop_spans(rejected);
        self.sent.fetch_add(spans - rejected, Ordering::Relaxed);
    }

    /// Said once until it works again.
    fn failed(&mut self, why: &str) {
        if !std::mem::replace(&mut self.fails, true) {
            tracing::warn!(
                collector = self.collector.url(),
                why,
                "spans are lost: the collector does not take them"
            );
        }
    }
}
