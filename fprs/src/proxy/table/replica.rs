//! A replica as requests need it. What only a request needs is made with the first one: most replicas of
//! a large table are never asked by this proxy, and cost little more than their record.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use fprs_autoscaler_client::{Demand, Gauge, Guard, Lister};
use fprs_forward::upstream::dials::Dials;
use fprs_forward::upstream::source::Source;
use http::HeaderValue;

/// A replica as requests need it. Its counts survive every edit of the table around it.
#[derive(Debug)]
pub struct Replica {
    record: Arc<fprs_config::Replica>,
    address: SocketAddr,
    /// Among whose its relay is dialled: the tenant's that its server had when it appeared.
    pub dials: Arc<Dials>,
    /// From where its relay is dialled, where that is by an egress pool.
    pub egress: Option<Arc<Source>>,
    /// Its share beside its siblings.
    weight: u32,
    /// It takes no more requests; those that chose it from an older table go on.
    gone: AtomicBool,
    asked: OnceLock<Box<Asked>>,
    lister: Lister,
}

/// What there is of a replica that was asked at least once.
#[derive(Debug)]
struct Asked {
    /// The id as the relay wants to be told.
    header: HeaderValue,
    /// Its exchanges in flight through this proxy.
    gauge: Arc<Gauge>,
    /// Those who report demand know the gauge.
    listed: AtomicBool,
    /// What its relay reported last: the milliseconds of [`Replica::report`] above, the count below.
    reported: AtomicU64,
    /// Not chosen before this time, in milliseconds; it could not be reached.
    ejected_until: AtomicU64,
}

/// A relay's report is believed for this long.
const REPORT_MS: u64 = 1_000;

/// A replica that could not be reached is left alone for this long.
const EJECTION_MS: u64 = 1_000;

impl Replica {
    /// That replica, there; `None` if it can't be routed to.
    pub(super) fn new(
        record: &Arc<fprs_config::Replica>,
        address: SocketAddr,
        (dials, egress): (&Arc<Dials>, Option<Arc<Source>>),
        demand: &Demand,
    ) -> Option<Self> {
        // An id is a checked name; one that isn't a header value can't be told to a relay.
        if !record.id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let replica = Self {
            record: Arc::clone(record),
            address,
            dials: Arc::clone(dials),
            egress,
            weight: record.weight,
            gone: AtomicBool::new(false),
            asked: OnceLock::new(),
            lister: demand.lister(),
        };
        if let Some(gauge) = demand.known(&record.id) {
            replica
                .asked
                .get_or_init(|| Asked::new(record, gauge, true));
        }
        Some(replica)
    }

    /// Unique in the plane.
    pub fn id(&self) -> &Arc<str> {
        &self.record.id
    }

    /// Its relay.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id as the relay wants to be told.
    pub fn header(&self) -> HeaderValue {
        self.asked().header.clone()
    }

    /// The egress pool by which it is reached; empty: by none.
    pub fn pool(&self) -> &str {
        self.egress.as_ref().map_or("", |source| source.pool())
    }

    /// Counts an exchange from that moment until the guard is dropped.
    pub fn begin_at(&self, now_us: u64) -> Guard {
        let asked = self.asked();
        if !asked.listed.load(Ordering::Relaxed) {
            self.list(asked);
        }
        asked.gauge.begin_at(now_us)
    }

    /// Its exchanges in flight through this proxy.
    pub fn in_flight(&self) -> u32 {
        let asked = self.asked.get();
        asked.map_or(0, |asked| asked.gauge.in_flight())
    }

    /// In flight through this proxy plus what the relay saw of others lately, per unit of weight,
    /// scaled so that weights divide without loss of order.
    pub fn load(&self, now_ms: u64) -> u64 {
        let Some(asked) = self.asked.get() else {
            return 0;
        };
        let reported = asked.reported.load(Ordering::Relaxed);
        let (at, count) = (reported >> 24, reported & 0xff_ffff);
        let count = if now_ms.saturating_sub(at) <= REPORT_MS {
            count
        } else {
            0
        };
        (u64::from(asked.gauge.in_flight()) + count) * 1_000 / u64::from(self.weight.max(1))
    }

    /// Takes the relay's word for how many exchanges the replica has in flight. Our own are counted
    /// by the gauge, as they are now; what is kept is the others'.
    pub fn report(&self, in_flight: u64, now_ms: u64) {
        let asked = self.asked();
        let others = in_flight.saturating_sub(u64::from(asked.gauge.in_flight()));
        asked
            .reported
            .store(now_ms << 24 | others.min(0xff_ffff), Ordering::Relaxed);
    }

    /// No table has it any more: nothing is to be kept for it.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// It could not be reached: leave it alone for a moment.
    pub fn eject(&self, now_ms: u64) {
        self.asked()
            .ejected_until
            .store(now_ms + EJECTION_MS, Ordering::Relaxed);
    }

    /// It is being left alone.
    pub fn is_ejected(&self, now_ms: u64) -> bool {
        self.asked
            .get()
            .is_some_and(|asked| asked.ejected_until.load(Ordering::Relaxed) > now_ms)
    }

    /// The table has it no more.
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
        if let Some(asked) = self.asked.get() {
            asked.gauge.retire();
        }
    }

    fn asked(&self) -> &Asked {
        self.asked
            .get_or_init(|| Asked::new(&self.record, Arc::default(), false))
    }

    /// Has the gauge reported. Where there is no room for it, the next exchange tries again.
    #[cold]
    fn list(&self, asked: &Asked) {
        let fprs_config::Replica { server, id, .. } = &*self.record;
        let first = !asked.listed.swap(true, Ordering::Relaxed);
        if first && !self.lister.list(server, id, &asked.gauge) {
            asked.listed.store(false, Ordering::Relaxed);
        }
        // It left before there was a gauge to say so of.
        if self.is_gone() {
            asked.gauge.retire();
        }
    }
}

impl Asked {
    fn new(record: &fprs_config::Replica, gauge: Arc<Gauge>, listed: bool) -> Box<Self> {
        let header = HeaderValue::from_str(&record.id);
        Box::new(Self {
            header: header.unwrap_or_else(|_| HeaderValue::from_static("")),
            gauge,
            listed: AtomicBool::new(listed),
            reported: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
        })
    }
}
