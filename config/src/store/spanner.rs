//! The store on Cloud Spanner: commits are transactions that number themselves by one head row, and
//! followers are served from a copy that a single reader keeps up to date by the change stream. The
//! numbers have no gaps, so that revisions mean the same in every process and what is missing shows.

mod address;
mod client;
mod decode;
mod partitions;
mod reader;
mod schema;
mod transactions;

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::history::HistoryLimits;
use super::mirror::Mirror;
use super::{
    Batch, BoxFuture, Change, CommitError, Contents, Expectation, Store, StoreError, Watch, admit,
};
use crate::key::Revision;
use crate::limits;

pub use address::Spanner;
use client::Client;

/// A store on Spanner. Dropping it stops its reader.
#[derive(Debug)]
pub struct SpannerStore {
    client: Client,
    mirror: Arc<Mirror>,
    reader: JoinHandle<()>,
    /// One commit of this process at a time: they would only abort each other at the head's row.
    turn: Mutex<()>,
    /// How new the store was, and when that was asked.
    newest: Mutex<Option<(Instant, Revision)>>,
}

/// Why a store on Spanner can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpannerError {
    /// The address is not one.
    #[error("`{0}` is not spanner://projects/P/instances/I/databases/D")]
    Address(String),
    /// The database is not as this build needs it.
    #[error("{0}")]
    Schema(String),
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SpannerStore {
    /// Opens the store and begins to follow it. Wants a runtime.
    ///
    /// # Errors
    /// It can't be reached, or is not prepared for this build; each says what to do.
    pub async fn open(address: &Spanner) -> Result<Self, SpannerError> {
        Self::open_within(address, HistoryLimits::default()).await
    }

    /// Creates the database if there is none, and its tables and change stream: what is there stays.
    ///
    /// # Errors
    /// Spanner refuses, or the database is a later build's.
    pub async fn init(address: &Spanner) -> Result<(), SpannerError> {
        schema::init(address).await
    }

    async fn open_within(address: &Spanner, history: HistoryLimits) -> Result<Self, SpannerError> {
        let client = Client::connect(address).await?;
        schema::check(&client, address).await?;
        let mirror = Arc::new(Mirror::new(history));
        let reader = tokio::spawn(reader::run(client.clone(), Arc::clone(&mirror)));
        let store = Self {
            client,
            mirror,
            reader,
            turn: Mutex::new(()),
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
        let revision = timeout(limits::REMOTE_HEAD, self.client.head(None))
            .await
            .map_err(|_| StoreError::Unavailable("it does not answer".to_owned()))??;
        *newest = Some((begun, revision));
        Ok(revision)
    }
}

impl Store for SpannerStore {
    /// While Spanner can't be read, what was read last is served: stale is not dead.
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
            let _turn = self.turn.lock().await;
            let writes: Arc<[Change]> = writes.into();
            let revision = self
                .client
                .commit(Arc::clone(&writes), expectations)
                .await?;
            if !writes.is_empty() {
                // Followers of this process need not wait for the stream to bring it back.
                self.mirror.push(&Arc::new(Batch {
                    revision,
                    changes: writes.to_vec(),
                }));
            }
            Ok(revision)
        })
    }
}

impl Drop for SpannerStore {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests;
