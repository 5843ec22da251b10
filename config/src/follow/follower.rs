//! The loop that follows: snapshot, watch, apply, observers, publish; again from the start when
//! history is lost. Whatever happens, what is in force stays in force, and a panic while applying is
//! a refusal, not an exit.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::Publisher;
use super::crash::CrashMarker;
use super::keep::Keeper;
use super::status::{Source, Status};
use crate::apply::{Applied, apply, held_snapshot, load, reload};
use crate::backoff::Backoff;
use crate::last_good::LastGood;
use crate::limits;
use crate::record::Refusal;
use crate::snapshot::Snapshot;
use crate::store::{Batch, Change, Contents, SharedStore, StoreError, WatchEvent};

/// Hears of every snapshot before it is published.
type Observer = Box<dyn FnMut(&Applied) + Send>;

/// Follows a store and publishes what it applies.
pub struct Follower {
    store: SharedStore,
    publisher: Publisher,
    observers: Vec<Observer>,
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

    /// Takes a whole snapshot from the store.
    async fn resync(&mut self) -> Result<(), StoreError> {
        let contents = timeout(limits::ANSWER, self.store.snapshot())
            .await
            .map_err(|_| StoreError::Unavailable("it gave no snapshot in time".to_owned()))??;
        let current = self.current.revision();
        if contents.revision < current {
            return Err(StoreError::Unavailable(format!(
                "it is at revision {}, before {current}, which is in force: it lags behind, or was \
                 replaced by an older one; in that case restart this process",
                contents.revision
            )));
        }
        if let Some(crash) = &mut self.crash {
            let last_good = self.keeper.as_ref().map(Keeper::last_good);
            let instead = last_good.is_some_and(|file| file.path().exists());
            crash.begin(contents.revision, instead)?;
        }
        let begun = Instant::now();
        let mut next = self.load(&self.current, &contents)?;
        if self.source == Source::Nothing
            && !next.refused.is_empty()
            && let Some(kept) = kept(self.keeper.as_ref().map(Keeper::last_good)).await
        {
            // What is refused may have a good version there: a restart is not to lose it.
            next = self.load(&kept, &contents)?;
        }
        self.status.heard();
        let applied = self.take(|_| next).map_err(|Panicked| {
            StoreError::Unavailable("its snapshot panics this build".to_owned())
        })?;
        self.confirmed = false;
        self.source = Source::Store;
        self.status.loaded(Source::Store, &applied, begun.elapsed());
        log(&applied.refused);
        self.keep();
        Ok(())
    }

    /// What the store holds, applied, unless it lacks too much; what is refused stays as `previous`
    /// has it.
    fn load(&self, previous: &Snapshot, contents: &Contents) -> Result<Applied, StoreError> {
        let applied = catch_unwind(AssertUnwindSafe(|| reload(previous, contents)));
        let applied = applied.map_err(|_| {
            self.status.panicked();
            StoreError::Unavailable("its snapshot panics this build".to_owned())
        })?;
        match held_snapshot(&self.current, &applied.snapshot) {
            Some(reason) if !self.confirmed => Err(StoreError::Unavailable(reason)),
            _ => Ok(applied),
        }
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
        let Some(contents) = read(self.keeper.as_ref().map(Keeper::last_good)).await else {
            return;
        };
        let begun = Instant::now();
        let Ok(applied) = self.take(|_| load(&contents)) else {
            return;
        };
        self.source = Source::LastGood;
        self.status
            .loaded(Source::LastGood, &applied, begun.elapsed());
        log(&applied.refused);
        tracing::warn!(revision = %contents.revision, "started from the last-good file");
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
            let alone = Batch {
                revision: batch.revision,
                changes: vec![Change::clone(change)],
            };
            catch_unwind(AssertUnwindSafe(|| apply(&current, &alone))).is_ok()
        });
        let rest = Batch {
            revision: batch.revision,
            changes: good.into_iter().cloned().collect(),
        };
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

/// What a last-good file holds.
async fn read(last_good: Option<LastGood>) -> Option<Contents> {
    let last_good = last_good?;
    match tokio::task::spawn_blocking(move || last_good.read()).await {
        Ok(Ok(contents)) => contents,
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

/// The same as a snapshot that nobody is served by.
async fn kept(last_good: Option<LastGood>) -> Option<Arc<Snapshot>> {
    let contents = read(last_good).await?;
    let loaded = catch_unwind(AssertUnwindSafe(|| load(&contents)));
    loaded.ok().map(|applied| applied.snapshot)
}

#[cfg(test)]
mod tests;
