//! Reads the whole file and checks that it adds up: every checksum, the number of rows, no row from
//! the future, and a log without a gap up to the present.

use std::sync::Arc;

use bytes::Bytes;
use fprs_proto::feed as wire;
use imbl::OrdMap;
use prost::Message;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::fault::Fault;
use super::{
    LOG, META, META_REVISION, META_ROWS, META_SCHEMA, ROWS, SCHEMA, log_checksum, row_checksum,
};
use crate::key::{Key, Revision};
use crate::store::Batch;
use crate::store::history::{History, HistoryLimits};
use crate::store::state::{Row, State};

pub(super) fn read(database: &Database, limits: HistoryLimits) -> Result<State, Fault> {
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let schema = meta(&transaction, META_SCHEMA)?;
    if schema > SCHEMA {
        return Err(Fault::NewerSchema(schema));
    }
    let revision = Revision(meta(&transaction, META_REVISION)?);
    let rows = rows(&transaction, revision)?;
    let expected = meta(&transaction, META_ROWS)?;
    if u64::try_from(rows.len()) != Ok(expected) {
        return Err(Fault::Damage(format!(
            "it has {} rows and says {expected}",
            rows.len()
        )));
    }
    let history = history(&transaction, revision, limits)?;
    Ok(State::stored(rows, history))
}

fn meta(transaction: &ReadTransaction, name: &str) -> Result<u64, Fault> {
    let table = transaction.open_table(META).map_err(redb::Error::from)?;
    let number = table.get(name).map_err(redb::Error::from)?;
    number
        .map(|number| number.value())
        .ok_or_else(|| Fault::Damage(format!("its `{name}` is missing")))
}

fn rows(transaction: &ReadTransaction, until: Revision) -> Result<OrdMap<Key, Row>, Fault> {
    let table = transaction.open_table(ROWS).map_err(redb::Error::from)?;
    let mut rows = OrdMap::new();
    for row in table.iter().map_err(redb::Error::from)? {
        let (key, row) = row.map_err(redb::Error::from)?;
        let (kind, name) = key.value();
        let (revision, sum, value) = row.value();
        let key = Key {
            kind: kind.into(),
            name: name.into(),
        };
        if row_checksum(&key, revision, value) != sum {
            return Err(Fault::Damage(format!("the checksum of {key} is wrong")));
        }
        if revision > until.0 {
            return Err(Fault::Damage(format!(
                "{key} is of revision {revision}, the store of {until}"
            )));
        }
        let row = Row {
            value: Bytes::copy_from_slice(value),
            revision: Revision(revision),
        };
        rows.insert(key, row);
    }
    Ok(rows)
}

fn history(
    transaction: &ReadTransaction,
    until: Revision,
    limits: HistoryLimits,
) -> Result<History, Fault> {
    let table = transaction.open_table(LOG).map_err(redb::Error::from)?;
    let mut batches = Vec::new();
    for entry in table.iter().map_err(redb::Error::from)? {
        let (revision, entry) = entry.map_err(redb::Error::from)?;
        batches.push(logged(revision.value(), entry.value())?);
    }
    let first = batches.first().map_or(until.0, |batch: &Arc<Batch>| {
        batch.revision.0.saturating_sub(1)
    });
    let mut history = History::at(Revision(first), limits);
    for batch in batches {
        if batch.revision.0 != history.latest().0.saturating_add(1) {
            return Err(Fault::Damage(format!(
                "its log has no revision between {} and {}",
                history.latest(),
                batch.revision
            )));
        }
        history.push(batch);
    }
    if history.latest() != until {
        return Err(Fault::Damage(format!(
            "its log ends at revision {}, the store is of {until}",
            history.latest()
        )));
    }
    Ok(history)
}

fn logged(revision: u64, (sum, bytes): (u32, &[u8])) -> Result<Arc<Batch>, Fault> {
    let wrong = |what: &str| Fault::Damage(format!("{what} of revision {revision} is wrong"));
    if log_checksum(revision, bytes) != sum {
        return Err(wrong("the checksum"));
    }
    let batch = wire::Batch::decode(Bytes::copy_from_slice(bytes))
        .ok()
        .and_then(|batch| Batch::try_from(batch).ok())
        .filter(|batch| batch.revision.0 == revision)
        .ok_or_else(|| wrong("the batch"))?;
    Ok(Arc::new(batch))
}
