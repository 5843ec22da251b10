//! What the proxy counts. Each core writes counters of its own, which nobody else writes; they are
//! summed when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fprs_forward::Reason;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

/// One core's counters.
#[derive(Debug, Default)]
pub struct Core {
    /// Exchanges that ended whole, by the first digit of their status.
    complete: [AtomicU64; 6],
    /// Exchanges that the relay answered, since the program gave no answer.
    failed: AtomicU64,
    /// Exchanges that the client left.
    left: AtomicU64,
    /// Exchanges cut after their head because the upstream failed.
    cut: AtomicU64,
    /// What the proxy answered itself, by reason.
    answers: [AtomicU64; Reason::ALL.len()],
}

impl Core {
    /// An exchange ended whole with that status.
    pub fn complete(&self, status: http::StatusCode) {
        if let Some(counter) = self.complete.get(usize::from(status.as_u16() / 100)) {
            add(counter);
        }
    }

    /// The relay answered for its program.
    pub fn failed(&self) {
        add(&self.failed);
    }

    /// The client left an exchange.
    pub fn left(&self) {
        add(&self.left);
    }

    /// An exchange was cut after its head.
    pub fn cut(&self) {
        add(&self.cut);
    }

    /// The proxy answered itself.
    pub fn answered(&self, reason: Reason) {
        if let Some(counter) = self.answers.get(reason as usize) {
            add(counter);
        }
    }
}

/// One writer: a load and a store are enough, and cheaper than a locked add.
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// What a proxy's requests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Exchanges that ended whole, those that a relay answered too.
    pub complete: u64,
    /// Exchanges that the client left.
    pub left: u64,
    /// Exchanges cut after their head because the upstream failed.
    pub cut: u64,
    /// Requests the proxy answered itself.
    pub answers: u64,
}

/// All cores' counters, for a registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    cores: Arc<[Arc<Core>]>,
    exchanges: IntCounterVec,
    answers: IntCounterVec,
}

impl Metrics {
    /// Counters for so many cores.
    ///
    /// # Errors
    /// Never with these names; the library checks them anyway.
    pub fn new(cores: usize) -> prometheus::Result<Self> {
        let exchanges = Opts::new(
            "fprs_proxy_exchanges_total",
            "Exchanges with a replica that have ended, by how.",
        );
        let answers = Opts::new(
            "fprs_proxy_answers_total",
            "Requests the proxy answered itself, by reason.",
        );
        Ok(Self {
            cores: (0..cores.max(1)).map(|_| Arc::default()).collect(),
            exchanges: IntCounterVec::new(exchanges, &["end"])?,
            answers: IntCounterVec::new(answers, &["reason"])?,
        })
    }

    /// The counters of one core.
    pub fn core(&self, index: usize) -> Arc<Core> {
        self.cores.get(index).map(Arc::clone).unwrap_or_default()
    }

    /// What has ended so far.
    pub fn totals(&self) -> Totals {
        let classes = 0..6;
        let answers = 0..Reason::ALL.len();
        Totals {
            complete: classes
                .map(|class| self.sum(|core| core.complete.get(class)))
                .sum::<u64>()
                + self.sum(|core| Some(&core.failed)),
            left: self.sum(|core| Some(&core.left)),
            cut: self.sum(|core| Some(&core.cut)),
            answers: answers
                .map(|reason| self.sum(|core| core.answers.get(reason)))
                .sum(),
        }
    }

    fn sum(&self, counter: impl Fn(&Core) -> Option<&AtomicU64>) -> u64 {
        self.cores
            .iter()
            .filter_map(|core| counter(core))
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.exchanges.desc(), self.answers.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.exchanges.reset();
        self.answers.reset();
        for (class, label) in ["", "1xx", "2xx", "3xx", "4xx", "5xx"]
            .iter()
            .enumerate()
            .skip(2)
        {
            let count = self.sum(|core| core.complete.get(class));
            self.exchanges.with_label_values(&[label]).inc_by(count);
        }
        let failed = self.sum(|core| Some(&core.failed));
        let left = self.sum(|core| Some(&core.left));
        let cut = self.sum(|core| Some(&core.cut));
        for (label, count) in [("failed", failed), ("left", left), ("cut", cut)] {
            self.exchanges.with_label_values(&[label]).inc_by(count);
        }
        for reason in Reason::ALL {
            let count = self.sum(|core| core.answers.get(reason as usize));
            self.answers
                .with_label_values(&[reason.name()])
                .inc_by(count);
        }
        [self.exchanges.collect(), self.answers.collect()].concat()
    }
}
