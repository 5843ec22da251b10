//! A copy in memory of a store that is somewhere else, kept up to date by one reader: every snapshot
//! and every watch of this process is served from it, so that the store has one reader however many
//! followers there are. It only ever moves on by the next commit, or begins again from a whole read.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::history::{History, HistoryLimits};
use super::state::State;
use super::tail::tail_of_copy;
use super::{Batch, Contents, StoreError, Watch, WatchEvent};
use crate::key::Revision;
use crate::limits;

/// The copy. Shared by the reader that fills it and the store that serves it.
#[derive(Debug)]
pub(crate) struct Mirror {
    published: watch::Sender<Arc<Copied>>,
    limits: HistoryLimits,
    /// Why the reader can't read at the moment.
    trouble: Mutex<Option<String>>,
}

#[derive(Clone, Debug)]
struct Copied {
    state: State,
    /// It was read at least once.
    read: bool,
}

impl AsRef<History> for Copied {
    fn as_ref(&self) -> &History {
        self.state.history()
    }
}

impl Mirror {
    /// Holds nothing until the first read.
    pub(crate) fn new(limits: HistoryLimits) -> Self {
        let nothing = Copied {
            state: State::empty(limits),
            read: false,
        };
        Self {
            published: watch::Sender::new(Arc::new(nothing)),
            limits,
            trouble: Mutex::new(None),
        }
    }

    /// The revision it is at; `None` before the first read.
    pub(crate) fn revision(&self) -> Option<Revision> {
        let copied = self.published.borrow();
        copied.read.then(|| copied.state.revision())
    }

    /// Begins again from a whole read. Watches that are behind it are lost.
    pub(crate) fn replace(&self, contents: Contents) {
        let state = State::read(contents, self.limits);
        self.published
            .send_replace(Arc::new(Copied { state, read: true }));
    }

    /// Moves on by a commit, if it is the next number; whether it was. Nothing can be between the
    /// two, so that this is safe for a commit that comes from somewhere else than the stream.
    pub(crate) fn push(&self, batch: &Arc<Batch>) -> bool {
        self.published.send_if_modified(|copied| {
            let next = Revision(copied.state.revision().0.saturating_add(1));
            let is_next = copied.read && batch.revision == next;
            if is_next {
                Arc::make_mut(copied).state.take(Arc::clone(batch));
            }
            is_next
        })
    }

    /// Moves on by a commit that comes in order after what it has; whether it is newer. For stores
    /// whose numbers have gaps but whose stream has none.
    #[cfg(feature = "etcd")]
    pub(crate) fn push_newer(&self, batch: &Arc<Batch>) -> bool {
        self.published.send_if_modified(|copied| {
            let is_newer = copied.read && batch.revision > copied.state.revision();
            if is_newer {
                Arc::make_mut(copied).state.take(Arc::clone(batch));
            }
            is_newer
        })
    }

    /// The store was heard: everything up to now is here.
    pub(crate) fn heard(&self) {
        self.published.send_modify(|_| {});
        *self.trouble() = None;
    }

    /// The store can't be read.
    pub(crate) fn troubled(&self, reason: String) {
        *self.trouble() = Some(reason);
    }

    /// Waits for the first read.
    ///
    /// # Errors
    /// There was none in [`limits::ANSWER`].
    pub(crate) async fn read(&self) -> Result<(), StoreError> {
        let mut published = self.published.subscribe();
        let read = timeout(limits::ANSWER, published.wait_for(|copied| copied.read)).await;
        if matches!(read, Ok(Ok(_))) {
            Ok(())
        } else {
            Err(self.behind())
        }
    }

    /// What it holds, once that is at least of that revision.
    ///
    /// # Errors
    /// It did not get there in [`limits::MIRROR_BEHIND`].
    pub(crate) async fn contents(&self, at_least: Revision) -> Result<Contents, StoreError> {
        let mut published = self.published.subscribe();
        let reached =
            published.wait_for(|copied| copied.read && copied.state.revision() >= at_least);
        let copied = match timeout(limits::MIRROR_BEHIND, reached).await {
            Ok(Ok(copied)) => Arc::clone(&copied),
            Ok(Err(_)) | Err(_) => return Err(self.behind()),
        };
        // Costs every row: not on a thread that others wait for.
        tokio::task::spawn_blocking(move || copied.state.contents())
            .await
            .map_err(|error| {
                StoreError::Unavailable(format!("the snapshot was not finished: {error}"))
            })
    }

    /// Every commit after `from`. One that is ahead of the copy, told by a quicker one, is waited
    /// for.
    pub(crate) fn watch(&self, from: Revision) -> Watch {
        let mut published = self.published.subscribe();
        stream::once(async move {
            let deadline = Instant::now() + limits::MIRROR_BEHIND;
            let reached =
                published.wait_for(|copied| copied.read && copied.state.revision() >= from);
            let reached = matches!(timeout_at(deadline, reached).await, Ok(Ok(_)));
            if reached {
                tail_of_copy(published, from)
            } else {
                stream::iter([WatchEvent::Lost]).boxed()
            }
        })
        .flatten()
        .boxed()
    }

    fn behind(&self) -> StoreError {
        let reason = self.trouble().clone();
        StoreError::Unavailable(reason.unwrap_or_else(|| "it is slow to be read".to_owned()))
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, contents_after, server};

    fn commit(revision: u64) -> Arc<Batch> {
        Arc::new(batch(revision, vec![server("a").change()]))
    }

    fn read_at(revision: u64) -> Mirror {
        let mirror = Mirror::new(HistoryLimits::default());
        mirror.replace(contents_after(&[batch(revision, Vec::new())]));
        mirror
    }

    #[tokio::test]
    async fn only_the_next_commit_moves_it() {
        let mirror = Mirror::new(HistoryLimits::default());
        assert!(!mirror.push(&commit(1)) && mirror.revision().is_none());
        let mirror = read_at(5);
        assert!(!mirror.push(&commit(5)) && !mirror.push(&commit(7)));
        assert!(mirror.push(&commit(6)) && mirror.push(&commit(7)));
        assert_eq!(mirror.revision(), Some(Revision(7)));
        assert_eq!(mirror.contents(Revision(7)).await.unwrap().entries.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ahead_of_it_waits_for_it_and_is_lost_only_in_the_end() {
        let mirror = read_at(5);
        let mut ahead = mirror.watch(Revision(6));
        let mut far = mirror.watch(Revision(9));
        mirror.push(&commit(6));
        assert_eq!(ahead.next().await, Some(WatchEvent::Progress(Revision(6))));
        mirror.push(&commit(7));
        assert_eq!(
            ahead.next().await,
            Some(WatchEvent::Batch(Batch::clone(&commit(7))))
        );
        assert_eq!(far.next().await, Some(WatchEvent::Lost));
        assert!(mirror.watch(Revision(4)).next().await == Some(WatchEvent::Lost));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_falls_silent_is_not_made_up_for() {
        let mirror = read_at(5);
        let mut watch = mirror.watch(Revision(5));
        assert_eq!(watch.next().await, Some(WatchEvent::Progress(Revision(5))));
        assert!(timeout(limits::SILENCE, watch.next()).await.is_err());
        mirror.heard();
        assert_eq!(watch.next().await, Some(WatchEvent::Progress(Revision(5))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_was_never_told_is_an_error_that_says_why() {
        let mirror = Mirror::new(HistoryLimits::default());
        mirror.troubled("nobody answers at spanner".to_owned());
        let error = mirror.contents(Revision(0)).await.unwrap_err();
        assert_eq!(error.to_string(), "nobody answers at spanner");
    }
}
