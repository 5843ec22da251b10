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

/// Every commit after `from` of the history that is published, with progress made up: what is
/// published here is all there is.
pub(crate) fn tail<T>(published: watch::Receiver<Arc<T>>, from: Revision) -> Watch
where
    T: AsRef<History> + Send + Sync + 'static,
{
    follow(published, from, Progress::Made(None))
}

/// As [`tail`], but progress is only passed on: told when the history is published again, so that a
/// source that fell silent is heard to be.
#[cfg(any(feature = "spanner", feature = "etcd"))]
pub(crate) fn tail_of_copy<T>(published: watch::Receiver<Arc<T>>, from: Revision) -> Watch
where
    T: AsRef<History> + Send + Sync + 'static,
{
    follow(published, from, Progress::PassedOn { heard: true })
}

fn follow<T>(published: watch::Receiver<Arc<T>>, from: Revision, progress: Progress) -> Watch
where
    T: AsRef<History> + Send + Sync + 'static,
{
    let tail = Tail {
        published,
        position: from,
        ready: VecDeque::new(),
        progress,
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

/// When progress is told.
enum Progress {
    /// At an interval, which is made at the first poll: only then is there surely a runtime.
    Made(Option<Interval>),
    /// When the history was published since it was told last.
    #[cfg_attr(
        not(any(feature = "spanner", feature = "etcd")),
        expect(dead_code, reason = "only copies of remote stores pass progress on")
    )]
    PassedOn { heard: bool },
}

struct Tail<T> {
    published: watch::Receiver<Arc<T>>,
    /// The last commit told.
    position: Revision,
    ready: VecDeque<Arc<Batch>>,
    progress: Progress,
}

impl<T: AsRef<History>> Tail<T> {
    async fn next(&mut self) -> WatchEvent {
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
            if self.progress.is_due(self.ready.is_empty()) {
                return WatchEvent::Progress(self.position);
            }
            if let Some(batch) = self.ready.pop_front() {
                self.position = batch.revision;
                return WatchEvent::Batch(Arc::unwrap_or_clone(batch));
            }
            tokio::select! {
                () = self.progress.due() => return WatchEvent::Progress(self.position),
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return WatchEvent::Lost;
                    }
                }
            }
            self.progress.published();
        }
    }
}

impl Progress {
    /// Whether it is to be told now; `idle`: there is nothing else to tell.
    fn is_due(&mut self, idle: bool) -> bool {
        match self {
            Self::Made(interval) => {
                let tick = interval.get_or_insert_with(|| {
                    let mut interval = tokio::time::interval(limits::PROGRESS_EVERY);
                    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    interval
                });
                tick.tick().now_or_never().is_some()
            }
            Self::PassedOn { heard } => idle && std::mem::take(heard),
        }
    }

    /// Waits until it is to be told, without being published.
    async fn due(&mut self) {
        match self {
            Self::Made(Some(interval)) => {
                interval.tick().await;
            }
            Self::Made(None) | Self::PassedOn { .. } => std::future::pending().await,
        }
    }

    const fn published(&mut self) {
        if let Self::PassedOn { heard } = self {
            *heard = true;
        }
    }
}
