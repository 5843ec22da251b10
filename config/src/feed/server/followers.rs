//! Who watches this feed and what each was told: whoever wants to know which process runs by what
//! asks here once, not every process. An entry lives as long as its watch.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Revision;

/// Those who watch.
#[derive(Debug, Default)]
pub struct Followers {
    watching: Mutex<BTreeMap<u64, Watching>>,
    entered: AtomicU64,
}

/// One who watches, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerReport {
    /// As it calls itself: role and process.
    pub name: String,
    /// Where it answers for itself, if it says so.
    pub admin: Option<SocketAddr>,
    /// Where it says it is; empty: nowhere.
    pub cell: String,
    /// Everything up to there was handed to its connection.
    pub told: Revision,
    /// How long its watch has lasted.
    pub watches_for: Duration,
}

#[derive(Debug)]
struct Watching {
    name: String,
    admin: Option<SocketAddr>,
    cell: String,
    told: Arc<AtomicU64>,
    since: Instant,
}

/// A watch that lasts.
#[derive(Debug)]
pub(super) struct Place {
    followers: Arc<Followers>,
    number: u64,
    told: Arc<AtomicU64>,
}

impl Followers {
    /// Everybody who watches, by name.
    pub fn report(&self) -> Vec<FollowerReport> {
        let watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report: Vec<_> = watching
            .values()
            .map(|watching| FollowerReport {
                name: watching.name.clone(),
                admin: watching.admin,
                cell: watching.cell.clone(),
                told: Revision(watching.told.load(Ordering::Relaxed)),
                watches_for: watching.since.elapsed(),
            })
            .collect();
        report.sort_by(|a, b| a.name.cmp(&b.name));
        report
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        name: String,
        admin: Option<SocketAddr>,
        cell: String,
        from: Revision,
    ) -> Place {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        let told = Arc::new(AtomicU64::new(from.0));
        let watching = Watching {
            name,
            admin,
            cell,
            told: Arc::clone(&told),
            since: Instant::now(),
        };
        self.watching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, watching);
        Place {
            followers: Arc::clone(self),
            number,
            told,
        }
    }
}

impl Place {
    pub(super) fn told(&self, revision: Revision) {
        self.told.store(revision.0, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.followers
            .watching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
    }
}
