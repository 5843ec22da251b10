//! PURE. Bytes that copies hold, counted at once and exactly: for one copy, for its tenant and for the
//! process. What would pass a limit is not taken at all. A byte is given back when the last reference
//! to it is dropped, wherever that is: in the queue, in the engine or in the connection's buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Beside its content, every piece that is held counts so many bytes: its place in queues, and what
/// keeps count of it.
pub(super) const PIECE_BYTES: usize = 128;

/// A piece below this is copied, a larger one shared: a piece of a few bytes would keep the whole
/// buffer of 64 KiB alive that it was read into, and nobody would have counted that.
const SHARED_BYTES: usize = 16 * 1024;

/// A limit and what is held of it.
#[derive(Debug)]
pub struct Purse {
    limit: usize,
    held: AtomicUsize,
}

impl Purse {
    /// With room for so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self::with(limit))
    }

    const fn with(limit: usize) -> Self {
        Self {
            limit,
            held: AtomicUsize::new(0),
        }
    }

    /// Bytes held now; never more than the limit.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that may be.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Whose limit a copy would have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The copy's own.
    Exchange,
    /// Its tenant's.
    Tenant,
    /// The process's.
    Process,
}

/// What one copy holds.
#[derive(Debug)]
pub struct Account {
    own: Purse,
    tenant: Arc<Purse>,
    process: Arc<Purse>,
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub struct Held {
    account: Arc<Account>,
    bytes: usize,
}

impl Account {
    /// Of a copy that may hold so many bytes, within what its tenant and the process may.
    pub fn new(limit: usize, tenant: &Arc<Purse>, process: &Arc<Purse>) -> Arc<Self> {
        Arc::new(Self {
            own: Purse::with(limit),
            tenant: Arc::clone(tenant),
            process: Arc::clone(process),
        })
    }

    /// Counts so many bytes.
    ///
    /// # Errors
    /// A limit would be passed; nothing is counted.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<Held, Over> {
        if !self.own.take(bytes) {
            return Err(Over::Exchange);
        }
        if !self.tenant.take(bytes) {
            self.own.give_back(bytes);
            return Err(Over::Tenant);
        }
        if !self.process.take(bytes) {
            self.own.give_back(bytes);
            self.tenant.give_back(bytes);
            return Err(Over::Process);
        }
        Ok(Held {
            account: Arc::clone(self),
            bytes,
        })
    }

    /// The same bytes once more, counted until the last of their references is dropped.
    ///
    /// # Errors
    /// A limit would be passed.
    pub fn copy(self: &Arc<Self>, data: &Bytes) -> Result<Bytes, Over> {
        let held = self.take(data.len() + PIECE_BYTES)?;
        let data = if data.len() < SHARED_BYTES {
            Bytes::copy_from_slice(data)
        } else {
            data.clone()
        };
        Ok(Bytes::from_owner(Counted { data, _held: held }))
    }
}

impl Held {
    /// Whose it is.
    pub const fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.own.give_back(self.bytes);
        self.account.tenant.give_back(self.bytes);
        self.account.process.give_back(self.bytes);
    }
}

/// Content and its count.
struct Counted {
    data: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(account: &Account) -> [usize; 3] {
        let Account {
            own,
            tenant,
            process,
        } = account;
        [own.held(), tenant.held(), process.held()]
    }

    #[test]
    fn what_would_pass_any_limit_is_not_taken_and_counts_nowhere() {
        let (tenant, process) = (Purse::new(1_000), Purse::new(1_500));
        let one = Account::new(600, &tenant, &process);
        let two = Account::new(600, &tenant, &process);
        let first = one.take(600).unwrap();
        assert_eq!(one.take(1).unwrap_err(), Over::Exchange);
        assert_eq!(two.take(401).unwrap_err(), Over::Tenant);
        let second = two.take(400).unwrap();
        let others = Account::new(600, &Purse::new(1_000), &process);
        assert_eq!(others.take(501).unwrap_err(), Over::Process);
        assert_eq!(held(&others), [0, 0, 1_000]);
        assert_eq!(held(&two), [400, 1_000, 1_000]);
        drop((first, second));
        assert_eq!(held(&one), [0, 0, 0]);
        assert_eq!(one.take(usize::MAX).unwrap_err(), Over::Exchange);
    }

    #[test]
    fn bytes_count_until_the_last_reference_is_gone_and_small_ones_are_copied() {
        let process = Purse::new(usize::MAX);
        let account = Account::new(usize::MAX, &process, &Purse::new(usize::MAX));
        for length in [8, 1_000, SHARED_BYTES - 1, SHARED_BYTES, 60_000] {
            let data = Bytes::from(vec![7; length]);
            let mut copy = account.copy(&data).unwrap();
            assert_eq!(copy, data);
            let shares = copy.as_ptr() == data.as_ptr();
            assert_eq!(shares, length >= SHARED_BYTES);
            let piece = copy.split_to(length / 2);
            let again = piece.slice(..length / 4);
            drop((copy, piece));
            assert_eq!(process.held(), length + PIECE_BYTES, "a slice keeps it all");
            drop(again);
            assert_eq!(process.held(), 0);
        }
    }

    #[test]
    fn threads_that_race_never_hold_more_than_the_limit_and_leave_nothing() {
        let (tenant, process) = (Purse::new(10_000), Purse::new(7_000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let account = Account::new(5_000, &tenant, &process);
                let process = &process;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for turn in 0..20_000 {
                        kept.extend(account.take(turn % 900));
                        assert!(process.held() <= process.limit());
                        if turn % 7 == 0 {
                            kept.clear();
                        }
                    }
                });
            }
        });
        assert_eq!((tenant.held(), process.held()), (0, 0));
    }
}
