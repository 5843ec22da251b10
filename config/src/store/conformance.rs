//! The store's contract as tests: one function a property, and [`run_all`] of them. Every
//! implementation runs the same ones, so that no follower has to know which store it follows.
//! A property that doesn't hold panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test suite fails by panicking"
)]

mod commits;
mod watches;

pub use commits::*;
pub use watches::*;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    Batch, BoxFuture, Change, Contents, Entry, Expectation, SharedStore, Watch, WatchEvent,
};
use crate::clock;
use crate::key::{Key, Revision};

/// No store takes this long for anything asked here.
const PATIENCE: Duration = Duration::from_secs(30);

/// An empty store to test.
pub struct Subject {
    /// The store.
    pub store: SharedStore,
    /// After this many commits, a watch from before them is surely `Lost`; `None`: never.
    pub history: Option<usize>,
    /// What must live as long as the store, e.g. its directory or server.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// Runs every property, each on a fresh empty store.
pub async fn run_all<F, Fut>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Subject>,
{
    type Property = for<'a> fn(&'a Subject) -> BoxFuture<'a, ()>;
    macro_rules! properties {
        ($($property:ident),* $(,)?) => {
            [$((stringify!($property), (|subject| Box::pin($property(subject))) as Property)),*]
        };
    }
    for (name, property) in properties![
        a_commit_is_in_the_next_snapshot,
        a_commit_that_conflicts_writes_nothing,
        one_of_those_who_expect_the_same_wins,
        an_empty_commit_writes_nothing_and_tells_the_revision,
        an_empty_commit_still_checks_its_expectations,
        deleted_records_are_gone_and_can_come_back,
        the_largest_values_are_kept_whole,
        what_is_over_the_limits_is_refused_whole,
        commits_are_told_in_order_and_whole,
        concurrent_writers_leave_no_gap,
        a_snapshot_and_what_follows_come_to_the_same_as_reading_the_end,
        every_watcher_hears_everything,
        progress_is_told_without_commits,
        history_that_is_gone_is_lost,
        a_watcher_that_does_not_read_holds_nobody_up,
    ] {
        let subject = fresh().await;
        tracing::info!(name, "property");
        tokio::time::timeout(PATIENCE, property(&subject))
            .await
            .unwrap_or_else(|_| panic!("{name} takes longer than {PATIENCE:?}"));
    }
}

fn key(name: &str) -> Key {
    // A kind that no build knows: values are opaque to stores.
    Key {
        kind: "conformance".into(),
        name: name.into(),
    }
}

fn put(name: &str, value: impl Into<Bytes>) -> Change {
    Change {
        key: key(name),
        value: Some(value.into()),
    }
}

fn delete(name: &str) -> Change {
    Change::delete(key(name))
}

fn expect(name: &str, revision: Option<Revision>) -> Expectation {
    Expectation {
        key: key(name),
        revision,
    }
}

impl Subject {
    async fn write(&self, writes: Vec<Change>) -> Revision {
        self.store
            .commit(writes, Vec::new())
            .await
            .expect("an unconditional commit happens")
    }

    async fn read(&self) -> Contents {
        self.store.snapshot().await.expect("the store is readable")
    }
}

/// No clock is so far ahead.
const HOUR_US: u64 = 3_600_000_000;

/// The next commit, progress aside; `None` once lost.
async fn next(watch: &mut Watch) -> Option<Batch> {
    loop {
        match watch.next().await.expect("a watch ends only after `Lost`") {
            WatchEvent::Batch(batch) => {
                let now = clock::unix_us();
                let lag =
                    clock::since(batch.committed_unix_us, now).expect("a commit has its time");
                assert!(lag < 2 * PATIENCE && batch.committed_unix_us < now + HOUR_US);
                // The rest of it is known beforehand.
                return Some(Batch::new(batch.revision, batch.changes));
            }
            WatchEvent::Progress(_) => {}
            WatchEvent::Lost => {
                assert_eq!(watch.next().await, None, "nothing follows `Lost`");
                return None;
            }
        }
    }
}

/// Commits up to and including that revision.
async fn until(watch: &mut Watch, revision: Revision) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    while batches.last().is_none_or(|last| last.revision < revision) {
        let batch = next(watch).await.expect("history is not lost");
        if let Some(last) = batches.last() {
            assert!(last.revision < batch.revision, "revisions grow");
        }
        batches.push(batch);
    }
    batches
}

/// What a follower has that began with `contents` and heard `batches`.
fn replay(contents: Contents, batches: &[Batch]) -> Contents {
    let mut rows: BTreeMap<Key, Entry> = contents
        .entries
        .into_iter()
        .map(|entry| (entry.key.clone(), entry))
        .collect();
    let mut revision = contents.revision;
    for batch in batches {
        revision = batch.revision;
        for change in &batch.changes {
            rows.remove(&change.key);
            if let Some(value) = &change.value {
                let entry = Entry {
                    key: change.key.clone(),
                    value: value.clone(),
                    revision,
                };
                rows.insert(change.key.clone(), entry);
            }
        }
    }
    Contents {
        revision,
        entries: rows.into_values().collect(),
    }
}
