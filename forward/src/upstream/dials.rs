//! Connections that are being made for one tenant, over all cores, and how many may be. A dial beyond
//! them waits for its turn; those that wait for its connection know nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

/// One tenant's dials.
#[derive(Debug)]
pub struct Dials {
    /// `u32::MAX`: as many as there are.
    limit: AtomicU32,
    now: AtomicU32,
    waited: AtomicU64,
    /// A dial has ended, or more are allowed.
    freed: Notify,
}

/// One dial that may go on; counted until dropped.
#[derive(Debug)]
pub(crate) struct Dialling(Arc<Dials>);

impl Default for Dials {
    fn default() -> Self {
        Self {
            limit: AtomicU32::new(u32::MAX),
            now: AtomicU32::new(0),
            waited: AtomicU64::new(0),
            freed: Notify::new(),
        }
    }
}

impl Dials {
    /// Allows so many at a time from now on; `None`: as many as there are.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.limit
            .store(limit.unwrap_or(u32::MAX), Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    /// Dials that go on now.
    pub fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Dials that had to wait so far.
    pub fn waited(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }

    /// Waits for its turn, first come first served.
    pub(crate) async fn begin(self: &Arc<Self>) -> Dialling {
        let mut waited = false;
        loop {
            // Made before the look, so that an end in between wakes it.
            let freed = self.freed.notified();
            if let Some(dialling) = self.try_begin() {
                return dialling;
            }
            if !std::mem::replace(&mut waited, true) {
                self.waited.fetch_add(1, Ordering::Relaxed);
            }
            freed.await;
        }
    }

    fn try_begin(self: &Arc<Self>) -> Option<Dialling> {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |now: u32| (now < limit).then_some(now + 1);
        self.now
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .ok()
            .map(|_| Dialling(Arc::clone(self)))
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_dial_beyond_the_limit_waits_for_one_to_end() {
        let dials = Arc::new(Dials::default());
        dials.set_limit(Some(2));
        let (first, _second) = (dials.begin().await, dials.begin().await);
        let mut third = Box::pin(dials.begin());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        let _third = (&mut third).now_or_never().unwrap();
        assert_eq!((dials.now(), dials.waited()), (2, 1));
        let mut fourth = Box::pin(dials.begin());
        assert!((&mut fourth).now_or_never().is_none());
        dials.set_limit(Some(3));
        let _fourth = (&mut fourth).now_or_never().unwrap();
    }

    #[tokio::test]
    async fn dials_that_go_on_count_when_the_limit_changes() {
        let dials = Arc::new(Dials::default());
        let going: Vec<_> = [dials.begin().await, dials.begin().await].into();
        dials.set_limit(Some(1));
        assert!(dials.begin().now_or_never().is_none());
        drop(going);
        assert!(dials.begin().now_or_never().is_some());
    }
}
