//! Commits what a plan wants written: everything in one commit where that works, so that a burst
//! costs one write to disk; group by group where it doesn't, so that one bad group stops no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use fprs_config::{
    Change, CommitError, Expectation, Key, Record, Revision, SharedStore, Snapshot, StoreError,
};

/// Writes that happen together or not at all, each expecting the record as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    writes: BTreeMap<Key, Write>,
    /// Records that are as they were read, and are not written.
    expects: BTreeMap<Key, Option<Revision>>,
    notes: Vec<Note>,
}

#[derive(Clone, Debug)]
struct Write {
    change: Change,
    expected: Option<Revision>,
}

/// What a commit meant, for the log and the metrics once it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A replica never got ready or died unasked.
    Failed {
        /// Which.
        replica: Arc<str>,
        /// Of which server.
        server: Arc<str>,
        /// Why.
        reason: String,
    },
    /// A replica's port accepts.
    Ready {
        /// Which.
        replica: Arc<str>,
        /// Of which server.
        server: Arc<str>,
        /// From start to ready.
        startup_ms: u64,
    },
    /// A relay process is part of the plane.
    WorkerArrived {
        /// Which.
        worker: Arc<str>,
        /// Replicas of an earlier process of that name that are gone.
        lost: usize,
    },
    /// A worker was silent for a lease.
    WorkerLost {
        /// Which.
        worker: Arc<str>,
        /// Replicas that went with it.
        replicas: usize,
    },
}

/// What came of committing.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The last commit that happened.
    pub(crate) revision: Option<Revision>,
    /// What the commits that happened meant.
    pub(crate) notes: Vec<Note>,
    /// Groups that somebody else was faster on.
    pub(crate) conflicts: usize,
    /// Groups the store will not take, and why.
    pub(crate) refused: Vec<(Vec<Key>, String)>,
    /// The store did not answer.
    pub(crate) failed: Option<StoreError>,
}

impl Group {
    /// Writes the record, if it is still as that snapshot has it.
    pub(crate) fn put(&mut self, snapshot: &Snapshot, record: &Record) {
        self.add(snapshot, record.change());
    }

    /// Deletes the record, if it is still as that snapshot has it.
    pub(crate) fn delete(&mut self, snapshot: &Snapshot, key: Key) {
        self.add(snapshot, Change::delete(key));
    }

    /// Happens only if that record is as it was read.
    pub(crate) fn expect(&mut self, key: Key, written: Option<Revision>) {
        self.expects.insert(key, written);
    }

    /// What it writes, each with what it was when it was read.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&Change, Option<Revision>)> {
        self.writes
            .values()
            .map(|write| (&write.change, write.expected))
    }

    /// Writes that, if the record is still as that snapshot has it.
    pub(crate) fn add(&mut self, snapshot: &Snapshot, change: Change) {
        let key = change.key.clone();
        let expected = snapshot.written(&key);
        self.writes.insert(key, Write { change, expected });
    }

    /// Says what the group means.
    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The records it writes.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.writes.keys().cloned().collect()
    }

    /// What the store is handed.
    pub(crate) fn parts(&self) -> (Vec<Change>, Vec<Expectation>) {
        let (writes, mut expectations): (Vec<_>, Vec<_>) = self
            .writes
            .iter()
            .map(|(key, write)| {
                let (key, revision) = (key.clone(), write.expected);
                (write.change.clone(), Expectation { key, revision })
            })
            .unzip();
        expectations.extend(self.expects.iter().map(|(key, revision)| {
            let (key, revision) = (key.clone(), *revision);
            Expectation { key, revision }
        }));
        (writes, expectations)
    }
}

/// As many of the groups, from the first, as one commit takes; at least one. The rest is planned
/// again afterwards.
pub(crate) fn first_of(groups: Vec<Group>) -> Vec<Group> {
    let mut writes = 0;
    groups
        .into_iter()
        .enumerate()
        .take_while(|(n, group)| {
            writes += group.writes.len();
            *n == 0 || writes <= MAX_WRITES
        })
        .map(|(_, group)| group)
        .collect()
}

/// Commits the groups, which share no record. A store that doesn't answer is not asked again.
pub(crate) async fn commit(store: SharedStore, groups: Vec<Group>) -> Outcome {
    let mut outcome = Outcome::default();
    if groups.len() > 1 {
        let all = merged(&groups);
        match write(&store, &all).await {
            Err(CommitError::Conflict(_) | CommitError::Refused(_)) => {}
            result => {
                outcome.add(all, result);
                return outcome;
            }
        }
    }
    for group in groups {
        let result = write(&store, &group).await;
        outcome.add(group, result);
        if outcome.failed.is_some() {
            break;
        }
    }
    outcome
}

async fn write(store: &SharedStore, group: &Group) -> Result<Revision, CommitError> {
    let (writes, expectations) = group.parts();
    store.commit(writes, expectations).await
}

fn merged(groups: &[Group]) -> Group {
    let mut all = Group::default();
    for group in groups {
        all.writes.extend(group.writes.clone());
        all.expects.extend(group.expects.clone());
        all.notes.extend(group.notes.iter().cloned());
    }
    all
}

impl Outcome {
    fn add(&mut self, group: Group, result: Result<Revision, CommitError>) {
        match result {
            Ok(revision) => {
                self.revision = self.revision.max(Some(revision));
                self.notes.extend(group.notes);
            }
            Err(CommitError::Store(error)) => self.failed = Some(error),
            Err(CommitError::Conflict(_)) => self.conflicts += 1,
            Err(refusal) => self.refused.push((group.keys(), refusal.to_string())),
        }
    }
}

/// Writes in one commit, well below what stores take (Spanner: 80,000 cell mutations). Only a worker
/// with more replicas than this makes a larger one.
const MAX_WRITES: usize = 512;

#[cfg(test)]
mod tests;
