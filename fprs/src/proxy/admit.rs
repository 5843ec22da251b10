//! Who may begin an exchange on one core: a tenant within its limits and, while the core has more to
//! do than it can, within its share. What is refused has touched nothing but a count of refusals; what
//! is admitted counts until it is dropped, on every path.

mod lateness;
pub mod metrics;
pub mod rate;
pub mod share;
mod stripes;
pub mod tenant;
pub mod tenants;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fprs_forward::downstream::Client;
use http::HeaderMap;

use crate::proxy::clock;

use self::lateness::Lateness;
pub use self::metrics::Overload;
use self::share::Share;
pub use self::tenant::{Limit, Refusal, Tenant};
pub use self::tenants::Tenants;

/// Bytes of a head, beside its first request's worth, that cost a late core as much as a small request.
const HEAD_BYTES: f64 = 4.0 * 1024.0;

/// Bytes of bodies that do.
const BODY_BYTES: f64 = 64.0 * 1024.0;

/// One core's gate.
#[derive(Debug)]
pub struct Gate {
    core: usize,
    share: RefCell<Share>,
    lateness: Lateness,
    told: Arc<metrics::Core>,
}

/// An exchange that may begin; it counts until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    gate: Rc<Gate>,
    tenant: Arc<Tenant>,
    client: Rc<Client>,
}

impl Gate {
    /// The gate of one more core, which tells how it is.
    pub fn new(overload: &Overload) -> Rc<Self> {
        let (core, told) = overload.join();
        Rc::new(Self {
            core,
            share: RefCell::default(),
            lateness: Lateness::default(),
            told,
        })
    }

    /// Admits one exchange of that tenant, which came on a client's connection with those fields.
    ///
    /// # Errors
    /// The tenant is over a limit, or over its share of a core that is late.
    pub fn admit(
        self: &Rc<Self>,
        tenant: &Arc<Tenant>,
        client: &Rc<Client>,
        fields: &HeaderMap,
    ) -> Result<Admitted, Refusal> {
        self.watch();
        self.admit_at(tenant, client, fields, clock::now_us)
    }

    /// As [`admit`](Self::admit); a core that is late asks for the time.
    fn admit_at(
        self: &Rc<Self>,
        tenant: &Arc<Tenant>,
        client: &Rc<Client>,
        fields: &HeaderMap,
        now_us: impl FnOnce() -> u64,
    ) -> Result<Admitted, Refusal> {
        tenant.begin(self.core).inspect_err(|refusal| {
            tenant.count(*refusal);
        })?;
        // From here on what it counts is given back by its drop.
        let admitted = Admitted {
            gate: Rc::clone(self),
            tenant: Arc::clone(tenant),
            client: Rc::clone(client),
        };
        let streams = client.streams.begin(tenant.number);
        self.rest(tenant, streams, fields, now_us)
            .inspect_err(|refusal| tenant.count(*refusal))?;
        Ok(admitted)
    }

    fn rest(
        &self,
        tenant: &Tenant,
        streams: u32,
        fields: &HeaderMap,
        now_us: impl FnOnce() -> u64,
    ) -> Result<(), Refusal> {
        if streams > tenant.streams.load(Ordering::Relaxed) {
            return Err(Refusal::for_now(Limit::StreamsPerConnection));
        }
        tenant.spend()?;
        let mut share = self.share.borrow_mut();
        if share.is_calm() {
            return Ok(());
        }
        let now_us = now_us();
        if !self.lateness.waits() {
            share.pass(now_us);
        }
        let cost = 1.0 + bytes(fields) as f64 / HEAD_BYTES;
        if share.ask(tenant.number, tenant.weight(), cost, now_us) {
            Ok(())
        } else {
            Err(Refusal::for_now(Limit::FairShare))
        }
    }

    /// A task has waited that long for its turn.
    fn waited(&self, now_us: u64, wait_us: u64) {
        let mut share = self.share.borrow_mut();
        let before = share.is_calm();
        share.waited(now_us, wait_us);
        let calm = share.is_calm();
        drop(share);
        if before && !calm {
            tracing::warn!(
                core = self.core,
                wait_us,
                "a core has more to do than it can: tenants are held to their shares"
            );
        }
        self.told.tell(wait_us, !calm);
    }
}

impl Admitted {
    /// It has carried so many bytes: a late core has them paid.
    pub fn carried(&self, bytes: u64) {
        let mut share = self.gate.share.borrow_mut();
        if !share.is_calm() {
            let tenant = &self.tenant;
            share.charge(tenant.number, tenant.weight(), bytes as f64 / BODY_BYTES);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.client.streams.end(self.tenant.number);
        self.tenant.end(self.gate.core);
    }
}

fn bytes(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests;
