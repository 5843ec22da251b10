//! When the last-good file is written: seldom, only what has served for a while, and once more at
//! the end. A lease that was renewed is no reason: of a hundred thousand servers that are left alone the
//! file would be written again every few seconds. Encoding and writing happen off the follower's thread, one at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::key::Revision;
use crate::last_good::{LastGood, Pace};
use crate::limits;
use crate::snapshot::Snapshot;

/// Keeps the last good snapshot. Dropping it writes the newest one, unless the thread panics.
#[derive(Debug)]
pub(super) struct Keeper {
    writer: Arc<Mutex<Writer>>,
    /// Served since that moment.
    candidate: Option<(Arc<Snapshot>, Instant)>,
    newest: Option<Arc<Snapshot>>,
    /// What was written, or is being written, had [settled](Snapshot::settled) then.
    kept: Option<Revision>,
    /// Nobody serves any more who would be disturbed.
    hurry: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Writer {
    last_good: LastGood,
    /// All of that one is written but for leases.
    settled: Option<Revision>,
    /// Not before: writing takes a small share of the time, however large the snapshot.
    next: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(last_good: LastGood) -> Self {
        Self {
            writer: Arc::new(Mutex::new(Writer {
                last_good,
                settled: None,
                next: None,
            })),
            candidate: None,
            newest: None,
            kept: None,
            hurry: Arc::default(),
        }
    }

    /// The file it keeps.
    pub(super) fn last_good(&self) -> LastGood {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.last_good.clone()
    }

    /// That snapshot, from the store, serves. Call again and again, also without a change.
    pub(super) fn serves(&mut self, snapshot: &Arc<Snapshot>) {
        self.newest = Some(Arc::clone(snapshot));
        let now = Instant::now();
        if self.candidate.is_none() && self.kept != Some(snapshot.settled()) {
            self.candidate = Some((Arc::clone(snapshot), now));
        }
        if let Some((candidate, since)) = &self.candidate
            && now >= *since + limits::LAST_GOOD_AFTER
            && self.may_write(now)
        {
            let candidate = Arc::clone(candidate);
            let writer = Arc::clone(&self.writer);
            self.candidate = None;
            self.kept = Some(candidate.settled());
            let hurry = Arc::clone(&self.hurry);
            let writes = move || write(&writer, &candidate, Pace::Gently(&hurry));
            tokio::task::spawn_blocking(writes);
        }
    }

    /// Whether no write is under way, and the last one is long enough ago.
    fn may_write(&self, now: Instant) -> bool {
        let writer = self.writer.try_lock();
        writer.is_ok_and(|writer| writer.next.is_none_or(|next| now >= next))
    }

    /// Something went wrong with the snapshot that serves: it has to prove itself again.
    pub(super) fn doubt(&mut self) {
        self.candidate = None;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(newest) = &self.newest
            && !std::thread::panicking()
        {
            self.hurry.store(true, Ordering::Relaxed);
            write(&self.writer, newest, Pace::AtOnce);
        }
    }
}

/// Writes it unless a newer one is there.
fn write(writer: &Mutex<Writer>, snapshot: &Snapshot, pace: Pace<'_>) {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    let (revision, settled) = (snapshot.revision(), snapshot.settled());
    if writer.settled.is_some_and(|written| written >= settled) {
        return;
    }
    let begun = Instant::now();
    match writer.last_good.write(revision, snapshot.entries(), pace) {
        Ok(()) => writer.settled = Some(settled),
        Err(error) => tracing::warn!(%error, "a restart without the store would not find this"),
    }
    let pause = begun.elapsed().saturating_mul(limits::LAST_GOOD_PAUSE);
    writer.next = Some(begun + pause.max(limits::LAST_GOOD_EVERY));
}
