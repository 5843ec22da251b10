//! One watch of the store, shared by all followers: a window of the latest commits that each reads
//! at its own pace. A follower from before the window is told by the store itself until it reaches
//! it. Progress is passed on, not made up: when the store falls silent, followers hear that.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backoff::Backoff;
use crate::key::Revision;
use crate::limits;
use crate::store::history::{History, HistoryLimits};
use crate::store::{Batch, SharedStore, Watch, WatchEvent};

/// The shared watch; it ends with this.
pub(super) struct Hub {
    window: watch::Receiver<Arc<History>>,
    task: JoinHandle<()>,
}

impl Hub {
    /// Begins to watch.
    pub(super) fn start(store: SharedStore, limits: HistoryLimits) -> Self {
        let empty = History::at(Revision::default(), limits);
        let (publisher, window) = watch::channel(Arc::new(empty));
        let task = tokio::spawn(run(store, publisher, limits));
        Self { window, task }
    }

    /// Every commit after `from`.
    pub(super) fn follow(
        &self,
        store: SharedStore,
        from: Revision,
    ) -> BoxStream<'static, WatchEvent> {
        let follower = Follower {
            window: self.window.clone(),
            store,
            position: from,
            ready: VecDeque::new(),
            own: None,
            heard: true,
        };
        stream::unfold(Some(follower), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                WatchEvent::Lost => Some((WatchEvent::Lost, None)),
                event => Some((event, Some(follower))),
            }
        })
        .boxed()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps the window up to date; begins a new one when the store's history is lost.
async fn run(store: SharedStore, window: watch::Sender<Arc<History>>, limits: HistoryLimits) {
    let mut backoff = Backoff::default();
    loop {
        // The current revision, without reading everything.
        match store.commit(Vec::new(), Vec::new()).await {
            Ok(from) => {
                window.send_replace(Arc::new(History::at(from, limits)));
                if fill(store.watch(from), &window).await {
                    backoff.reset();
                }
                tracing::info!("the store's history is lost; followers begin again");
            }
            Err(error) => tracing::warn!(%error, "followers hear nothing: the store can't be read"),
        }
        tokio::time::sleep(backoff.next(fastrand::f64())).await;
    }
}

/// Adds what the store tells until it is lost; whether it told anything.
async fn fill(mut watch: Watch, window: &watch::Sender<Arc<History>>) -> bool {
    let mut heard = false;
    while let Some(event) = watch.next().await {
        let mut next = History::clone(&window.borrow());
        match event {
            WatchEvent::Batch(batch) => next.push(Arc::new(batch)),
            WatchEvent::Progress(revision) => next.advance(revision),
            WatchEvent::Lost => break,
        }
        heard = true;
        window.send_replace(Arc::new(next));
    }
    heard
}

struct Follower {
    window: watch::Receiver<Arc<History>>,
    store: SharedStore,
    /// The last commit told.
    position: Revision,
    ready: VecDeque<Arc<Batch>>,
    /// The store's own watch, while the window doesn't cover the position.
    own: Option<Watch>,
    /// The store has been heard since this follower was last told anything.
    heard: bool,
}

impl Follower {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.position = batch.revision;
                return WatchEvent::Batch(Arc::unwrap_or_clone(batch));
            }
            let window = Arc::clone(&self.window.borrow_and_update());
            if !window.covers(self.position) {
                return self.next_of_store().await;
            }
            self.own = None;
            self.ready
                .extend(window.after(self.position, limits::WATCH_TAKE));
            if !self.ready.is_empty() {
                continue;
            }
            self.position = window.latest();
            if std::mem::take(&mut self.heard) {
                return WatchEvent::Progress(self.position);
            }
            if self.window.changed().await.is_err() {
                return WatchEvent::Lost;
            }
            self.heard = true;
        }
    }

    async fn next_of_store(&mut self) -> WatchEvent {
        let own = self
            .own
            .get_or_insert_with(|| self.store.watch(self.position));
        let event = own.next().await.unwrap_or(WatchEvent::Lost);
        match &event {
            WatchEvent::Batch(batch) => self.position = batch.revision,
            WatchEvent::Progress(revision) => self.position = *revision,
            WatchEvent::Lost => {}
        }
        event
    }
}

#[cfg(test)]
mod tests;
