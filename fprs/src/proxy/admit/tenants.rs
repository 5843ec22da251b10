//! The tenants that servers of the table have, one value for each. Written where the table is, and
//! never looked at by a request, whose route has its tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fprs_autoscaler_client::clock;
use fprs_config::{Applied, Snapshot};

use super::tenant::Tenant;

/// Below so many nobody looks for tenants that are gone.
const FEW: usize = 64;

/// Every tenant with a server, an exchange, or lately one.
#[derive(Debug, Default)]
pub struct Tenants(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    of: HashMap<Arc<str>, Arc<Tenant>, foldhash::fast::RandomState>,
    next: u32,
}

impl Tenants {
    /// The tenant of that name, as the snapshot says it is.
    pub fn of(&self, name: &str, snapshot: &Snapshot) -> Arc<Tenant> {
        let mut known = self.lock();
        if let Some(tenant) = known.of.get(name) {
            return Arc::clone(tenant);
        }
        let name: Arc<str> = name.into();
        let tenant = Arc::new(Tenant::new(&name, known.next));
        known.next = known.next.wrapping_add(1);
        set(&tenant, snapshot);
        if known.of.len() >= FEW && known.of.len() == known.of.capacity() {
            // Looked for whenever there is no room, which costs no more than making some.
            known.of.retain(|_, tenant| Arc::strong_count(tenant) > 1);
        }
        known.of.insert(name, Arc::clone(&tenant));
        tenant
    }

    /// Takes over the edits of tenants' records: in force for the next request.
    pub fn apply(&self, applied: &Applied) {
        let known = self.lock();
        if applied.whole {
            for tenant in known.of.values() {
                set(tenant, &applied.snapshot);
            }
        }
        for name in &applied.callers.tenants {
            if let Some(tenant) = known.of.get(name) {
                set(tenant, &applied.snapshot);
            }
        }
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        self.lock().of.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held; what is in it would be whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(tenant: &Tenant, snapshot: &Snapshot) {
    let now_ns = clock::now_us().saturating_mul(1_000);
    match snapshot.tenant(tenant.name()) {
        Some(record) => tenant.set(&record.limits, record.weight, now_ns),
        None => tenant.set(&Default::default(), 1, now_ns),
    }
}
