//! What operators see of tenants and of late cores. Tenants are told by name only where they have
//! limits or were refused something, and no more than `TENANTS` of them: a metric's labels are
//! bounded, whoever makes tenants.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{Limit, Tenant};
use crate::proxy::Tables;

/// Tenants with labels of their own: those that were refused most. The others are summed up under an
/// empty name.
const TENANTS: usize = 1_000;

/// How each core is, told by its gate.
#[derive(Debug, Default)]
pub struct Overload(Mutex<Vec<Arc<Core>>>);

/// How one core is.
#[derive(Debug, Default)]
pub(super) struct Core {
    wait_us: AtomicU64,
    late: AtomicBool,
}

impl Core {
    /// A task waited so long lately; tenants are held to their shares.
    pub(super) fn tell(&self, wait_us: u64, late: bool) {
        self.wait_us.store(wait_us, Ordering::Relaxed);
        self.late.store(late, Ordering::Relaxed);
    }
}

impl Overload {
    /// One more core; its number.
    pub(super) fn join(&self) -> (usize, Arc<Core>) {
        let core = Arc::default();
        // Nothing panics while it is held.
        let mut cores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cores.push(Arc::clone(&core));
        (cores.len() - 1, core)
    }

    /// Cores that hold tenants to their shares, and the longest wait of any, in microseconds.
    fn now(&self) -> (usize, u64) {
        let cores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let late = |core: &&Arc<Core>| core.late.load(Ordering::Relaxed);
        let waits = cores
            .iter()
            .map(|core| core.wait_us.load(Ordering::Relaxed));
        (
            cores.iter().filter(late).count(),
            waits.max().unwrap_or_default(),
        )
    }
}

/// The metrics, for a registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    tables: Arc<Tables>,
    overload: Arc<Overload>,
    refused: IntCounterVec,
    in_flight: IntGaugeVec,
    dials: IntGaugeVec,
    dials_waited: IntCounterVec,
    late: IntGauge,
    wait: Gauge,
}

impl Metrics {
    /// Of those tenants and cores.
    ///
    /// # Errors
    /// Never with these names; the library checks them anyway.
    pub fn new(tables: &Arc<Tables>, overload: &Arc<Overload>) -> prometheus::Result<Self> {
        let refused = Opts::new(
            "fprs_tenant_refused_total",
            "Requests refused because their tenant is over a limit, by limit.",
        );
        let in_flight = Opts::new(
            "fprs_tenant_exchanges_in_flight",
            "Exchanges begun and not ended, of tenants with limits.",
        );
        let dials = Opts::new(
            "fprs_tenant_dials",
            "Connections to replicas that are being made, of tenants with limits.",
        );
        let dials_waited = Opts::new(
            "fprs_tenant_dials_waited_total",
            "Connections to replicas that waited because their tenant was making as many as it may.",
        );
        Ok(Self {
            tables: Arc::clone(tables),
            overload: Arc::clone(overload),
            refused: IntCounterVec::new(refused, &["tenant", "limit"])?,
            in_flight: IntGaugeVec::new(in_flight, &["tenant"])?,
            dials: IntGaugeVec::new(dials, &["tenant"])?,
            dials_waited: IntCounterVec::new(dials_waited, &["tenant"])?,
            late: IntGauge::new(
                "fprs_proxy_late_cores",
                "Cores with more to do than they can, which hold tenants to their shares.",
            )?,
            wait: Gauge::new(
                "fprs_proxy_task_wait_seconds",
                "How long a task waited for its turn when it was last looked, on the latest core.",
            )?,
        })
    }

    fn tell(&self, name: &str, tenant: &Tenant) {
        for limit in Limit::ALL {
            let refused = tenant.refused(limit);
            if refused > 0 {
                self.refused
                    .with_label_values(&[name, limit.name()])
                    .inc_by(refused);
            }
        }
        let gauge = |count: u32| i64::from(count);
        self.in_flight
            .with_label_values(&[name])
            .add(gauge(tenant.in_flight()));
        self.dials
            .with_label_values(&[name])
            .add(gauge(tenant.dials().now()));
        self.dials_waited
            .with_label_values(&[name])
            .inc_by(tenant.dials().waited());
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.refused.desc(),
            self.in_flight.desc(),
            self.dials.desc(),
            self.dials_waited.desc(),
            self.late.desc(),
            self.wait.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refused.reset();
        self.in_flight.reset();
        self.dials.reset();
        self.dials_waited.reset();
        let mut tenants = self.tables.tenants().all();
        tenants.retain(|tenant| tenant.is_limited() || refusals(tenant) > 0);
        tenants.sort_by_cached_key(|tenant| (Reverse(refusals(tenant)), tenant.number));
        for (rank, tenant) in tenants.iter().enumerate() {
            let name = if rank < TENANTS { tenant.name() } else { "" };
            self.tell(name, tenant);
        }
        let (late, wait_us) = self.overload.now();
        self.late.set(i64::try_from(late).unwrap_or(i64::MAX));
        self.wait.set(wait_us as f64 / 1e6);
        [
            self.refused.collect(),
            self.in_flight.collect(),
            self.dials.collect(),
            self.dials_waited.collect(),
            self.late.collect(),
            self.wait.collect(),
        ]
        .concat()
    }
}

fn refusals(tenant: &Tenant) -> u64 {
    Limit::ALL.map(|limit| tenant.refused(limit)).iter().sum()
}

#[cfg(test)]
mod tests {
    use fprs_config::{Limits, Record};

    use super::*;
    use crate::proxy::testing::{World, server_of};

    #[test]
    fn labels_are_bounded_and_only_of_tenants_with_something_to_tell() {
        const LIMITED: usize = TENANTS + 5;
        let mut world = World::new();
        let limits = Limits {
            concurrent_exchanges: Some(1),
            ..Limits::default()
        };
        let mut changes = vec![server_of("plain", "plain")];
        for number in 0..LIMITED {
            let name = format!("t{number}");
            changes.push(server_of(&name, &name));
            let tenant = fprs_config::Tenant {
                limits,
                ..fprs_config::Tenant::new(&name)
            };
            changes.push(Record::Tenant(tenant).change());
        }
        world.commit(changes);
        let metrics = Metrics::new(&world.tables, &Arc::default()).unwrap();
        let families = metrics.collect();
        let in_flight = families
            .iter()
            .find(|family| family.name() == "fprs_tenant_exchanges_in_flight")
            .unwrap();
        let told = in_flight.get_metric();
        assert_eq!(told.len(), TENANTS + 1, "and one for all others");
        let named = |name| {
            told.iter()
                .any(|metric| metric.get_label()[0].value() == name)
        };
        assert!(named("") && !named("plain"));
    }
}
