//! The file: current rows, the latest commits, and what they should add up to. Every value carries
//! a checksum over its key, revision and bytes. What doesn't add up is reported, never repaired by
//! leaving something out; a file that exists is never created anew.

mod fault;
mod read;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use redb::{Builder, Database, ReadableTable, TableDefinition, WriteTransaction};

use crate::key::Key;
use crate::store::history::HistoryLimits;
use crate::store::state::State;
use crate::store::{Batch, StoreError};

use super::guarded::guarded;
use fault::Fault;

/// (kind, name) → (revision, checksum, value).
const ROWS: TableDefinition<'_, (&str, &str), (u64, u32, &[u8])> = TableDefinition::new("rows");
/// Revision → (checksum, batch as the feed writes it).
const LOG: TableDefinition<'_, u64, (u32, &[u8])> = TableDefinition::new("log");
/// Numbers about the rest, by the names below.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const META_SCHEMA: &str = "schema";
const META_REVISION: &str = "revision";
const META_ROWS: &str = "rows";

/// Changes with every layout that an earlier build could not read.
const SCHEMA: u64 = 1;

/// Pages kept by redb, bytes; rows are in memory anyway, so only the writer's inner pages profit.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The open file; its lock is held as long as this lives.
pub(super) struct File {
    database: Database,
    path: PathBuf,
}

impl File {
    /// Opens or creates the file and reads all of it.
    pub(super) fn open(path: &Path, history: HistoryLimits) -> Result<(Self, State), StoreError> {
        let (database, state) =
            open_or_create(path, history).map_err(|fault| fault.explain(path))?;
        let file = Self {
            database,
            path: path.to_owned(),
        };
        Ok((file, state))
    }

    /// Writes commits, and what they add up to, durably and at once.
    pub(super) fn append(&self, batches: &[Arc<Batch>], after: &State) -> Result<(), StoreError> {
        guarded(|| self.write(batches, after))
            .unwrap_or_else(|| Err(redb::Error::Corrupted("writing panicked".to_owned())))
            .map_err(|error| {
                StoreError::Unavailable(format!(
                    "the store at {} can't be written: {error}; whether the last commit happened \
                     shows after a restart, with free space and a sound disk",
                    self.path.display()
                ))
            })
    }

    fn write(&self, batches: &[Arc<Batch>], after: &State) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        for batch in batches {
            write_rows(&transaction, batch)?;
        }
        write_log(&transaction, batches, after)?;
        write_meta(&transaction, after)?;
        transaction.commit()?;
        Ok(())
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn open_or_create(path: &Path, history: HistoryLimits) -> Result<(Database, State), Fault> {
    if !fs::exists(path)? {
        let state = State::empty(history);
        return create(path, &state).map(|database| (database, state));
    }
    guarded(|| {
        let database = builder().open(path).map_err(redb::Error::from)?;
        let state = read::read(&database, history)?;
        Ok((database, state))
    })
    .unwrap_or_else(|| Err(Fault::Damage("reading it panicked".to_owned())))
}

/// Creates the store under another name and links it into place once it is whole: a file at `path`
/// is a whole store from its first moment, and an existing one can't be replaced.
fn create(path: &Path, state: &State) -> Result<Database, Fault> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:016x}.new", fastrand::u64(..)));
    let draft = PathBuf::from(draft);
    let created = create_at(&draft, state).and_then(|database| {
        fs::hard_link(&draft, path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Fault::Held,
            _ => Fault::Io(error),
        })?;
        Ok(database)
    });
    let removed = fs::remove_file(&draft);
    let database = created?;
    removed?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::File::open(directory)?.sync_all()?;
    Ok(database)
}

fn create_at(draft: &Path, state: &State) -> Result<Database, Fault> {
    let fresh = || -> Result<Database, redb::Error> {
        let database = builder().create(draft)?;
        let transaction = database.begin_write()?;
        transaction.open_table(ROWS)?;
        transaction.open_table(LOG)?;
        write_meta(&transaction, state)?;
        transaction.commit()?;
        Ok(database)
    };
    fresh().map_err(Fault::from)
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn write_rows(transaction: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    let mut rows = transaction.open_table(ROWS)?;
    let revision = batch.revision.0;
    for change in &batch.changes {
        let key = (&*change.key.kind, &*change.key.name);
        match &change.value {
            Some(value) => {
                let sum = row_checksum(&change.key, revision, value);
                rows.insert(key, (revision, sum, &**value))?;
            }
            None => {
                rows.remove(key)?;
            }
        }
    }
    Ok(())
}

/// Adds commits to the log and removes what the history in memory has forgotten.
fn write_log(
    transaction: &WriteTransaction,
    batches: &[Arc<Batch>],
    after: &State,
) -> Result<(), redb::Error> {
    let mut log = transaction.open_table(LOG)?;
    for batch in batches {
        let revision = batch.revision.0;
        let bytes = fprs_proto::feed::Batch::from(Batch::clone(batch)).encode_to_vec();
        log.insert(revision, (log_checksum(revision, &bytes), &*bytes))?;
    }
    let oldest = after.history().oldest().0;
    while log
        .first()?
        .is_some_and(|(revision, _)| revision.value() <= oldest)
    {
        log.pop_first()?;
    }
    Ok(())
}

fn write_meta(transaction: &WriteTransaction, state: &State) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    let rows = u64::try_from(state.len()).unwrap_or(u64::MAX);
    meta.insert(META_SCHEMA, SCHEMA)?;
    meta.insert(META_REVISION, state.revision().0)?;
    meta.insert(META_ROWS, rows)?;
    Ok(())
}

fn row_checksum(key: &Key, revision: u64, value: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in [key.kind.as_bytes(), b"\0", key.name.as_bytes(), b"\0"] {
        sum.update(part);
    }
    sum.update(&revision.to_le_bytes());
    sum.update(value);
    sum.finalize()
}

fn log_checksum(revision: u64, bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&revision.to_le_bytes());
    sum.update(bytes);
    sum.finalize()
}

#[cfg(test)]
mod tests;
