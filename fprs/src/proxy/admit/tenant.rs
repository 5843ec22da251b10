//! One tenant at this proxy: its limits as of its record and what it uses of them. Every route of its
//! servers has the same one, and what was counted survives every edit around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use fprs_config::Limits;
use fprs_forward::upstream::dials::Dials;
use fprs_forward::{Answer, Holder, Reason};

use crate::proxy::clock;

use super::rate::{Meter, Rate};
use super::stripes::Stripes;

/// What a request can be refused for; the label `limit` of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests per second.
    RequestsPerSecond,
    /// Exchanges in flight.
    ConcurrentExchanges,
    /// Exchanges in flight on one connection of a client.
    StreamsPerConnection,
    /// Bytes held.
    BufferedBytes,
    /// Its share of a core that has too much to do.
    FairShare,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 5] = [
        Self::RequestsPerSecond,
        Self::ConcurrentExchanges,
        Self::StreamsPerConnection,
        Self::BufferedBytes,
        Self::FairShare,
    ];

    /// Its name in metrics: that of its field in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests_per_second",
            Self::ConcurrentExchanges => "concurrent_exchanges",
            Self::StreamsPerConnection => "streams_per_connection",
            Self::BufferedBytes => "buffered_bytes",
            Self::FairShare => "fair_share",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "the tenant's requests per second are used up; slow down",
            Self::ConcurrentExchanges => {
                "the tenant has as many requests in flight as it may; wait for one to end"
            }
            Self::StreamsPerConnection => {
                "the tenant has as many requests in flight on this connection as it may"
            }
            Self::BufferedBytes => {
                "the tenant's requests hold as many bytes as they may; read their responses"
            }
            Self::FairShare => "too much load, and the tenant asks for more than its share of it",
        }
    }
}

/// A request that is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub limit: Limit,
    /// In how many seconds another try may be worth it, at least.
    pub retry_after: u64,
}

impl Refusal {
    /// One that a moment may change; a second is the least that can be said.
    pub(super) const fn for_now(limit: Limit) -> Self {
        Self {
            limit,
            retry_after: 1,
        }
    }

    /// What the caller is told.
    pub const fn answer(self) -> Answer {
        let reason = match self.limit {
            Limit::FairShare => Reason::Overloaded,
            Limit::RequestsPerSecond
            | Limit::ConcurrentExchanges
            | Limit::StreamsPerConnection
            | Limit::BufferedBytes => Reason::TenantLimit,
        };
        Answer::new(reason)
            .detail(self.limit.text())
            .retry_after(self.retry_after)
    }
}

/// A tenant.
#[derive(Debug)]
pub struct Tenant {
    name: Arc<str>,
    /// Tells it from others where a name would be long.
    pub(super) number: u32,
    meter: Meter,
    /// `u32::MAX`: none.
    exchanges: AtomicU32,
    /// `u32::MAX`: none.
    pub(super) streams: AtomicU32,
    weight: AtomicU32,
    limited: AtomicBool,
    in_flight: Stripes,
    holder: Arc<Holder>,
    dials: Arc<Dials>,
    refused: [AtomicU64; Limit::ALL.len()],
}

impl Tenant {
    /// A tenant without limits.
    pub(super) fn new(name: &Arc<str>, number: u32) -> Self {
        Self {
            name: Arc::clone(name),
            number,
            meter: Meter::default(),
            exchanges: AtomicU32::new(u32::MAX),
            streams: AtomicU32::new(u32::MAX),
            weight: AtomicU32::new(1),
            limited: AtomicBool::new(false),
            in_flight: Stripes::default(),
            holder: Holder::new(name),
            dials: Arc::default(),
            refused: Default::default(),
        }
    }

    /// Whose servers don't exist.
    pub fn nobody() -> Arc<Self> {
        Arc::new(Self::new(&"".into(), u32::MAX))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The account of the bytes it holds.
    pub const fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Its dials.
    pub const fn dials(&self) -> &Arc<Dials> {
        &self.dials
    }

    /// Its share beside others.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Its record has limits.
    pub fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// Its exchanges in flight through this proxy.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.sum()
    }

    /// Requests it was refused so far for that limit.
    pub fn refused(&self, limit: Limit) -> u64 {
        self.refused
            .get(limit as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Holds it to those limits from now on.
    pub(super) fn set(&self, limits: &Limits, weight: u32, now_ns: u64) {
        let rate = limits
            .requests_per_second
            .map(|per_second| Rate::new(per_second, limits.burst));
        self.meter.set(rate.unwrap_or_default(), now_ns);
        for (place, limit) in [
            (&self.exchanges, limits.concurrent_exchanges),
            (&self.streams, limits.streams_per_connection),
        ] {
            place.store(limit.unwrap_or(u32::MAX), Ordering::Relaxed);
        }
        self.weight.store(weight, Ordering::Relaxed);
        let limited = *limits != Limits::default();
        self.limited.store(limited, Ordering::Relaxed);
        let bytes = limits.buffered_bytes;
        self.holder
            .set_limit(bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)));
        self.dials.set_limit(limits.dials);
    }

    /// Counts one more exchange, if there may be one.
    pub(super) fn begin(&self, core: usize) -> Result<(), Refusal> {
        if self.holder.is_over() {
            return Err(Refusal::for_now(Limit::BufferedBytes));
        }
        self.in_flight.begin(core);
        let limit = self.exchanges.load(Ordering::Relaxed);
        if limit != u32::MAX && self.in_flight.sum() > limit {
            self.end(core);
            return Err(Refusal::for_now(Limit::ConcurrentExchanges));
        }
        Ok(())
    }

    /// One of its exchanges has ended.
    pub(super) fn end(&self, core: usize) {
        self.in_flight.end(core);
    }

    /// Uses up a request of its rate.
    pub(super) fn spend(&self) -> Result<(), Refusal> {
        let now_ns = || clock::now_us().saturating_mul(1_000);
        self.meter.admit(now_ns).map_err(|wait_ns| Refusal {
            limit: Limit::RequestsPerSecond,
            retry_after: wait_ns.div_ceil(1_000_000_000).max(1),
        })
    }

    /// Counts a refusal.
    pub(super) fn count(&self, refusal: Refusal) {
        if let Some(count) = self.refused.get(refusal.limit as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
