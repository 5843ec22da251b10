//! A store that lives in another process: commits go to its engine, and followers are served from a
//! copy that a single reader keeps up to date. While the engine can't be read, what was read last is
//! served: stale is not dead.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::history::HistoryLimits;
use super::mirror::Mirror;
use super::{
    Batch, BoxFuture, Change, CommitError, Contents, Expectation, Store, StoreError, Watch, admit,
};
use crate::clock;
use crate::key::Revision;
use crate::limits;

/// What differs between such stores. Every call ends in bounded time, but `follow` never.
pub(super) trait Engine: Clone + Debug + Send + Sync + 'static {
    /// The newest revision.
    fn newest(&self) -> impl Future<Output = Result<Revision, StoreError>> + Send;

    /// Writes and numbers a commit, if every expectation holds.
    fn commit(
        &self,
        writes: Arc<[Change]>,
        expectations: Vec<Expectation>,
    ) -> impl Future<Output = Result<Revision, CommitError>> + Send;

    /// Keeps the copy up to date, through whatever happens to the connection.
    fn follow(self, mirror: Arc<Mirror>) -> impl Future<Output = ()> + Send;
}

/// A store behind its engine. Dropping it stops its reader.
#[derive(Debug)]
pub(super) struct Mirrored<E> {
    pub(super) engine: E,
    pub(super) mirror: Arc<Mirror>,
    reader: JoinHandle<()>,
    /// How new the store was, and when that was asked.
    newest: Mutex<Option<(Instant, Revision)>>,
}

impl<E: Engine> Mirrored<E> {
    /// Begins to follow the engine; returns once everything was read. Wants a runtime.
    pub(super) async fn open(engine: E, history: HistoryLimits) -> Result<Self, StoreError> {
        let mirror = Arc::new(Mirror::new(history));
        let reader = tokio::spawn(engine.clone().follow(Arc::clone(&mirror)));
        let store = Self {
            engine,
            mirror,
            reader,
            newest: Mutex::new(None),
        };
        store.mirror.read().await?;
        Ok(store)
    }

    /// How new the store is. Whoever asks at the same time shares one read.
    async fn newest(&self) -> Result<Revision, StoreError> {
        let asked = Instant::now();
        let mut newest = self.newest.lock().await;
        if let Some((begun, revision)) = *newest
            && begun >= asked
        {
            return Ok(revision);
        }
        let begun = Instant::now();
        let revision = timeout(limits::REMOTE_HEAD, self.engine.newest())
            .await
            .map_err(|_| StoreError::Unavailable("it does not answer".to_owned()))??;
        *newest = Some((begun, revision));
        Ok(revision)
    }
}

impl<E: Engine> Store for Mirrored<E> {
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        Box::pin(async move {
            let newest = match self.newest().await {
                Ok(newest) => newest,
                Err(error) => match self.mirror.revision() {
                    Some(revision) => {
                        tracing::warn!(%error, %revision, "a snapshot may be stale");
                        revision
                    }
                    None => return Err(error),
                },
            };
            self.mirror.contents(newest).await
        })
    }

    fn watch(&self, from: Revision) -> Watch {
        self.mirror.watch(from)
    }

    fn commit(
        &self,
        writes: Vec<Change>,
        expectations: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            admit::check(&writes, &expectations)?;
            if writes.is_empty() && expectations.is_empty() {
                return Ok(self.newest().await?);
            }
            let committed_unix_us = clock::unix_us();
            let writes: Arc<[Change]> = writes.into();
            let commit = self.engine.commit(Arc::clone(&writes), expectations);
            let revision = commit.await?;
            if !writes.is_empty() {
                // Followers of this process need not wait for the reader to bring it back.
                self.mirror.push(&Arc::new(Batch {
                    revision,
                    committed_unix_us,
                    changes: writes.to_vec(),
                }));
            }
            Ok(revision)
        })
    }
}

impl<E> Drop for Mirrored<E> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
