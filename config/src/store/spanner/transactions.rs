//! PURE. Puts commits together again from the records of several partitions, and in their order: a
//! commit names its revision and what it wrote in the head's row, so that one is told only when it
//! is whole and everything before it was told. Records that come twice count once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::clock;
use crate::key::{Key, Revision};
use crate::limits;
use crate::store::{Batch, Change, head};

/// One change record, of the part of a transaction that one partition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataChange {
    pub(super) commit: SystemTime,
    /// Of the transaction, at the server.
    pub(super) transaction: Arc<str>,
    /// Unique within the transaction.
    pub(super) sequence: Arc<str>,
    /// Records of the transaction, in all partitions together.
    pub(super) records: usize,
    pub(super) rows: Vec<RowChange>,
}

/// What a transaction did to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowChange {
    /// It wrote the head, which says so.
    Head(Bytes),
    /// It wrote a record.
    Put(Key, Bytes),
    /// It deleted a record.
    Delete(Key),
}

/// Why the stream can't be gone on with: the store has to be read again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("somebody wrote to the tables without fprs")]
    Foreign,
    #[error("the head's row is not fprs's: {0}")]
    Head(String),
    #[error("{0} is missing in what the commit that wrote it tells")]
    Missing(Key),
    #[error("revision {0} was never told, later ones were")]
    Gap(Revision),
    #[error(
        "more than {} records wait for the rest of their commits",
        limits::SPANNER_PENDING
    )]
    Full,
}

#[derive(Debug)]
struct Pending {
    commit: SystemTime,
    seen: BTreeSet<Arc<str>>,
    rows: Vec<RowChange>,
}

#[derive(Debug)]
struct Whole {
    commit: SystemTime,
    transaction: Arc<str>,
    batch: Batch,
    /// No other commit of its transaction follows.
    last: bool,
}

/// What is not whole, or not next.
#[derive(Debug)]
pub(super) struct Transactions {
    /// Everything up to this revision was told.
    told: Revision,
    /// Transactions up to this time are told: what still comes of them is a repetition.
    floor: Option<SystemTime>,
    pending: BTreeMap<Arc<str>, Pending>,
    records: usize,
    /// Whole, waiting for those before.
    whole: BTreeMap<Revision, Whole>,
}

impl Transactions {
    /// Begins after that revision.
    pub(super) const fn after(told: Revision) -> Self {
        Self {
            told,
            floor: None,
            pending: BTreeMap::new(),
            records: 0,
            whole: BTreeMap::new(),
        }
    }

    /// Takes one record in; returns the commits that can be told now, in order, with their times.
    ///
    /// # Errors
    /// The stream can't be gone on with.
    pub(super) fn take(&mut self, change: DataChange) -> Result<Vec<(SystemTime, Batch)>, Broken> {
        let old = self.floor.is_some_and(|floor| change.commit <= floor);
        let waits = |whole: &Whole| whole.transaction == change.transaction;
        if old || self.whole.values().any(waits) {
            return Ok(Vec::new());
        }
        let pending = self
            .pending
            .entry(Arc::clone(&change.transaction))
            .or_insert_with(|| Pending {
                commit: change.commit,
                seen: BTreeSet::new(),
                rows: Vec::new(),
            });
        if !pending.seen.insert(change.sequence) {
            return Ok(Vec::new());
        }
        pending.rows.extend(change.rows);
        if pending.seen.len() < change.records {
            self.records = self.records.saturating_add(1);
            if self.records > limits::SPANNER_PENDING {
                return Err(Broken::Full);
            }
            return Ok(Vec::new());
        }
        if let Some(pending) = self.pending.remove(&change.transaction) {
            self.records = self.records.saturating_sub(pending.seen.len());
            self.complete(change.transaction, pending)?;
        }
        Ok(self.next())
    }

    /// Everything before that time was told by every partition.
    ///
    /// # Errors
    /// A commit before it is missing.
    pub(super) fn settled(&self, until: SystemTime) -> Result<(), Broken> {
        match self.whole.first_key_value() {
            Some((_, whole)) if whole.commit < until => {
                Err(Broken::Gap(Revision(self.told.0.saturating_add(1))))
            }
            _ => Ok(()),
        }
    }

    fn complete(&mut self, transaction: Arc<str>, pending: Pending) -> Result<(), Broken> {
        let mut head = None;
        let mut rows = BTreeMap::new();
        for row in pending.rows {
            match row {
                RowChange::Head(commits) => head = Some(commits),
                RowChange::Put(key, value) => {
                    rows.insert(key, Some(value));
                }
                RowChange::Delete(key) => {
                    rows.insert(key, None);
                }
            }
        }
        let commits = head::decode(head.ok_or(Broken::Foreign)?).map_err(Broken::Head)?;
        let count = commits.len();
        for (place, commit) in commits.into_iter().enumerate() {
            let changes = commit
                .writes
                .into_iter()
                .map(|(key, deleted)| {
                    let value = match rows.remove(&key) {
                        Some(value) => value,
                        // Deleting what isn't there leaves no record.
                        None if deleted => None,
                        None => return Err(Broken::Missing(key)),
                    };
                    Ok(Change { key, value })
                })
                .collect::<Result<_, _>>()?;
            let batch = Batch {
                revision: commit.revision,
                committed_unix_us: clock::unix_us_of(pending.commit),
                changes,
            };
            let whole = Whole {
                commit: pending.commit,
                transaction: Arc::clone(&transaction),
                batch,
                last: place.saturating_add(1) == count,
            };
            self.whole.insert(commit.revision, whole);
        }
        if rows.is_empty() {
            Ok(())
        } else {
            Err(Broken::Foreign)
        }
    }

    fn next(&mut self) -> Vec<(SystemTime, Batch)> {
        let mut next = Vec::new();
        while let Some(first) = self.whole.first_entry() {
            if first.key().0 > self.told.0.saturating_add(1) {
                break;
            }
            let Whole {
                commit,
                batch,
                last,
                ..
            } = first.remove();
            // Commits follow one another in time as in revision: each reads the head.
            if last {
                self.floor = self.floor.max(Some(commit));
            }
            if batch.revision > self.told {
                self.told = batch.revision;
                next.push((commit, batch));
            }
        }
        if !next.is_empty() {
            let floor = self.floor;
            self.pending
                .retain(|_, pending| Some(pending.commit) > floor);
            self.records = self
                .pending
                .values()
                .map(|pending| pending.seen.len())
                .sum();
        }
        next
    }
}

#[cfg(test)]
mod tests;
