//! The default store: one file, held by one process, durable at commit. All rows and the latest
//! commits are in memory too, published as one value: readers and watchers never touch the file,
//! and one writer thread is alone with it.

mod file;
mod guarded;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use super::history::HistoryLimits;
use super::state::State;
use super::tail::tail;
use super::{
    BoxFuture, Change, CommitError, Contents, Expectation, Store, StoreError, Watch, admit,
};
use crate::key::Revision;
use crate::limits;

use file::File;
pub use guarded::catches_panic;
use writer::Request;

/// A store in one file. Dropping it waits for the commit in progress and releases the file.
#[derive(Debug)]
pub struct EmbeddedStore {
    published: watch::Receiver<Arc<State>>,
    /// `None` only while being dropped.
    commits: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens the store at `path`, or creates it in a directory that exists. Blocks: reads the whole
    /// file.
    ///
    /// # Errors
    /// [`StoreError::Held`] if a process (this one too) has it open, [`StoreError::Corrupt`] if it
    /// is not a whole store of this build's schema, [`StoreError::Unavailable`] if the file system
    /// refuses. Each names the path and what to do. Nothing is removed or emptied.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_within(path, HistoryLimits::default())
    }

    /// As [`EmbeddedStore::open`], keeping only so many commits for watchers that are behind.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_with_history(path: &Path, commits: usize) -> Result<Self, StoreError> {
        let limits = HistoryLimits {
            commits,
            ..HistoryLimits::default()
        };
        Self::open_within(path, limits)
    }

    fn open_within(path: &Path, history: HistoryLimits) -> Result<Self, StoreError> {
        let (file, state) = File::open(path, history)?;
        let (publisher, published) = watch::channel(Arc::new(state));
        let (commits, requests) = mpsc::channel(limits::COMMIT_QUEUE);
        let writer = std::thread::Builder::new()
            .name("fprs-store".to_owned())
            .spawn(move || {
                writer::run(requests, &publisher, &mut |batches, state| {
                    file.append(batches, state)
                });
            })
            .map_err(|error| {
                StoreError::Unavailable(format!(
                    "no thread for the store at {}: {error}; raise the process limit",
                    path.display()
                ))
            })?;
        Ok(Self {
            published,
            commits: Some(commits),
            writer: Some(writer),
        })
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.published.borrow())
    }
}

impl Store for EmbeddedStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        let state = self.state();
        Box::pin(async move {
            // Costs every row: not on a thread that others wait for.
            tokio::task::spawn_blocking(move || state.contents())
                .await
                .map_err(|error| {
                    StoreError::Unavailable(format!("the snapshot was not finished: {error}"))
                })
        })
    }

    fn watch(&self, from: Revision) -> Watch {
        tail(self.published.clone(), from)
    }

    /// A commit whose caller goes away before the answer may still happen.
    fn commit(
        &self,
        writes: Vec<Change>,
        expectations: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            let bytes = admit::check(&writes, &expectations)?;
            let (answer, answered) = oneshot::channel();
            let request = Request {
                writes,
                expectations,
                bytes,
                answer,
            };
            let commits = self.commits.as_ref().ok_or_else(closed)?;
            commits.send(request).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        drop(self.commits.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed; restart this process".to_owned())
}

#[cfg(test)]
mod tests;
