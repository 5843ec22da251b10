//! Follows a published history from a position in it: what is there, then what comes, with progress
//! marks in between. Copies little at a time, holds nothing back from the writer, and ends with
//! `Lost` once the history no longer reaches back to its position.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::history::History;
use super::{Batch, Watch, WatchEvent};
use crate::key::Revision;
use crate::limits;

/// Every commit after `from` of the history that is published.
pub(crate) fn tail<T>(published: watch::Receiver<Arc<T>>, from: Revision) -> Watch
where
    T: AsRef<History> + Send + Sync + 'static,
{
    let tail = Tail {
        published,
        position: from,
        ready: VecDeque::new(),
        progress: None,
    };
    stream::unfold(Some(tail), |tail| async {
        let mut tail = tail?;
        match tail.next().await {
            WatchEvent::Lost => Some((WatchEvent::Lost, None)),
            event => Some((event, Some(tail))),
        }
    })
    .boxed()
}

struct Tail<T> {
    published: watch::Receiver<Arc<T>>,
    /// The last commit told.
    position: Revision,
    ready: VecDeque<Arc<Batch>>,
    /// Made at the first poll: only then is there surely a runtime.
    progress: Option<Interval>,
}

impl<T: AsRef<History>> Tail<T> {
    async fn next(&mut self) -> WatchEvent {
        let progress = self.progress.get_or_insert_with(|| {
            let mut interval = tokio::time::interval(limits::PROGRESS_EVERY);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        loop {
            if self.ready.is_empty() {
                let published = Arc::clone(&self.published.borrow_and_update());
                let history: &History = (*published).as_ref();
                if !history.covers(self.position) {
                    return WatchEvent::Lost;
                }
                self.ready
                    .extend(history.after(self.position, limits::WATCH_TAKE));
                if self.ready.is_empty() {
                    self.position = history.latest();
                }
            }
            if progress.tick().now_or_never().is_some() {
                return WatchEvent::Progress(self.position);
            }
            if let Some(batch) = self.ready.pop_front() {
                self.position = batch.revision;
                return WatchEvent::Batch(Arc::unwrap_or_clone(batch));
            }
            tokio::select! {
                _ = progress.tick() => return WatchEvent::Progress(self.position),
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return WatchEvent::Lost;
                    }
                }
            }
        }
    }
}
