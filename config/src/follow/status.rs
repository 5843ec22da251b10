//! What a follower runs by and how it is doing, for status pages and metrics: revision, age,
//! refusals. Readable at any time from any thread; never read on the request path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::apply::Applied;
use crate::key::{Key, Revision};
use crate::limits;
use crate::record::{Refusal, Rollout};
use crate::snapshot::Snapshot;
use crate::store::{Batch, StoreError};

/// Where the snapshot in force came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// There is none yet: not ready.
    #[default]
    Nothing,
    /// The last-good file; the store has not answered since the start.
    LastGood,
    /// The store.
    Store,
}

/// A follower's condition, shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Status {
    inner: Mutex<Inner>,
    confirmed: Notify,
}

/// A follower's condition at one moment.
#[derive(Clone, Debug, Default)]
pub struct StatusReport {
    /// The revision in force.
    pub revision: Revision,
    /// Where the snapshot in force came from.
    pub source: Source,
    /// Since the store last gave a sign of life, progress included; `None`: never yet.
    pub age: Option<Duration>,
    /// Records whose current version is not in force, by key; the first
    /// [`limits::REFUSED_LISTED`].
    pub refused: Vec<Refusal>,
    /// Refusals since the start.
    pub refusals: u64,
    /// Batches applied since the start.
    pub batches: u64,
    /// Whole snapshots taken since the start; more than one means history was lost.
    pub snapshots: u64,
    /// Panics caught while applying, since the start. Above 0: a defect, and records may be stale.
    pub panics: u64,
    /// How long the last batch or snapshot took to apply, observers included.
    pub last_apply: Duration,
    /// Why the store can't be read at the moment.
    pub trouble: Option<String>,
    /// Where the process is.
    pub cell: Option<Arc<str>>,
    /// Records of which another version is staged, by name.
    pub staged: Vec<StagedReport>,
}

/// A record of which another version is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedReport {
    /// `kind/name`.
    pub record: String,
    /// What it is promoted with.
    pub set: String,
    /// The commit that staged it.
    pub written: Revision,
    /// The staged version is in force here.
    pub here: bool,
}

#[derive(Debug, Default)]
struct Inner {
    report: StatusReport,
    refused: BTreeMap<Key, Refusal>,
    heard: Option<Instant>,
    current: Arc<Snapshot>,
}

impl Status {
    /// The condition now.
    pub fn report(&self) -> StatusReport {
        let inner = self.lock();
        StatusReport {
            age: inner.heard.map(|heard| heard.elapsed()),
            refused: inner.refused.values().cloned().collect(),
            cell: inner.current.cell().cloned(),
            staged: staged(&inner.current),
            ..inner.report.clone()
        }
    }

    /// Somebody means what is held: the store is read again, and all of it taken.
    pub fn confirm(&self) {
        self.confirmed.notify_one();
    }

    /// Waits for somebody to confirm.
    pub(super) async fn confirmed(&self) {
        self.confirmed.notified().await;
    }

    /// The store gave a sign of life.
    pub(super) fn heard(&self) {
        let mut inner = self.lock();
        inner.heard = Some(Instant::now());
        inner.report.trouble = None;
    }

    /// The store can't be read.
    pub(super) fn troubled(&self, error: &StoreError) {
        self.lock().report.trouble = Some(error.to_string());
    }

    pub(super) fn panicked(&self) {
        let mut inner = self.lock();
        inner.report.panics = inner.report.panics.saturating_add(1);
    }

    /// A whole snapshot is in force.
    pub(super) fn loaded(&self, source: Source, applied: &Applied, took: Duration) {
        let mut inner = self.lock();
        inner.report.source = source;
        inner.report.snapshots = inner.report.snapshots.saturating_add(1);
        inner.in_force(&applied.snapshot, took);
        inner.refused.clear();
        inner.refuse(&applied.refused);
    }

    /// A batch is in force, but for what was refused.
    pub(super) fn applied(&self, batch: &Batch, applied: &Applied, took: Duration) {
        let mut inner = self.lock();
        inner.report.batches = inner.report.batches.saturating_add(1);
        inner.in_force(&applied.snapshot, took);
        for change in &batch.changes {
            inner.refused.remove(&change.key);
        }
        inner.refuse(&applied.refused);
    }

    /// Records were refused without a new snapshot.
    pub(super) fn refused(&self, refused: &[Refusal]) {
        self.lock().refuse(refused);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain numbers: a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn in_force(&mut self, snapshot: &Arc<Snapshot>, took: Duration) {
        self.current = Arc::clone(snapshot);
        self.report.revision = snapshot.revision();
        self.report.last_apply = took;
    }

    fn refuse(&mut self, refused: &[Refusal]) {
        for refusal in refused {
            self.report.refusals = self.report.refusals.saturating_add(1);
            if self.refused.len() < limits::REFUSED_LISTED
                || self.refused.contains_key(&refusal.key)
            {
                self.refused.insert(refusal.key.clone(), refusal.clone());
            }
        }
    }
}

fn staged(snapshot: &Snapshot) -> Vec<StagedReport> {
    let cell = snapshot.cell().map(|cell| &**cell);
    let reports = snapshot.rollouts().map(|rollout| StagedReport {
        record: rollout.name.clone(),
        set: rollout.set.clone(),
        written: snapshot
            .written(&Rollout::key_of(&rollout.target()))
            .unwrap_or_default(),
        here: rollout.is_for(cell),
    });
    let mut reports: Vec<_> = reports.collect();
    reports.sort_unstable_by(|a, b| a.record.cmp(&b.record));
    reports
}
