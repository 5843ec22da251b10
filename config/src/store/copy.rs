//! Takes all records of a store to a file and back: a backup, and the way from one store to another.
//! The file is that of the last-good snapshot: checksummed, versioned, replaced whole or not at all.

use std::path::Path;

use super::{Change, CommitError, Contents, Expectation, Store, StoreError, admit};
use crate::last_good::{LastGood, LastGoodError, Pace};
use crate::limits;

/// Why records can't be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The file.
    #[error(transparent)]
    File(#[from] LastGoodError),
    /// There is no file.
    #[error("there is no file `{0}`")]
    Missing(String),
    /// It would overwrite or mix.
    #[error("the store has {0} records; import into an empty one")]
    NotEmpty(usize),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A commit of some of the records.
    #[error("after {done} of {all} records: {error}")]
    Commit {
        /// Records that are in the store.
        done: usize,
        /// Records of the file.
        all: usize,
        /// What the store said.
        error: CommitError,
    },
}

/// Writes every record of the store to that file; how many. Blocks while it writes.
///
/// # Errors
/// The store can't be read or the file not written.
pub async fn export(store: &dyn Store, path: &Path) -> Result<usize, CopyError> {
    let Contents { revision, entries } = store.snapshot().await?;
    let records = entries.len();
    LastGood::new(path).write(revision, entries, Pace::AtOnce)?;
    Ok(records)
}

/// Writes every record of that file to an empty store, in commits within the limits; how many.
/// Blocks while it reads. What a failure leaves in the store has to be removed before another try.
///
/// # Errors
/// The file is missing or not whole, the store is not empty or refuses a record.
pub async fn import(store: &dyn Store, path: &Path) -> Result<usize, CopyError> {
    let file = LastGood::new(path).read()?;
    let file = file.ok_or_else(|| CopyError::Missing(path.display().to_string()))?;
    let there = store.snapshot().await?.entries.len();
    if there > 0 {
        return Err(CopyError::NotEmpty(there));
    }
    let all = file.entries.len();
    let mut done = 0_usize;
    let mut entries = file.entries.into_iter().peekable();
    while entries.peek().is_some() {
        let mut writes = Vec::new();
        let mut bytes = 0_usize;
        while let Some(entry) = entries.next_if(|entry| {
            let size = entry.value.len().saturating_add(2 * limits::HOST_BYTES);
            writes.len() < limits::COMMIT_WRITES
                && bytes.saturating_add(size) <= limits::COMMIT_BYTES
        }) {
            let change = Change {
                key: entry.key,
                value: Some(entry.value),
            };
            bytes = bytes.saturating_add(admit::size(&change));
            writes.push(change);
        }
        // Nobody else fills it meanwhile.
        let expectations = writes.iter().map(|change| Expectation {
            key: change.key.clone(),
            revision: None,
        });
        let expectations = expectations.collect();
        let count = writes.len();
        store
            .commit(writes, expectations)
            .await
            .map_err(|error| CopyError::Commit { done, all, error })?;
        done = done.saturating_add(count);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EmbeddedStore;
    use crate::testing::{domain, server};

    #[tokio::test]
    async fn what_is_exported_can_be_imported_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("export");
        let from = EmbeddedStore::open(&dir.path().join("from")).unwrap();
        let to = EmbeddedStore::open(&dir.path().join("to")).unwrap();
        let many = limits::COMMIT_WRITES;
        let writes = (0..many).map(|n| domain(&format!("h{n}.example"), "a").change());
        from.commit(writes.collect(), Vec::new()).await.unwrap();
        from.commit(vec![server("a").change()], Vec::new())
            .await
            .unwrap();
        assert_eq!(export(&from, &file).await.unwrap(), many + 1);
        assert_eq!(import(&to, &file).await.unwrap(), many + 1);
        let values = |contents: Contents| {
            let entries = contents.entries.into_iter();
            entries
                .map(|entry| (entry.key, entry.value))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            values(to.snapshot().await.unwrap()),
            values(from.snapshot().await.unwrap())
        );
        assert!(matches!(
            import(&to, &file).await,
            Err(CopyError::NotEmpty(count)) if count == many + 1
        ));
        let nowhere = import(&to, &dir.path().join("nowhere")).await;
        assert!(matches!(nowhere, Err(CopyError::Missing(_))));
    }
}
