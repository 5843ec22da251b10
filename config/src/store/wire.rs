//! PURE. Entries, changes and batches as the feed, the revision log and the last-good file write
//! them. Reading checks that keys are there; what a value means is checked by `apply`.

use fprs_proto::feed as wire;

use super::{Batch, Change, Entry, Expectation};
use crate::key::{Key, Revision};

/// A message lacks its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the store's contract has no key")]
pub struct NoKey;

impl From<Key> for wire::Key {
    fn from(key: Key) -> Self {
        Self {
            kind: key.kind.to_string(),
            name: key.name.to_string(),
        }
    }
}

impl From<wire::Key> for Key {
    fn from(key: wire::Key) -> Self {
        Self {
            kind: key.kind.into(),
            name: key.name.into(),
        }
    }
}

impl From<Entry> for wire::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            key: Some(entry.key.into()),
            value: entry.value,
            revision: entry.revision.0,
        }
    }
}

impl TryFrom<wire::Entry> for Entry {
    type Error = NoKey;

    fn try_from(entry: wire::Entry) -> Result<Self, NoKey> {
        Ok(Self {
            key: entry.key.ok_or(NoKey)?.into(),
            value: entry.value,
            revision: Revision(entry.revision),
        })
    }
}

impl From<Change> for wire::Change {
    fn from(change: Change) -> Self {
        Self {
            key: Some(change.key.into()),
            value: change.value,
        }
    }
}

impl TryFrom<wire::Change> for Change {
    type Error = NoKey;

    fn try_from(change: wire::Change) -> Result<Self, NoKey> {
        Ok(Self {
            key: change.key.ok_or(NoKey)?.into(),
            value: change.value,
        })
    }
}

impl From<Batch> for wire::Batch {
    fn from(batch: Batch) -> Self {
        Self {
            revision: batch.revision.0,
            committed_unix_us: batch.committed_unix_us,
            changes: batch.changes.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Batch> for Batch {
    type Error = NoKey;

    fn try_from(batch: wire::Batch) -> Result<Self, NoKey> {
        Ok(Self {
            revision: Revision(batch.revision),
            committed_unix_us: batch.committed_unix_us,
            changes: batch
                .changes
                .into_iter()
                .map(Change::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<Expectation> for wire::Expectation {
    fn from(expectation: Expectation) -> Self {
        Self {
            key: Some(expectation.key.into()),
            revision: expectation.revision.map(|revision| revision.0),
        }
    }
}

impl TryFrom<wire::Expectation> for Expectation {
    type Error = NoKey;

    fn try_from(expectation: wire::Expectation) -> Result<Self, NoKey> {
        Ok(Self {
            key: expectation.key.ok_or(NoKey)?.into(),
            revision: expectation.revision.map(Revision),
        })
    }
}
