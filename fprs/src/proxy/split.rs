//! Splits: a share of a server's requests, always the same callers', is served by another server. What
//! became of them is counted by the split's name, through every edit of it.

mod metrics;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fprs_config::Mirror;

pub use metrics::Metrics;

use super::sample::Sampler;

/// Below so many nobody looks for what is gone.
const FEW: usize = 64;

/// A split as requests need it.
#[derive(Debug)]
pub struct Splitting {
    /// What it is to do; its shadow is the variant.
    pub record: Arc<Mirror>,
    /// Who is served by the variant.
    pub sampler: Sampler,
    /// What became of the requests it was asked about. The same through every edit.
    pub tally: Arc<Tally>,
}

/// Where a request went that a split was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// To the variant.
    Variant,
    /// Past it: its caller is not one of the split's.
    Server,
    /// Past it: it has nothing of what decides.
    NoKey,
    /// To the server, as the variant has no replica.
    NoReplica,
    /// To the server, as the variant is no server of the same tenant.
    Gone,
}

impl Went {
    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::Variant,
        Self::Server,
        Self::NoKey,
        Self::NoReplica,
        Self::Gone,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Variant => "variant",
            Self::Server => "server",
            Self::NoKey => "no_key",
            Self::NoReplica => "no_replica",
            Self::Gone => "gone",
        }
    }
}

/// One split's counts.
#[derive(Debug, Default)]
pub struct Tally([AtomicU64; Went::ALL.len()]);

impl Tally {
    /// One more went there.
    pub fn count(&self, went: Went) {
        if let Some(count) = self.0.get(went as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many went there.
    pub fn went(&self, went: Went) -> u64 {
        let count = self.0.get(went as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// What outlives the routes that splits are in. Written where the table is, never by a request.
#[derive(Debug, Default)]
pub struct Splits(Mutex<HashMap<Arc<str>, Arc<Tally>>>);

impl Splits {
    /// A record made ready for requests; `None`: it sends nothing to a variant.
    pub fn of(&self, record: &Arc<Mirror>) -> Option<Arc<Splitting>> {
        if record.paused || !record.serves {
            return None;
        }
        let sampler = Sampler::new(record)?;
        let mut tallies = self.lock();
        if tallies.len() >= FEW && tallies.len() == tallies.capacity() {
            tallies.retain(|_, tally| Arc::strong_count(tally) > 1);
        }
        let tally = tallies.entry(record.name.as_str().into()).or_default();
        Some(Arc::new(Splitting {
            tally: Arc::clone(tally),
            sampler,
            record: Arc::clone(record),
        }))
    }

    /// Every split that is in a route, by name.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Tally>)> {
        let tallies = self.lock();
        let used = tallies.iter();
        let used = used.filter(|(_, tally)| Arc::strong_count(tally) > 1);
        let mut all: Vec<_> = used
            .map(|(name, tally)| (Arc::clone(name), Arc::clone(tally)))
            .collect();
        drop(tallies);
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Tally>>> {
        // Nothing panics while it is held; what is in it would be whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
