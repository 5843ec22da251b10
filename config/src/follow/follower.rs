//! The loop that follows: snapshot, watch, apply, observers, publish; again from the start when
//! history is lost. Whatever happens, what is in force stays in force, and a panic while applying is
//! a refusal, not an exit.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::Publisher;
use super::crash::CrashMarker;
use super::keep::Keeper;
use super::status::{Source, Status};
use crate::apply::{Applied, Loader, apply, held_snapshot};
use crate::backoff::Backoff;
use crate::clock;
use crate::key::Revision;
use crate::last_good::{LastGood, LastGoodError};
use crate::limits;
use crate::record::Refusal;
use crate::snapshot::Snapshot;
use crate::store::{Batch, Change, Contents, SharedStore, StoreError, WatchEvent};

/// Hears of every snapshot before it is published.
type Observer = Box<dyn FnMut(&Applied) + Send>;

/// Hears how long after its commit a change came in force.
type Lag = Box<dyn FnMut(Duration) + Send>;

/// Follows a store and publishes what it applies.
pub struct Follower {
    store: SharedStore,
    publisher: Publisher,
    observers: Vec<Observer>,
    lag: Option<Lag>,
    keeper: Option<Keeper>,
    status: Arc<Status>,
    current: Arc<Snapshot>,
    source: Source,
    /// An observer may have missed something: the next snapshot is told as whole.
    missed: bool,
    /// Somebody means what the store holds, however much it lacks.
    confirmed: bool,
    crash: Option<CrashMarker>,
    apply: fn(&Snapshot, &Batch) -> Applied,
}

/// Applying panicked; nothing was published.
struct Panicked;

impl Follower {
    /// Follows that store and publishes there.
    pub fn new(store: SharedStore, publisher: Publisher) -> Self {
        Self {
            store,
            publisher,
            observers: Vec::new(),
            lag: None,
            keeper: None,
            status: Arc::default(),
            current: Arc::default(),
            source: Source::Nothing,
            missed: false,
            confirmed: false,
            crash: None,
            apply,
        }
    }

    /// Calls `observer` with every change before the revision is published, in the order of
    /// registration. One that panics is told the whole snapshot next.
    #[must_use]
    pub fn observe(mut self, observer: Box<dyn FnMut(&Applied) + Send>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Runs by what is staged for that cell.
    #[must_use]
    pub fn in_cell(mut self, cell: Option<Arc<str>>) -> Self {
        self.current = Arc::new(Snapshot::in_cell(cell));
        self
    }

    /// Calls `lag` with how long after its commit each batch came in force, by the clocks of whoever
    /// committed and of this machine.
    #[must_use]
    pub fn lag(mut self, lag: Box<dyn FnMut(Duration) + Send>) -> Self {
        self.lag = Some(lag);
        self
    }

    /// Keeps what served well in that file, and starts from it if the store can't be reached.
    #[must_use]
    pub fn last_good(mut self, last_good: LastGood) -> Self {
        self.crash = Some(CrashMarker::beside(last_good.path()));
        self.keeper = Some(Keeper::new(last_good));
        self
    }

    /// How it is doing, now and later.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Follows until dropped. Dropping it writes the last-good file, which blocks for that long.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            match self.resync().await {
                Ok(()) => {
                    if self.follow().await {
                        backoff.reset();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, revision = %self.current.revision(), "the store can't be read");
                    self.status.troubled(&error);
                    self.boot().await;
                }
            }
            let status = Arc::clone(&self.status);
            tokio::select! {
                () = sleep(backoff.next(fastrand::f64())) => {}
                () = status.confirmed() => self.confirmed = true,
            }
        }
    }

    /// Takes a whole snapshot from the store, as it comes.
    async fn resync(&mut self) -> Result<(), StoreError> {
        let (store, previous) = (Arc::clone(&self.store), Arc::clone(&self.current));
        let mut parts = store.parts();
        let mut loading: Option<(Loader<'_>, Instant)> = None;
        while let Some(part) = timeout(limits::ANSWER, parts.next())
            .await
            .map_err(|_| StoreError::Unavailable("it gave no snapshot in time".to_owned()))?
        {
            let Contents { revision, entries } = part?;
            let (loader, _) = match &mut loading {
                Some(loading) => loading,
                None => {
                    self.begin(revision)?;
                    let loader = Loader::new(&previous, revision);
                    loading.insert((loader, Instant::now()))
                }
            };
            self.caught(|| {
                for entry in entries {
                    loader.take(&entry.key, &entry.value, entry.revision);
                }
            })?;
            // The runtime's other work goes first.
            tokio::task::yield_now().await;
        }
        let Some((mut loader, begun)) = loading else {
            let nothing = "it gave a snapshot of nothing".to_owned();
            return Err(StoreError::Unavailable(nothing));
        };
        if self.source == Source::Nothing
            && loader.refuses()
            && let Some(kept) = read(self.kept_in(), self.current.cell().cloned()).await
        {
            // What is refused may have a good version there: a restart is not to lose it.
            self.caught(|| loader.keep(&kept.snapshot))?;
        }
        let next = self.caught(|| loader.finish())?;
        if let Some(reason) = held_snapshot(&self.current, &next.snapshot)
            && !self.confirmed
        {
            return Err(StoreError::Unavailable(reason));
        }
        self.status.heard();
        let applied = self.take(|_| next).map_err(|Panicked| panicking())?;
        self.confirmed = false;
        self.source = Source::Store;
        self.status.loaded(Source::Store, &applied, begun.elapsed());
        log(&applied.refused);
        self.keep();
        Ok(())
    }

    /// A snapshot of that revision is about to be read.
    fn begin(&mut self, revision: Revision) -> Result<(), StoreError> {
        let current = self.current.revision();
        if revision < current {
            return Err(StoreError::Unavailable(format!(
                "it is at revision {revision}, before {current}, which is in force: it lags behind, \
                 or was replaced by an older one; in that case restart this process"
            )));
        }
        let last_good = self.kept_in();
        let instead = last_good.is_some_and(|file| file.path().exists());
        match &mut self.crash {
            Some(crash) => crash.begin(revision, instead),
            None => Ok(()),
        }
    }

    fn kept_in(&self) -> Option<LastGood> {
        self.keeper.as_ref().map(Keeper::last_good)
    }

    /// What a snapshot is made of can panic this build; then there is none.
    fn caught<T>(&self, make: impl FnOnce() -> T) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(make)).map_err(|_| {
            self.status.panicked();
            panicking()
        })
    }

    /// Applies what follows until it is lost; whether the store said anything before.
    async fn follow(&mut self) -> bool {
        let mut watch = self.store.watch(self.current.revision());
        let mut heard = false;
        loop {
            let told = tokio::select! {
                told = timeout(limits::SILENCE, watch.next()) => told,
                () = self.status.confirmed() => {
                    tracing::warn!("somebody confirmed: everything is read again");
                    self.confirmed = true;
                    return true;
                }
            };
            match told {
                Ok(Some(WatchEvent::Batch(batch))) => self.take_batch(batch),
                Ok(Some(WatchEvent::Progress(_))) => {}
                Ok(Some(WatchEvent::Lost) | None) => {
                    tracing::info!(revision = %self.current.revision(), "history is lost");
                    return heard;
                }
                Err(_) => {
                    tracing::warn!(silence = ?limits::SILENCE, "the store fell silent");
                    return heard;
                }
            }
            heard = true;
            self.status.heard();
            self.keep();
            if let Some(crash) = &mut self.crash {
                crash.serves();
            }
        }
    }

    /// Starts from the last-good file, if nothing better has been in force yet.
    async fn boot(&mut self) {
        if self.source != Source::Nothing {
            return;
        }
        let begun = Instant::now();
        let Some(kept) = read(self.kept_in(), self.current.cell().cloned()).await else {
            return;
        };
        let Ok(applied) = self.take(|_| kept) else {
            return;
        };
        self.source = Source::LastGood;
        self.status
            .loaded(Source::LastGood, &applied, begun.elapsed());
        log(&applied.refused);
        let revision = applied.snapshot.revision();
        tracing::warn!(%revision, "started from the last-good file");
    }

    fn take_batch(&mut self, batch: Batch) {
        let begun = Instant::now();
        let apply = self.apply;
        let outcome = match self.take(|current| apply(current, &batch)) {
            Ok(applied) => Ok(applied),
            Err(Panicked) => self.take_without_suspects(&batch),
        };
        match outcome {
            Ok(applied) => {
                self.status.applied(&batch, &applied, begun.elapsed());
                if let Some(lag) = clock::since(batch.committed_unix_us, clock::unix_us())
                    && let Some(hear) = &mut self.lag
                {
                    hear(lag);
                }
                log(&applied.refused);
            }
            Err(Panicked) => {
                let refused: Vec<_> = batch
                    .changes
                    .iter()
                    .map(|change| panicked(change, &batch))
                    .collect();
                self.status.refused(&refused);
                log(&refused);
            }
        }
    }

    /// Applies a batch that panicked, again, without the records that panic on their own: apply is
    /// pure, so asking again costs only time.
    fn take_without_suspects(&mut self, batch: &Batch) -> Result<Applied, Panicked> {
        let apply = self.apply;
        let current = Arc::clone(&self.current);
        let (good, suspects): (Vec<_>, Vec<_>) = batch.changes.iter().partition(|change| {
            let alone = Batch::new(batch.revision, vec![Change::clone(change)]);
            catch_unwind(AssertUnwindSafe(|| apply(&current, &alone))).is_ok()
        });
        let rest = Batch::new(batch.revision, good.into_iter().cloned().collect());
        let mut applied = self.take(|current| apply(current, &rest))?;
        let suspects = suspects.into_iter().map(|change| panicked(change, batch));
        applied.refused.extend(suspects);
        Ok(applied)
    }

    /// Makes the next snapshot, tells the observers, publishes; nothing of it if anything panics.
    fn take(&mut self, make: impl FnOnce(&Snapshot) -> Applied) -> Result<Applied, Panicked> {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut applied = make(&self.current);
            if self.missed {
                applied.whole = true;
                applied.servers.clear();
                applied.hosts.clear();
            }
            for observer in &mut self.observers {
                observer(&applied);
            }
            applied
        }));
        let Ok(applied) = outcome else {
            tracing::error!(revision = %self.current.revision(), "applying a change panicked");
            self.missed = true;
            self.status.panicked();
            if let Some(keeper) = &mut self.keeper {
                keeper.doubt();
            }
            return Err(Panicked);
        };
        self.missed = false;
        self.current = Arc::clone(&applied.snapshot);
        self.publisher.publish(Arc::clone(&applied.snapshot));
        Ok(applied)
    }

    fn keep(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.serves(&self.current);
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("revision", &self.current.revision())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

fn panicked(change: &Change, batch: &Batch) -> Refusal {
    Refusal {
        key: change.key.clone(),
        revision: batch.revision,
        reason: "applying it panicked".to_owned(),
    }
}

/// One line a record, up to what the status lists.
fn log(refused: &[Refusal]) {
    for Refusal {
        key,
        revision,
        reason,
    } in refused.iter().take(limits::REFUSED_LISTED)
    {
        tracing::warn!(%key, %revision, reason, "record refused; its last good version stays");
    }
}

fn panicking() -> StoreError {
    StoreError::Unavailable("its snapshot panics this build".to_owned())
}

/// What a last-good file holds, as a snapshot of that cell.
async fn read(last_good: Option<LastGood>, cell: Option<Arc<str>>) -> Option<Applied> {
    let last_good = last_good?;
    match tokio::task::spawn_blocking(move || load(&last_good, cell)).await {
        Ok(Ok(applied)) => applied,
        Ok(Err(error)) => {
            tracing::error!(%error, "nothing to start from");
            None
        }
        Err(error) => {
            tracing::error!(%error, "reading the last-good file did not finish");
            None
        }
    }
}

fn load(last_good: &LastGood, cell: Option<Arc<str>>) -> Result<Option<Applied>, LastGoodError> {
    let nothing = Snapshot::in_cell(cell);
    let begin = |revision| Loader::new(&nothing, revision);
    let mut loader: Option<Loader<'_>> = None;
    let revision = last_good.each(|revision, entry| {
        let loader = loader.get_or_insert_with(|| begin(revision));
        loader.take(&entry.key, &entry.value, entry.revision);
    })?;
    let loader = loader.or_else(|| revision.map(begin));
    Ok(loader.map(Loader::finish))
}

#[cfg(test)]
mod tests;
