//! PURE. The one way records become a snapshot: decode and check every record of a batch first,
//! then build the next snapshot at once; a record that is refused keeps its last good version.
//! A batch costs what is in it, however large the snapshot.

mod build;
mod guard;
mod load;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::key::{Key, Kind, Revision};
use crate::limits;
use crate::pace::give_way_after;
use crate::record::{Record, Refusal};
use crate::snapshot::Snapshot;
use crate::store::{Batch, Contents};

use build::{Builder, Built};
use guard::Held;
pub(crate) use guard::held_snapshot;
pub use load::Loader;

/// What applying a batch came to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The next snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Servers whose view changed: the spec, a replica or a domain. Each once.
    pub servers: Vec<Arc<str>>,
    /// Custom host names bound, rebound or released. Each once.
    pub hosts: Vec<Arc<str>>,
    /// Tenants, tokens and issuers written or deleted. Each once.
    pub callers: Callers,
    /// Records that were refused.
    pub refused: Vec<Refusal>,
    /// Everything may have changed (a new snapshot was taken); what names single records is empty.
    pub whole: bool,
}

/// Names of records about those who call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    /// Tenants.
    pub tenants: Vec<Arc<str>>,
    /// Tokens, by id.
    pub tokens: Vec<Arc<str>>,
    /// Issuers.
    pub issuers: Vec<Arc<str>>,
}

/// One checked change.
#[derive(Debug)]
enum Step {
    Put(Box<Record>, Revision),
    Delete(Kind, Arc<str>),
}

/// The snapshot of everything a store holds. Records that can't be used are left out.
pub fn load(contents: &Contents) -> Applied {
    reload(&Snapshot::default(), contents)
}

/// As [`load`], for a follower that already has a snapshot: a record that can't be used keeps the
/// version `previous` has of it.
pub fn reload(previous: &Snapshot, contents: &Contents) -> Applied {
    reload_within(previous, contents, limits::SNAPSHOT_RECORDS)
}

/// The snapshot after one more commit. A batch that is not newer than `current` changes nothing.
pub fn apply(current: &Snapshot, batch: &Batch) -> Applied {
    apply_within(current, batch, limits::SNAPSHOT_RECORDS)
}

fn apply_within(current: &Snapshot, batch: &Batch, records: usize) -> Applied {
    if batch.revision <= current.revision {
        return Applied {
            snapshot: Arc::new(current.clone()),
            ..Applied::default()
        };
    }
    let mut refused = Vec::new();
    let mut steps = Vec::with_capacity(batch.changes.len());
    let mut count = current.len();
    let held = Held::of(current, batch);
    for (at, change) in batch.changes.iter().enumerate() {
        give_way_after(at);
        let known = current.stored_at(&change.key).is_some();
        let step = match &change.value {
            Some(value) if known || count < records => {
                decode(&change.key, value).map(|record| Some(Step::Put(record, batch.revision)))
            }
            Some(_) => Err(full(records)),
            None if let Some(reason) = held.reason(&change.key) => Err(reason),
            None => Ok(known.then(|| deletion(&change.key)).flatten()),
        };
        match step {
            Ok(Some(step)) => {
                match step {
                    Step::Put(..) if !known => count = count.saturating_add(1),
                    Step::Put(..) => {}
                    Step::Delete(..) => count = count.saturating_sub(1),
                }
                steps.push(step);
            }
            Ok(None) => {}
            Err(reason) => refused.push(refusal(&change.key, batch.revision, reason)),
        }
    }

    let mut builder = Builder::on(current);
    for (at, step) in steps.into_iter().enumerate() {
        give_way_after(at);
        builder.take(step);
    }
    let Built {
        snapshot,
        servers,
        hosts,
        callers,
    } = builder.finish(batch.revision);
    if cfg!(debug_assertions) {
        snapshot.check_touched(&servers, &hosts);
    }
    Applied {
        snapshot: Arc::new(snapshot),
        servers,
        hosts,
        callers,
        refused,
        whole: false,
    }
}

fn reload_within(previous: &Snapshot, contents: &Contents, records: usize) -> Applied {
    let mut loader = Loader::within(previous, contents.revision, records);
    for entry in &contents.entries {
        loader.take(&entry.key, &entry.value, entry.revision);
    }
    loader.finish()
}

/// A decoder that panics on a value refuses that value, nothing else.
fn decode(key: &Key, value: &Bytes) -> Result<Box<Record>, String> {
    catch_unwind(AssertUnwindSafe(|| Record::decode(key, value)))
        .unwrap_or_else(|_| Err("panicked this build's decoder".to_owned()))
        .map(Box::new)
}

fn deletion(key: &Key) -> Option<Step> {
    Kind::from_name(&key.kind).map(|kind| Step::Delete(kind, Arc::clone(&key.name)))
}

fn full(records: usize) -> String {
    format!("no room: a snapshot holds at most {records} records; delete some first")
}

fn refusal(key: &Key, revision: Revision, reason: String) -> Refusal {
    Refusal {
        key: key.clone(),
        revision,
        reason,
    }
}

#[cfg(test)]
mod tests;
