//! PURE. Makes a snapshot of everything a store holds, row by row, so that no more of it than a row is
//! in memory twice. What a row says before the last one was taken counts for nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::build::Builder;
use super::{Applied, Step, decode, deletion, full, refusal};
use crate::key::{Key, Revision};
use crate::limits;
use crate::pace::give_way_after;
use crate::snapshot::Snapshot;

/// A snapshot in the making.
#[derive(Debug)]
pub struct Loader<'a> {
    /// What has the last good version of what is refused.
    previous: &'a Snapshot,
    revision: Revision,
    /// The most that there may be.
    records: usize,
    builder: Builder,
    refused: BTreeMap<Key, (Revision, String)>,
    /// Rows taken, each key once.
    seen: usize,
    /// In key order no key comes twice.
    last: Option<Key>,
    in_order: bool,
}

impl<'a> Loader<'a> {
    /// Of a store that is at that revision. A record that can't be used keeps the version `previous`
    /// has of it.
    pub fn new(previous: &'a Snapshot, revision: Revision) -> Self {
        Self::within(previous, revision, limits::SNAPSHOT_RECORDS)
    }

    pub(super) fn within(previous: &'a Snapshot, revision: Revision, records: usize) -> Self {
        Self {
            previous,
            revision,
            records,
            builder: Builder::whole(previous.cell.clone()),
            refused: BTreeMap::new(),
            seen: 0,
            last: None,
            in_order: true,
        }
    }

    /// Takes one row. One that is told twice counts once, as its newest version.
    pub fn take(&mut self, key: &Key, value: &Bytes, written: Revision) {
        give_way_after(self.seen);
        let told = self.told(key);
        if told.is_some_and(|told| told >= written) {
            return;
        }
        if told.is_none() {
            self.seen = self.seen.saturating_add(1);
        }
        self.refused.remove(key);
        let decoded = if written > self.revision {
            Err(format!(
                "was written after the snapshot, which is of revision {}",
                self.revision
            ))
        } else if self.seen > self.records {
            Err(full(self.records))
        } else {
            decode(key, value)
        };
        match decoded {
            Ok(record) => self.builder.take(Step::Put(record, written)),
            Err(reason) => {
                self.refused.insert(key.clone(), (written, reason));
                let kept = self.previous;
                self.fall_back(key, kept);
            }
        }
    }

    /// Some rows are refused.
    pub fn refuses(&self) -> bool {
        !self.refused.is_empty()
    }

    /// What is refused keeps the version that this has of it, where it has one.
    pub fn keep(&mut self, kept: &Snapshot) {
        let keys: Vec<Key> = self.refused.keys().cloned().collect();
        for key in keys {
            if kept.stored_at(&key).is_some() {
                self.fall_back(&key, kept);
            }
        }
    }

    /// All of it.
    pub fn finish(self) -> Applied {
        let snapshot = self.builder.finish(self.revision).snapshot;
        if cfg!(debug_assertions) {
            snapshot.check_invariants();
        }
        let refused = self.refused.into_iter();
        Applied {
            snapshot: Arc::new(snapshot),
            refused: refused
                .map(|(key, (revision, reason))| refusal(&key, revision, reason))
                .collect(),
            whole: true,
            ..Applied::default()
        }
    }

    /// The version of that row that was taken already, if any was.
    fn told(&mut self, key: &Key) -> Option<Revision> {
        if self.in_order && self.last.as_ref().is_none_or(|last| last < key) {
            self.last = Some(key.clone());
            return None;
        }
        self.in_order = false;
        let refused = self.refused.get(key).map(|(revision, _)| *revision);
        refused.or_else(|| self.builder.snapshot().stored_at(key))
    }

    fn fall_back(&mut self, key: &Key, kept: &Snapshot) {
        if let Some((record, revision)) = kept.stored(key) {
            self.builder.take(Step::Put(Box::new(record), revision));
        } else if let Some(deletion) = deletion(key) {
            self.builder.take(deletion);
        }
    }
}
