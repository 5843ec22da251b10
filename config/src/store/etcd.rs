//! The store on etcd: a commit is one etcd transaction and its revision is etcd's own. Followers are
//! served from a copy that a single watch keeps up to date.

mod address;
mod client;
mod reader;

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

pub use address::Etcd;
use client::Client;

/// A store on etcd. Dropping it stops its reader.
#[derive(Debug)]
pub struct EtcdStore {
    client: Client,
    mirror: Arc<Mirror>,
    reader: JoinHandle<()>,
    /// How new the store was, and when that was asked.
    newest: Mutex<Option<(Instant, Revision)>>,
}

/// Why a store on etcd can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The address is not one.
    #[error("`{0}` is not etcd://host:port[,host:port…][/prefix]")]
    Address(String),
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EtcdStore {
    /// Opens the store and begins to follow it. Wants a runtime. There is nothing to prepare.
    ///
    /// # Errors
    /// None of its members can be reached.
    pub async fn open(address: &Etcd) -> Result<Self, EtcdError> {
        Self::open_within(address, HistoryLimits::default()).await
    }

    async fn open_within(address: &Etcd, history: HistoryLimits) -> Result<Self, EtcdError> {
        let client = Client::new(address)?;
        client.newest().await?;
        let mirror = Arc::new(Mirror::new(history));
        let reader = tokio::spawn(reader::run(client.clone(), Arc::clone(&mirror)));
        let store = Self {
            client,
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
        let revision = timeout(limits::REMOTE_HEAD, self.client.newest())
            .await
            .map_err(|_| StoreError::Unavailable("it does not answer".to_owned()))??;
        *newest = Some((begun, revision));
        Ok(revision)
    }
}

impl Store for EtcdStore {
    /// While etcd can't be read, what was read last is served: stale is not dead.
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
            let revision = self.client.commit(&writes, &expectations).await?;
            if !writes.is_empty() {
                // Followers of this process need not wait for the watch to bring it back.
                self.mirror.push(&Arc::new(Batch {
                    revision,
                    changes: writes,
                }));
            }
            Ok(revision)
        })
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests;
