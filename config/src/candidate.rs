//! PURE. When a process may take a lease, and what it then writes. At most one process decides: every
//! commit of the holder expects the lease as the holder last wrote it.

use std::net::SocketAddr;

use crate::key::Revision;
use crate::record::{Lease, Millis};

/// A lease that is not renewed for this long is free, in milliseconds.
pub const TTL_MS: Millis = 2_000;

/// The holder renews it this often, in milliseconds: three misses lose nothing.
pub const RENEW_MS: Millis = 500;

/// A process that wants a lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    name: &'static str,
    holder: String,
    address: SocketAddr,
    /// The lease somebody else holds, and since when it has been like that.
    watched: Option<(Revision, u64)>,
}

impl Candidate {
    /// `holder` is unique in the plane and the same after a restart of the process, which then need
    /// not wait for its own lease to end; `address` is where it answers.
    pub const fn new(name: &'static str, holder: String, address: SocketAddr) -> Self {
        Self {
            name,
            holder,
            address,
            watched: None,
        }
    }

    /// The lease to write now, if it may be taken: there is none, it is this process's own from
    /// before, or nobody has renewed it for its whole ttl. That is measured by watching it change,
    /// since clocks of machines differ. `now_ms` is monotonic.
    pub fn take(
        &mut self,
        known: Option<(&Lease, Revision)>,
        now_ms: u64,
        now_unix_ms: Millis,
    ) -> Option<Lease> {
        let Some((lease, revision)) = known else {
            return Some(self.lease(1, now_unix_ms));
        };
        let next = lease.epoch.saturating_add(1);
        if lease.holder == self.holder {
            return Some(self.lease(next, now_unix_ms));
        }
        match self.watched {
            Some((watched, since_ms)) if watched == revision => {
                let free = now_ms.saturating_sub(since_ms) > lease.ttl_ms;
                free.then(|| self.lease(next, now_unix_ms))
            }
            _ => {
                self.watched = Some((revision, now_ms));
                None
            }
        }
    }

    /// The lease to write although its holder may still renew it; none if that is this process. Only for
    /// leases whose holder does no harm once there is a later epoch: it learns of that by its next renewal.
    pub fn relieve(&self, held: &Lease, now_unix_ms: Millis) -> Option<Lease> {
        let other = held.holder != self.holder;
        other.then(|| self.lease(held.epoch.saturating_add(1), now_unix_ms))
    }

    /// The held lease, renewed.
    pub fn renew(&self, held: &Lease, now_unix_ms: Millis) -> Lease {
        self.lease(held.epoch, now_unix_ms)
    }

    fn lease(&self, epoch: u64, now_unix_ms: Millis) -> Lease {
        Lease {
            name: self.name.to_owned(),
            holder: self.holder.clone(),
            address: self.address,
            epoch,
            renewed_unix_ms: now_unix_ms,
            ttl_ms: TTL_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(holder: &str) -> Candidate {
        Candidate::new(
            "autoscaler",
            holder.into(),
            SocketAddr::from(([127, 0, 0, 1], 9090)),
        )
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        let lease = candidate("a").take(None, 0, 77).expect("free");
        assert_eq!((lease.epoch, lease.renewed_unix_ms), (1, 77));
        assert_eq!(lease.name, "autoscaler");
    }

    #[test]
    fn a_lease_that_is_renewed_is_never_taken() {
        let (mut standby, holder) = (candidate("b"), candidate("a"));
        let mut lease = holder.lease(1, 0);
        for step in 0..20 {
            let now_ms = step * RENEW_MS;
            assert_eq!(
                standby.take(Some((&lease, Revision(step))), now_ms, 0),
                None
            );
            lease = holder.renew(&lease, now_ms);
        }
        assert_eq!(lease.epoch, 1);
    }

    #[test]
    fn a_lease_nobody_renews_is_taken_after_its_ttl_whatever_the_clocks_say() {
        let mut standby = candidate("b");
        let mut lease = candidate("a").lease(4, 0);
        lease.renewed_unix_ms = u64::MAX;
        let known = Some((&lease, Revision(3)));
        assert_eq!(standby.take(known, 10, 0), None);
        assert_eq!(standby.take(known, 10 + TTL_MS, 0), None);
        let taken = standby.take(known, 11 + TTL_MS, 0).expect("free");
        assert_eq!((taken.epoch, taken.holder.as_str()), (5, "b"));
    }

    #[test]
    fn a_holder_is_relieved_in_a_later_epoch_and_never_by_itself() {
        let lease = candidate("a").lease(4, 0);
        let relieved = candidate("b").relieve(&lease, 0).expect("another one's");
        assert_eq!((relieved.epoch, relieved.holder.as_str()), (5, "b"));
        assert_eq!(candidate("a").relieve(&lease, 0), None);
    }

    #[test]
    fn a_restarted_holder_takes_its_own_lease_back_at_once() {
        let lease = candidate("a").lease(4, 0);
        let taken = candidate("a").take(Some((&lease, Revision(3))), 0, 0);
        assert_eq!(taken.map(|lease| lease.epoch), Some(5));
    }
}
