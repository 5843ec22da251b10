//! The source of truth behind one trait: a snapshot at a revision, every later commit in order and
//! whole, and commits with expectations. What a value means is not a store's business.

mod address;
mod admit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod copy;
mod embedded;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(any(feature = "spanner", feature = "etcd"))]
mod head;
pub(crate) mod history;
#[cfg(any(feature = "spanner", feature = "etcd"))]
mod mirror;
#[cfg(any(feature = "spanner", feature = "etcd"))]
mod mirrored;
#[cfg(feature = "spanner")]
mod spanner;
mod state;
mod tail;
pub(crate) mod wire;

pub use address::{OpenError, StoreAddress};
pub(crate) use admit::check as admit;
pub use embedded::{EmbeddedStore, catches_panic};
#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdError};
#[cfg(feature = "spanner")]
pub use spanner::{Spanner, SpannerError};

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::key::{Key, Revision};

/// A boxed future, so that stores can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What `watch` yields. Ends only after `Lost`.
pub type Watch = Pin<Box<dyn Stream<Item = WatchEvent> + Send>>;

/// What `parts` yields: at least one; an error is the last.
pub type Parts<'a> = Pin<Box<dyn Stream<Item = Result<Contents, StoreError>> + Send + 'a>>;

/// One record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which record.
    pub key: Key,
    /// Its encoded value.
    pub value: Bytes,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// Every record at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The revision the entries are exact at.
    pub revision: Revision,
    /// In key order.
    pub entries: Vec<Entry>,
}

/// One write of a commit: a new value, or none for a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: Key,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
}

/// One commit, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The commit's revision.
    pub revision: Revision,
    /// When it was committed, in microseconds since the Unix epoch, by the clock of whoever did; 0: not
    /// known.
    pub committed_unix_us: u64,
    /// All its writes; a key occurs once.
    pub changes: Vec<Change>,
}

impl Batch {
    /// A commit of a time that nobody knows.
    pub const fn new(revision: Revision, changes: Vec<Change>) -> Self {
        Self {
            revision,
            committed_unix_us: 0,
            changes,
        }
    }
}

/// What must hold for a commit to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Which record.
    pub key: Key,
    /// It was last written at this revision; `None`: it does not exist.
    pub revision: Option<Revision>,
}

/// What a follower is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The next commit.
    Batch(Batch),
    /// History is gone, the follower was too slow or the connection broke: take a new snapshot.
    Lost,
    /// Everything up to this revision has been told. Sent at least once a second.
    Progress(Revision),
}

/// The source of truth.
///
/// Contract, held by the conformance suite for every implementation: `watch(from)` yields every
/// commit after `from` exactly once, in order, a commit as one batch; what can't be continued
/// without a gap ends with [`WatchEvent::Lost`]. A commit is all or nothing, durable when it
/// returns, and a snapshot taken afterwards holds it.
pub trait Store: Send + Sync + 'static {
    /// All records at one revision.
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>>;

    /// The same in parts, each with the one revision, for whoever need not have all of it in memory.
    fn parts(&self) -> Parts<'_> {
        stream::once(self.snapshot()).boxed()
    }

    /// Every commit after `from`.
    fn watch(&self, from: Revision) -> Watch;

    /// Writes all of `writes` if every expectation holds, else nothing. An empty commit is allowed
    /// and returns the current revision.
    fn commit(
        &self,
        writes: Vec<Change>,
        expectations: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>>;
}

/// A store shared between roles.
pub type SharedStore = Arc<dyn Store>;

/// Why a store can't be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file or database holds something this build did not write; nothing was changed.
    #[error("{0}")]
    Corrupt(String),
    /// Somebody else holds it.
    #[error("{0}")]
    Held(String),
    /// It did not answer; try again.
    #[error("{0}")]
    Unavailable(String),
}

/// Why a commit did not happen.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// These records are not as expected; nothing was written. Read again and decide again.
    #[error("changed meanwhile: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Conflict(Vec<Key>),
    /// Too large, too many, or a value that `apply` would refuse; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
