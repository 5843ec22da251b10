//! PURE. What a single-writer store holds: the current rows and the latest commits, as one value
//! that is published whole. A commit either makes the next one or says why not.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use super::history::{History, HistoryLimits};
use super::{Batch, Change, CommitError, Contents, Entry, Expectation};
use crate::key::{Key, Revision};

/// Rows and history at one revision. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct State {
    rows: OrdMap<Key, Row>,
    history: History,
}

/// A value and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) value: Bytes,
    pub(crate) revision: Revision,
}

impl State {
    /// An empty store.
    pub(crate) fn empty(limits: HistoryLimits) -> Self {
        Self {
            rows: OrdMap::new(),
            history: History::at(Revision::default(), limits),
        }
    }

    /// What was stored before.
    pub(crate) const fn stored(rows: OrdMap<Key, Row>, history: History) -> Self {
        Self { rows, history }
    }

    /// What was read elsewhere, without what led there.
    #[cfg(any(feature = "spanner", feature = "etcd"))]
    pub(crate) fn read(contents: Contents, limits: HistoryLimits) -> Self {
        let history = History::at(contents.revision, limits);
        let row = |entry: Entry| {
            let Entry {
                key,
                value,
                revision,
            } = entry;
            (key, Row { value, revision })
        };
        Self {
            rows: contents.entries.into_iter().map(row).collect(),
            history,
        }
    }

    pub(crate) const fn revision(&self) -> Revision {
        self.history.latest()
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents {
            revision: self.revision(),
            entries: self
                .rows
                .iter()
                .map(|(key, row)| Entry {
                    key: key.clone(),
                    value: row.value.clone(),
                    revision: row.revision,
                })
                .collect(),
        }
    }

    /// Moves on by one commit, if every expectation holds; returns its batch, or none if there was
    /// nothing to write.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] with every key that is not as expected; nothing has changed then.
    pub(crate) fn commit(
        &mut self,
        writes: Vec<Change>,
        expectations: &[Expectation],
        now_unix_us: u64,
    ) -> Result<Option<Arc<Batch>>, CommitError> {
        let conflicts: Vec<Key> = expectations
            .iter()
            .filter(|expected| {
                self.rows.get(&expected.key).map(|row| row.revision) != expected.revision
            })
            .map(|expected| expected.key.clone())
            .collect();
        if !conflicts.is_empty() {
            return Err(CommitError::Conflict(conflicts));
        }
        if writes.is_empty() {
            return Ok(None);
        }
        let revision = Revision(self.revision().0.saturating_add(1));
        let batch = Arc::new(Batch {
            revision,
            committed_unix_us: now_unix_us,
            changes: writes,
        });
        self.take(Arc::clone(&batch));
        Ok(Some(batch))
    }

    /// Moves on by a commit that happened.
    pub(crate) fn take(&mut self, batch: Arc<Batch>) {
        let revision = batch.revision;
        for Change { key, value } in &batch.changes {
            match value {
                Some(value) => {
                    let row = Row {
                        value: value.clone(),
                        revision,
                    };
                    self.rows.insert(key.clone(), row);
                }
                None => {
                    self.rows.remove(key);
                }
            }
        }
        self.history.push(batch);
    }
}

impl AsRef<History> for State {
    fn as_ref(&self) -> &History {
        &self.history
    }
}
